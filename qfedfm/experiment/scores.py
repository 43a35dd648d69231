"""How good predictions are: accuracy, macro-F1, per class, calibration, Brier, each with its interval.

Shapes: N = examples, C = classes the model knows (logits), T = classes that the labels name (T >= C),
R = bootstrap resamples.

A label with index >= C is a class never seen in training: no prediction can be right, so it counts as
wrong everywhere, and its name is listed. The cross-entropy of such an example would be infinite, so the
loss is the mean over the examples of known classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qfedfm.core.random import Streams
from qfedfm.experiment.statistics import Estimate, Floats, Indices, bootstrap_interval, wilson

BINS = 15
"""Equal-width confidence bins of the expected calibration error, over (0, 1]."""
RESAMPLES = 1000

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassScores:
    """One class against the rest; a value is None where it is undefined.

    Args:
        name: The class.
        support: Examples of the class.
        predicted: How often it was predicted.
        precision: Share of the predictions that are right.
        recall: Share of the examples that are found.
        f1: Their harmonic mean; 0 where there are examples or predictions but no hit.
    """

    name: str
    support: int
    predicted: int
    precision: Estimate
    recall: Estimate
    f1: Estimate

    def plain(self) -> dict[str, Any]:
        """Returns JSON-ready builtins."""
        return {
            "name": self.name,
            "support": self.support,
            "predicted": self.predicted,
            "precision": self.precision.plain(),
            "recall": self.recall.plain(),
            "f1": self.f1.plain(),
        }


@dataclass(frozen=True)
class Scores:
    """What a set of predictions is worth.

    Args:
        examples: N.
        accuracy: With Wilson's interval.
        loss: Mean cross-entropy in nats over the examples of known classes, bootstrap interval.
        macro_f1: Mean F1 over the classes that occur as a label or as a prediction, bootstrap interval.
        calibration_error: Expected calibration error, 15 equal-width bins of the largest probability.
            It is biased upwards on finite data and resampling adds to the bias, so that the percentile
            interval of a well calibrated model may lie above the estimate.
        brier: Mean squared distance between probabilities and the one-hot label, in [0, 2].
        per_class: One entry a label, in order of the label's index.
        confusion: Counts, T rows (true) by C columns (predicted).
        label_names: T names.
        unseen: Names of the labels present here that the model never saw in training.
    """

    examples: int
    accuracy: Estimate
    loss: Estimate
    macro_f1: Estimate
    calibration_error: Estimate
    brier: Estimate
    per_class: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    label_names: tuple[str, ...]
    unseen: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Returns JSON-ready builtins with the conventions written out."""
        return {
            "examples": self.examples,
            "accuracy": self.accuracy.plain(),
            "loss": self.loss.plain(),
            "macro_f1": self.macro_f1.plain(),
            "calibration_error": self.calibration_error.plain(),
            "brier": self.brier.plain(),
            "per_class": [entry.plain() for entry in self.per_class],
            "confusion": [list(row) for row in self.confusion],
            "label_names": list(self.label_names),
            "unseen": list(self.unseen),
            "conventions": {
                "intervals": "95 %: Wilson for accuracy, bootstrap percentile for the rest",
                "resamples": RESAMPLES,
                "calibration_bins": BINS,
                "confusion": "rows are true classes, columns are predicted classes",
            },
        }


def score(
    logits: npt.ArrayLike,
    labels: npt.ArrayLike,
    label_names: Sequence[str],
    streams: Streams,
    count: int = RESAMPLES,
) -> Scores:
    """Scores predictions.

    Args:
        logits: Unnormalised log-probabilities, shape (N, C), finite. The prediction is the largest, the
            first one of equals.
        labels: Class indices, shape (N,), 0 or more; C or more means never seen in training.
        label_names: At least C names; a label beyond them is called by its number.
        streams: Seeds the bootstrap.
        count: Bootstrap resamples.

    Raises:
        ValueError: If the shapes do not fit, there is no example, or a number is not finite.
    """
    x, y = _checked(logits, labels)
    classes = x.shape[1]
    total = max(classes, len(label_names), int(y.max()) + 1)
    names = [*label_names, *(f"class {i}" for i in range(len(label_names), total))]

    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    known = y < classes
    true_p = np.where(known, p[np.arange(y.size), np.where(known, y, 0)], 0.0)
    losses = np.where(known, -log_p[np.arange(y.size), np.where(known, y, 0)], np.nan)
    brier = (p**2).sum(axis=1) - 2 * true_p + 1
    predicted = x.argmax(axis=1).astype(np.int64)
    confidence = p.max(axis=1)
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gap = confidence - (predicted == y)

    def statistics(index: Indices) -> Floats:
        """Returns (R, 4 + 3T): macro-F1, calibration error, Brier, loss, then per class P, R, F1."""
        hits, support, chosen = _counts(y[index], predicted[index], total)
        per_bin = _per_row(bins[index], BINS, gap[index])
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = 2 * hits / (support + chosen)
            present = np.isfinite(f1)
            columns = [
                np.where(present, f1, 0).sum(axis=1) / present.sum(axis=1),
                np.abs(per_bin).sum(axis=1) / index.shape[1],
                brier[index].mean(axis=1),
                np.where(known[index], losses[index], 0).sum(axis=1) / known[index].sum(axis=1),
            ]
            return np.concatenate([np.stack(columns, axis=1), hits / chosen, hits / support, f1], axis=1)

    found = bootstrap_interval(statistics, y.size, streams("bootstrap", "scores"), count)
    macro, calibration, brier_score, loss = found[:4]
    precision, recall, f1 = (found[4 + i * total : 4 + (i + 1) * total] for i in range(3))
    confusion = np.bincount(y * classes + predicted, minlength=total * classes).reshape(total, classes)
    support = confusion.sum(axis=1)
    chosen = np.pad(confusion.sum(axis=0), (0, total - classes))
    return Scores(
        examples=y.size,
        accuracy=wilson(int((predicted == y).sum()), y.size),
        loss=loss,
        macro_f1=macro,
        calibration_error=calibration,
        brier=brier_score,
        per_class=tuple(
            ClassScores(names[c], int(support[c]), int(chosen[c]), precision[c], recall[c], f1[c])
            for c in range(total)
        ),
        confusion=tuple(tuple(int(v) for v in row) for row in confusion),
        label_names=tuple(names),
        unseen=tuple(names[c] for c in range(classes, total) if support[c]),
    )


def _counts(y: Integers, predicted: Integers, total: int) -> tuple[Floats, Floats, Floats]:
    """Returns hits, support and predictions per class, each (R, T), from labels (R, n)."""
    hits = _per_row(y, total, (y == predicted).astype(np.float64))
    return hits, _per_row(y, total), _per_row(predicted, total)


def _per_row(values: Integers, width: int, weights: Floats | None = None) -> Floats:
    """Returns, for each row of ``values`` (R, n) in [0, width), the (weighted) count of every value."""
    rows = values.shape[0]
    flat = (values + width * np.arange(rows)[:, None]).ravel()
    counted = np.bincount(flat, None if weights is None else weights.ravel(), minlength=rows * width)
    return counted.reshape(rows, width).astype(np.float64)


def _checked(logits: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[Floats, Integers]:
    """Returns the arrays, or says what is wrong with them."""
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if x.ndim != 2 or y.ndim != 1 or len(x) != len(y):
        raise ValueError(f"logits (N, C) and labels (N,) are needed, got {x.shape} and {y.shape}")
    if y.size == 0 or x.shape[1] == 0:
        raise ValueError("there is no example to score")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
        raise ValueError("labels must be class indices, 0 or more")
    if not np.isfinite(x).all():
        raise ValueError("a logit is not finite: the model diverged")
    return x, y.astype(np.int64)
