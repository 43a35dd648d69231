"""How samples are divided among clients: iid, Dirichlet label skew, shards, quantity skew, natural owners.

Every partition is a vector of owners: which client holds each sample, -1 for nobody. All of them cost
O(samples + clients x classes) and draw everything from one generator. The minimum per client is not
enforced by drawing again until it happens to hold: it is built into the sizes where these are free
(iid, quantity), and otherwise clients that fell short receive samples of clients with more than the
minimum, preferably of the labels they were drawn to have (:func:`_fill`). One pass, always successful
when there are ``clients x min_samples`` samples at all.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError

Ints = NDArray[np.int64]


class _Clients(Config):
    clients: int = Field(10, ge=1, description="How many clients share the data.")
    min_samples: int = Field(8, ge=1, description="The least number of samples a client holds.")


class IidPartition(_Clients):
    """Every client a random part of equal size (sizes differ by one at most)."""

    kind: Literal["iid"] = "iid"


class DirichletPartition(_Clients):
    """Label skew: each class is divided in Dirichlet(alpha) proportions. Hsu et al., 2019, arXiv:1909.06335.

    Small ``alpha`` gives clients of few classes and unequal sizes (the class-wise form of Li et al., 2021,
    arXiv:2102.02079); large ``alpha`` approaches iid.
    """

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: float = Field(0.3, gt=0, description="Concentration; smaller is more skewed.")


class ShardsPartition(_Clients):
    """Every client holds (up to) a number of labels. McMahan et al., 2017, arXiv:1602.05629.

    Every class is cut into equal shards, in proportion to its size; a client gets one shard of each of
    ``labels_per_client`` different labels, fewer only where one class is so large that all clients hold it.
    """

    kind: Literal["shards"] = "shards"
    labels_per_client: int = Field(2, ge=1, description="Labels per client.")


class QuantityPartition(_Clients):
    """Quantity skew: sizes above the minimum in Dirichlet(alpha) proportions, labels iid."""

    kind: Literal["quantity"] = "quantity"
    alpha: float = Field(0.5, gt=0, description="Concentration of the sizes; smaller is more unequal.")


class ColumnPartition(Config):
    """Natural owners: one client per value of a column.

    Owners with fewer than ``min_samples`` samples are left out, with a warning. With ``clients`` given, that
    many of the remaining owners are drawn at random.
    """

    kind: Literal["column"] = "column"
    column: str = Field(description="The column whose values are the owners.")
    clients: int | None = Field(None, ge=1, description="How many owners take part; null is all of them.")
    min_samples: int = Field(8, ge=1, description="Owners with fewer samples are left out.")


class MachinesPartition(Config):
    """Every client has its data on a machine of its own, and the source is the server's.

    All of the source is test data, and its labels are the classes. For ``federation.engine: flower``.
    """

    kind: Literal["machines"] = "machines"
    clients: int = Field(2, ge=1, description="How many machines take part.")


PartitionConfig = Annotated[
    IidPartition
    | DirichletPartition
    | ShardsPartition
    | QuantityPartition
    | ColumnPartition
    | MachinesPartition,
    Field(discriminator="kind"),
]


def assign(
    config: IidPartition | DirichletPartition | ShardsPartition | QuantityPartition,
    labels: Ints,
    classes: int,
    rng: np.random.Generator,
) -> Ints:
    """Returns which client holds each sample.

    Args:
        config: The partition.
        labels: Class of every sample, shape (samples,), in [0, classes).
        classes: Number of classes.
        rng: Everything is drawn from this.

    Returns:
        Owners, shape (samples,), in [0, clients); every client occurs at least ``min_samples`` times.

    Raises:
        RequestError: There are too few samples, or too few client places for the labels.
    """
    samples, clients, least = len(labels), config.clients, config.min_samples
    if samples < clients * least:
        raise RequestError(
            f"data.partition: {clients} clients with at least {least} samples each need {clients * least} "
            f"training samples, but there are {samples}; lower clients to {max(1, samples // least)} or "
            f"min_samples to {samples // clients}"
            if samples >= clients
            else f"data.partition.clients: {clients} clients are more than the {samples} training samples; "
            f"with min_samples {least} at most {samples // least} clients are possible"
        )
    match config:
        case IidPartition():
            sizes = np.full(clients, samples // clients, dtype=np.int64)
            sizes[: samples % clients] += 1
            return _by_sizes(sizes, rng)
        case QuantityPartition():
            shares = _dirichlet(config.alpha, (clients,), rng)
            return _by_sizes(least + _apportion(samples - clients * least, shares), rng)
        case DirichletPartition():
            shares_CK = _dirichlet(config.alpha, (classes, clients), rng)
            owners = _by_shares(labels, shares_CK, rng)
            return _fill(owners, labels, shares_CK, least, rng)
        case ShardsPartition():
            holds_CK = _shards(np.bincount(labels, minlength=classes), config, rng)
            owners = _by_shares(labels, holds_CK / holds_CK.sum(1, keepdims=True).clip(1), rng)
            filled = _fill(owners, labels, holds_CK.astype(np.float64), least, rng)
            if not holds_CK[labels, filled].all():
                raise RequestError(
                    f"data.partition: {config.labels_per_client} labels per client and at least {least} "
                    f"samples for each of {clients} clients cannot both hold with classes of "
                    f"{np.bincount(labels, minlength=classes).min()} to "
                    f"{np.bincount(labels, minlength=classes).max()} samples; lower min_samples or clients"
                )
            return filled


def owners_of(
    config: ColumnPartition, values: NDArray[np.str_] | Ints, rng: np.random.Generator
) -> tuple[Ints, list[str], int]:
    """Divides samples by the value of a column.

    Args:
        config: The partition.
        values: The column's value of every sample, shape (samples,).
        rng: Draws which owners take part when ``config.clients`` is given.

    Returns:
        Owners, shape (samples,), -1 where the owner takes no part; the values that became clients, in
        order; and how many owners were left out because they hold too little.

    Raises:
        RequestError: Fewer owners than wanted hold enough samples.
    """
    names, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    enough = np.flatnonzero(counts >= config.min_samples)
    wanted = len(enough) if config.clients is None else config.clients
    if not len(enough) or wanted > len(enough):
        raise RequestError(
            f"data.partition: of the {len(names)} values in column {config.column!r} only {len(enough)} own "
            f"at least min_samples = {config.min_samples} training samples, so there cannot be "
            f"{max(wanted, 1)} clients"
        )
    chosen = enough if config.clients is None else np.sort(rng.permutation(enough)[:wanted])
    client_of = np.full(len(names), -1, dtype=np.int64)
    client_of[chosen] = np.arange(wanted)
    return client_of[codes], [str(names[i]) for i in chosen], len(names) - len(enough)


# Draws ---------------------------------------------------------------------------------------------


def _dirichlet(alpha: float, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draws Dirichlet(alpha) along the last axis, finite for any alpha > 0.

    For small alpha the gamma variables underflow to zero, so they are drawn as logarithms:
    Gamma(alpha) = Gamma(alpha + 1) U^(1/alpha) in distribution.
    """
    logs = np.log(rng.standard_gamma(alpha + 1.0, shape)) + np.log1p(-rng.random(shape)) / alpha
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _apportion(total: int, shares: NDArray[np.float64]) -> Ints:
    """Rounds ``total * shares`` to integers of the same sum, by largest remainder."""
    exact = total * shares
    sizes = np.floor(exact).astype(np.int64)
    missing = total - int(sizes.sum())
    sizes[np.argsort(sizes - exact, kind="stable")[:missing]] += 1
    return sizes


def _by_sizes(sizes: Ints, rng: np.random.Generator) -> Ints:
    return rng.permutation(np.repeat(np.arange(len(sizes)), sizes))


def _by_shares(labels: Ints, shares_CK: NDArray[np.float64], rng: np.random.Generator) -> Ints:
    """Divides the samples of each class among clients in the given proportions."""
    owners = np.empty(len(labels), dtype=np.int64)
    order = np.argsort(labels, kind="stable")
    start = 0
    for label, count in enumerate(np.bincount(labels, minlength=len(shares_CK)).tolist()):
        members = order[start : start + count]
        owners[members] = _by_sizes(_apportion(count, shares_CK[label]), rng) if count else 0
        start += count
    return owners


def _shards(counts_C: Ints, config: ShardsPartition, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Decides which client holds which labels, shape (classes, clients).

    Places are dealt label by label over a random circle of clients: consecutive places of one label are
    different clients, so no client gets a label twice.
    """
    clients, places = config.clients, config.clients * config.labels_per_client
    present = np.flatnonzero(counts_C)
    if places < len(present) or config.labels_per_client > len(present):
        raise RequestError(
            f"data.partition.labels_per_client: {config.labels_per_client} for {clients} clients does not "
            f"fit {len(present)} labels; it must be at most {len(present)}, and clients x labels_per_client "
            f"at least {len(present)} so that every sample has an owner"
        )
    slots = np.ones(
        len(present), dtype=np.int64
    )  # per label: how many clients hold it, in proportion to size
    room = np.minimum(counts_C[present], clients) - slots
    left = places - len(present)
    while left and room.any():  # at most one pass per class that fills up
        shares = np.where(room > 0, counts_C[present], 0).astype(np.float64)
        more = np.minimum(_apportion(left, shares / shares.sum()), room)
        slots, room, left = slots + more, room - more, left - int(more.sum())
    holds = np.zeros((len(counts_C), clients), dtype=np.bool_)
    circle = rng.permutation(clients)
    at = 0
    for i in rng.permutation(len(present)):
        holds[present[i], circle[(at + np.arange(slots[i])) % clients]] = True
        at += int(slots[i])
    return holds


def _fill(
    owners: Ints, labels: Ints, shares_CK: NDArray[np.float64], least: int, rng: np.random.Generator
) -> Ints:
    """Brings every client to ``least`` samples by moving samples of clients that hold more.

    A client in need receives labels in the proportions it was drawn to have, as far as there are such
    samples to move, and the most plentiful ones after that; a giving client never falls below ``least``.
    """
    classes, clients = shares_CK.shape
    sizes = np.bincount(owners, minlength=clients)
    needy = np.flatnonzero(sizes < least)
    if not len(needy):
        return owners
    shuffled = rng.permutation(len(owners))
    shuffled = shuffled[np.argsort(owners[shuffled], kind="stable")]  # grouped by owner, random within
    rank = np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    movable = rng.permutation(shuffled[rank >= least])
    stacks = [movable[labels[movable] == label].tolist() for label in range(classes)]
    weights_KC = shares_CK.T * np.bincount(labels, minlength=classes)
    result = owners.copy()
    for client in needy.tolist():
        need = least - int(sizes[client])
        stock = np.array([len(stack) for stack in stacks])
        weights = np.where(stock > 0, weights_KC[client], 0.0)
        take = np.zeros(classes, dtype=np.int64)
        if weights.sum() > 0:
            take = np.minimum(rng.multinomial(need, weights / weights.sum()), stock)
        while (short := need - int(take.sum())) > 0:  # each pass empties a stack or ends
            preferred = np.where(stock > take, weights_KC[client], -1.0)
            best = int(np.lexsort((stock - take, preferred))[-1])
            take[best] += min(short, int(stock[best] - take[best]))
        for label in np.flatnonzero(take).tolist():
            for _ in range(int(take[label])):
                result[stacks[label].pop()] = client
    return result
