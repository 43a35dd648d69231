import json

import numpy as np
import pytest
from sklearn.metrics import (
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

from qfedfm.core.random import Streams
from qfedfm.experiment.scores import score


@pytest.fixture(scope="module")
def sample():
    r = np.random.default_rng(5)
    y = r.integers(0, 4, 600)
    x = r.normal(size=(600, 4))
    x[np.arange(600), y] += 1.5
    return x, y


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_values_are_sklearns(sample):
    x, y = sample
    found = score(x, y, list("abcd"), Streams(1))
    predicted, p = x.argmax(axis=1), softmax(x)
    assert found.accuracy.value == (predicted == y).mean()
    assert found.macro_f1.value == pytest.approx(f1_score(y, predicted, average="macro"))
    assert found.loss.value == pytest.approx(log_loss(y, p))
    assert found.brier.value == pytest.approx(brier_score_loss(y, p, scale_by_half=False, labels=range(4)))
    np.testing.assert_array_equal(found.confusion, confusion_matrix(y, predicted))
    precision, recall, f1, support = precision_recall_fscore_support(y, predicted)
    for c, entry in enumerate(found.per_class):
        assert entry.precision.value == pytest.approx(precision[c])
        assert entry.recall.value == pytest.approx(recall[c])
        assert entry.f1.value == pytest.approx(f1[c])
        assert entry.support == support[c]
    for estimate in (found.accuracy, found.macro_f1, found.loss, found.brier, found.per_class[0].f1):
        low, high = estimate.interval
        assert low < estimate.value < high


def test_calibration_error_by_hand():
    # Confidences 0.9, 0.9, 0.6, 0.6 in two of the fifteen bins; right, wrong, right, right:
    # |1.8 - 1| / 4 + |1.2 - 2| / 4 = 0.4
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    found = score(np.log(p), [0, 1, 0, 0], ["a", "b"], Streams(1))
    assert found.calibration_error.value == pytest.approx(0.4)
    assert found.plain()["conventions"]["calibration_bins"] == 15


def test_interval_of_macro_f1_is_scipys_up_to_resampling(sample):
    import scipy.stats

    x, y = sample
    found = score(x, y, list("abcd"), Streams(1)).macro_f1
    peer = scipy.stats.bootstrap(
        (y, x.argmax(axis=1)),
        lambda a, b: f1_score(a, b, average="macro"),
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=400,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert found.interval == pytest.approx((peer.low, peer.high), abs=0.008)


def test_a_class_never_seen_in_training_counts_as_wrong_and_is_listed():
    x = np.log(np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]))
    found = score(x, [0, 1, 2], ["a", "b", "new", "absent"], Streams(1))
    assert found.accuracy.value == pytest.approx(2 / 3)
    assert found.unseen == ("new",)
    assert found.confusion == ((1, 0), (0, 1), (1, 0), (0, 0))
    assert found.macro_f1.value == pytest.approx(f1_score([0, 1, 2], [0, 1, 0], average="macro"))
    assert found.loss.value == pytest.approx(-(np.log(0.8) + np.log(0.7)) / 2)
    assert found.brier.value == pytest.approx((0.08 + 0.18 + 0.36 + 0.16 + 1) / 3)
    assert found.per_class[3].recall.value is None and found.per_class[3].recall.note
    assert found.per_class[2].precision.value is None and found.per_class[2].f1.value == 0
    assert score(x, [0, 1, 5], ["a", "b"], Streams(1)).unseen == ("class 5",)


def test_perfect_predictions_get_no_false_certainty():
    found = score(np.eye(3)[[0, 1, 2] * 5] * 50, [0, 1, 2] * 5, list("abc"), Streams(1))
    assert found.accuracy.value == 1.0 and found.accuracy.low < 0.85
    assert found.macro_f1.value == 1.0 and found.macro_f1.interval is None and found.macro_f1.note


def test_one_seed_gives_the_same_bits_and_json(sample):
    x, y = sample
    first = json.dumps(score(x, y, list("abcd"), Streams(1)).plain(), allow_nan=False)
    assert first == json.dumps(score(x, y, list("abcd"), Streams(1)).plain())
    assert first != json.dumps(score(x, y, list("abcd"), Streams(2)).plain())


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        ([[1.0, 2.0]], [0, 1], "needed"),
        (np.zeros((0, 2)), np.zeros(0, int), "no example"),
        ([[1.0, float("nan")]], [0], "diverged"),
        ([[1.0, 2.0]], [-1], "indices"),
        ([[1.0, 2.0]], [0.5], "indices"),
    ],
)
def test_bad_input_is_refused_in_words(logits, labels, words):
    with pytest.raises(ValueError, match=words):
        score(logits, labels, ["a", "b"], Streams(1))
