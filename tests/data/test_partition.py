"""Laws of partitions: every sample exactly once, the minimum holds, the same seed gives the same bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.data.federated import ClientIndex, Duplicates
from qfedfm.data.partition import (
    ColumnPartition,
    DirichletPartition,
    IidPartition,
    QuantityPartition,
    ShardsPartition,
    assign,
    owners_of,
)

STREAMS = Streams(3)


def labels_of(samples, classes, seed=0):
    return np.random.default_rng(seed).integers(0, classes, samples)


@st.composite
def partitions(draw):
    clients, least = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    alpha = draw(st.floats(1e-6, 1e4))
    kind = draw(st.sampled_from(["iid", "dirichlet", "quantity"]))
    if kind == "iid":
        return IidPartition(clients=clients, min_samples=least)
    made = DirichletPartition if kind == "dirichlet" else QuantityPartition
    return made(clients=clients, min_samples=least, alpha=alpha)


@settings(max_examples=150, deadline=None)
@given(partitions(), st.integers(0, 60), st.integers(1, 5), st.integers(0, 10**6))
def test_every_sample_has_one_owner_and_every_client_the_minimum(config, extra, classes, seed):
    samples = config.clients * config.min_samples + extra
    labels = labels_of(samples, classes, seed)
    owners = assign(config, labels, classes, Streams(seed)("partition"))
    assert owners.shape == (samples,)
    sizes = np.bincount(owners, minlength=config.clients)
    assert len(sizes) == config.clients and sizes.min() >= config.min_samples
    again = assign(config, labels, classes, Streams(seed)("partition"))
    np.testing.assert_array_equal(owners, again)
    index = ClientIndex.of(owners, config.clients, np.arange(samples))
    assert sorted(np.concatenate([index.train(k) for k in range(len(index))]).tolist()) == list(
        range(samples)
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(2, 6), st.integers(0, 200), st.integers(0, 999))
def test_shards_hold_at_most_their_labels_or_say_why_not(clients, wanted, classes, extra, seed):
    config = ShardsPartition(clients=clients, labels_per_client=wanted, min_samples=2)
    labels = labels_of(clients * 2 + classes + extra, classes, seed)
    try:
        owners = assign(config, labels, classes, Streams(seed)("partition"))
    except RequestError as error:
        assert "data.partition" in str(error)
        return
    table = ClientIndex.of(owners, clients, np.arange(len(labels))).table(labels, classes)
    assert table.sum() == len(labels) and table.sum(1).min() >= 2
    assert ((table > 0).sum(1) <= wanted).all()


def test_shards_of_balanced_classes_hold_exactly_their_labels():
    labels = np.repeat(np.arange(10), 100)
    owners = assign(ShardsPartition(clients=20, labels_per_client=2), labels, 10, STREAMS("p"))
    table = ClientIndex.of(owners, 20, np.arange(1000)).table(labels, 10)
    assert ((table > 0).sum(1) == 2).all()
    assert (table.sum(1) == 50).all()


@settings(max_examples=60, deadline=None)
@given(partitions(), st.integers(0, 40), st.integers(0, 999))
def test_which_client_comes_first_does_not_matter(config, extra, seed):
    """Reading clients in another order gives the same sets: the index depends on owners only."""
    samples = config.clients * config.min_samples + extra
    owners = assign(config, labels_of(samples, 3, seed), 3, Streams(seed)("partition"))
    order = np.random.default_rng(seed).permutation(samples)
    first = ClientIndex.of(owners, config.clients, np.arange(samples))
    second = ClientIndex.of(owners[order], config.clients, np.arange(samples)[order])
    np.testing.assert_array_equal(first.train_indices, second.train_indices)
    np.testing.assert_array_equal(first.train_offsets, second.train_offsets)


def test_iid_sizes_differ_by_one_at_most():
    owners = assign(IidPartition(clients=7), labels_of(100, 3), 3, STREAMS("p"))
    assert set(np.bincount(owners).tolist()) == {14, 15}


def test_a_small_alpha_is_skewed_and_a_large_one_is_not():
    labels = labels_of(5000, 10)

    def mean_share_of_the_largest_class(alpha):
        owners = assign(DirichletPartition(clients=20, alpha=alpha), labels, 10, STREAMS("p"))
        table = ClientIndex.of(owners, 20, np.arange(5000)).table(labels, 10)
        return float((table.max(1) / table.sum(1)).mean())

    skewed, even = mean_share_of_the_largest_class(0.05), mean_share_of_the_largest_class(1000.0)
    assert skewed > 0.6 and even < 0.2


def test_filling_up_keeps_the_skew():
    """Clients brought to the minimum get labels they were drawn to have, as long as there are any."""
    labels = labels_of(4000, 10)
    owners = assign(DirichletPartition(clients=200, alpha=0.05), labels, 10, STREAMS("p"))
    table = ClientIndex.of(owners, 200, np.arange(4000)).table(labels, 10)
    brought = table[table.sum(1) == 8]
    assert len(brought) > 20
    assert (brought.max(1) / brought.sum(1)).mean() > 0.5


def test_dirichlet_survives_an_alpha_that_underflows():
    owners = assign(DirichletPartition(clients=5, alpha=1e-9), labels_of(200, 4), 4, STREAMS("p"))
    assert np.bincount(owners).min() >= 8


def test_quantity_skew_makes_unequal_sizes_of_iid_labels():
    labels = labels_of(5000, 2)
    owners = assign(QuantityPartition(clients=10, alpha=0.5), labels, 2, STREAMS("p"))
    sizes = np.bincount(owners)
    assert sizes.max() > 5 * sizes.min()
    assert abs(labels[owners == sizes.argmax()].mean() - 0.5) < 0.05


def test_pinned_owners():
    """The draw of a seed never changes silently: it goes into the run id."""
    labels = np.arange(24) % 3
    owners = assign(
        DirichletPartition(clients=3, alpha=0.5, min_samples=2), labels, 3, Streams(7)("partition")
    )
    assert np.bincount(owners).tolist() == [4, 8, 12]


def test_owners_by_column():
    values = np.array(["ann"] * 10 + ["bob"] * 9 + ["cy"] * 3)
    owners, names, small = owners_of(ColumnPartition(column="who"), values, STREAMS("p"))
    assert names == ["ann", "bob"] and small == 1
    assert owners.tolist() == [0] * 10 + [1] * 9 + [-1] * 3
    owners, names, _ = owners_of(ColumnPartition(column="who", clients=1), values, STREAMS("p"))
    assert len(names) == 1 and set(owners.tolist()) == {0, -1}
    with pytest.raises(
        RequestError, match=r"of the 3 values in column 'who' only 2 own at least min_samples = 8"
    ):
        owners_of(ColumnPartition(column="who", clients=5), values, STREAMS("p"))


@pytest.mark.parametrize("made", [IidPartition, DirichletPartition, QuantityPartition, ShardsPartition])
def test_too_few_samples_is_a_sentence_with_numbers(made):
    with pytest.raises(RequestError, match="20 clients are more than the 15 training samples"):
        assign(made(clients=20), labels_of(15, 2), 2, STREAMS("p"))
    with pytest.raises(
        RequestError, match=r"need 160 training samples, but there are 100; lower clients to 12"
    ):
        assign(made(clients=20), labels_of(100, 2), 2, STREAMS("p"))


def test_shards_that_cannot_be_dealt():
    with pytest.raises(RequestError, match=r"labels_per_client: 3 for 4 clients does not fit 2 labels"):
        assign(ShardsPartition(clients=4, labels_per_client=3), labels_of(100, 2), 2, STREAMS("p"))
    with pytest.raises(RequestError, match=r"clients x labels_per_client at least 5"):
        assign(ShardsPartition(clients=2, labels_per_client=2), np.arange(100) % 5, 5, STREAMS("p"))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(8, 80), st.floats(0, 0.95), st.integers(0, 99))
def test_validation_parts_are_disjoint_and_leave_something_to_train_on(clients, samples, fraction, seed):
    owners = np.random.default_rng(seed).integers(0, clients, samples)
    owners[:clients] = np.arange(clients)
    index = ClientIndex.of(owners, clients, np.arange(samples), fraction, Streams(seed)("validation"))
    for k in range(clients):
        both = [*index.train(k).tolist(), *index.validation(k).tolist()]
        assert sorted(both) == np.flatnonzero(owners == k).tolist()
        assert len(index.train(k)) >= 1
        assert len(index.validation(k)) <= fraction * len(both) + 1e-6
    np.testing.assert_array_equal(index.sizes + index.validation_sizes, np.bincount(owners))


def test_duplicates_between_clients():
    owners = np.array([0, 0, 1, 1, 2, 2])
    index = ClientIndex.of(owners, 3, np.arange(6))
    found = Duplicates.between(np.array([5, 5, 5, 1, 1, 9]), index)  # 5 with 0 and 1, 1 with 1 and 2
    assert (found.texts, found.samples, found.client_pairs) == (2, 5, 2)
    assert found.largest == ((0, 1, 1), (1, 2, 1))
    assert found.plain()["largest"] == [[0, 1, 1], [1, 2, 1]]
    within = Duplicates.between(np.array([5, 5, 1, 2, 3, 4]), index)
    assert within == Duplicates()
    assert Duplicates.between(np.zeros(6, np.int64), index, most_pairs=2).client_pairs is None


def test_ten_thousand_clients_are_two_arrays():
    labels = labels_of(200_000, 10)
    for config in (
        IidPartition(clients=10_000),
        DirichletPartition(clients=10_000),
        ShardsPartition(clients=10_000),
        QuantityPartition(clients=10_000),
    ):
        owners = assign(config, labels, 10, STREAMS("p"))
        index = ClientIndex.of(owners, 10_000, np.arange(200_000), 0.1, STREAMS("v"))
        assert len(index) == 10_000 and (index.sizes + index.validation_sizes).min() >= 8
        assert index.train_indices.base is None and index.train(0).base is index.train_indices
