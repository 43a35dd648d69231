"""Where a run's numbers are also sent while it works; TensorBoard is the one built in.

The run's own record (``rounds.jsonl``) never depends on a tracker: trackers are for looking on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError

TRACKERS = ("tensorboard",)


class Tracker(Protocol):
    """Receives scalars round by round."""

    def round(self, record: Mapping[str, Any], timing: Mapping[str, Any] | None = None) -> None:
        """Sends one round.

        Args:
            record: A line of ``rounds.jsonl``.
            timing: The line of ``timings.jsonl`` of the same round.
        """
        ...

    def close(self) -> None:
        """Writes out what is left."""
        ...


def scalars(record: Mapping[str, Any], timing: Mapping[str, Any] | None = None) -> dict[str, float]:
    """Returns what of a round is a number under stable names.

    Names are ``loss/train``, ``accuracy/test``, ``bytes/upload``, ``clients/refused``,
    ``seconds/train``; numbers that are missing or not finite are left out.
    """
    names = {
        "train_loss": "loss/train",
        "validation_loss": "loss/validation",
        "test_loss": "loss/test",
        "validation_accuracy": "accuracy/validation",
        "test_accuracy": "accuracy/test",
        "upload_bytes": "bytes/upload",
        "download_bytes": "bytes/download",
        "update_norm": "update_norm",
        "steps": "steps",
        "examples": "examples",
    }
    values: dict[str, Any] = {shown: record.get(key) for key, shown in names.items()}
    for key in ("participants", "dropped", "stragglers", "refused"):
        values[f"clients/{key}"] = len(record[key]) if key in record else None
    for key, value in (timing or {}).items():
        if key.endswith("seconds"):
            values[f"seconds/{key.removesuffix('_seconds').replace('seconds', 'round')}"] = value
    return {n: float(v) for n, v in values.items() if v is not None and math.isfinite(v)}


class TensorBoardTracker:
    """Writes TensorBoard event files.

    Args:
        folder: Where the event files go; made if missing.
        first_round: The round at which this process begins. Rounds from there on that an interrupted
            run has already written are dropped from the display.

    Raises:
        RequestError: If the package ``tensorboard`` is not installed.
    """

    def __init__(self, folder: Path, first_round: int = 0) -> None:
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise RequestError(
                "track: tensorboard needs a package that is not installed; "
                "run: pip install 'qfedfm[tensorboard]'"
            ) from error
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_round or None)

    def round(self, record: Mapping[str, Any], timing: Mapping[str, Any] | None = None) -> None:
        """Writes the scalars of one round."""
        for name, value in scalars(record, timing).items():
            self._writer.add_scalar(name, value, int(record["round"]))

    def close(self) -> None:
        """Flushes and closes the event file."""
        self._writer.close()


def open_trackers(names: Sequence[str], folder: Path, first_round: int = 0) -> tuple[Tracker, ...]:
    """Opens the trackers that the key ``track`` names, writing under ``folder``.

    Raises:
        RequestError: If a name is unknown or its package is missing.
    """
    for name in names:
        if name not in TRACKERS:
            raise RequestError(f"track: there is no tracker {name!r}{nearest(name, TRACKERS)}")
    return tuple(TensorBoardTracker(folder / name, first_round) for name in names)
