"""The state of a federation between rounds: everything that the next round depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qfedfm.core.random import Streams

if TYPE_CHECKING:
    from torch import Tensor

Vectors = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class State:
    """A value; a round maps one to the next.

    Args:
        round: Rounds done so far.
        model: The global model, shape (d,).
        server: The server optimizer's tensors.
        aggregator: The aggregation rule's tensors.
        algorithm: The client algorithm's server vectors, each (d,).
        frozen: All changes of frozen weights so far (:mod:`qfedfm.core.changes`).
        latest: Those of the last round.
        reached: Clients that received the model of the last round.
        rng: The experiment's streams; they carry no state of their own.
    """

    round: int
    model: Tensor
    rng: Streams
    server: Vectors = field(default_factory=dict)
    aggregator: Vectors = field(default_factory=dict)
    algorithm: Vectors = field(default_factory=dict)
    frozen: Vectors = field(default_factory=dict)
    latest: Vectors = field(default_factory=dict)
    reached: tuple[int, ...] = ()


@dataclass(frozen=True)
class RoundRecord:
    """What a round leaves in ``rounds.jsonl``; no wall-clock values.

    Args:
        round: The round, from 1.
        cohort: Clients that were asked.
        participants: Clients whose update was admitted.
        dropped: Clients that did not reply.
        stragglers: Clients that finished only a part of their steps.
        refused: ``(client, reason)`` for each refused update.
        examples: Training examples that the participants hold.
        steps: Local steps of all who replied.
        train: Mean loss and accuracy over the examples that the participants saw; behind a sum protocol the
            experimenter's, not the server's.
        client_loss: Mean training loss per participant; empty behind a sum protocol.
        upload_bytes: Bytes of all replies.
        download_bytes: Bytes sent to the whole cohort.
        update_norm: L2 norm of the combined difference.
        layers: Per LoRA module what :mod:`qfedfm.aggregation.certificate` found, and its bytes; empty
            without LoRA, and behind a sum protocol, where no certificate can be had.
        sum: What a sum protocol took and how exact it was; empty without one.
    """

    round: int
    cohort: tuple[int, ...]
    participants: tuple[int, ...]
    dropped: tuple[int, ...]
    stragglers: tuple[int, ...]
    refused: tuple[tuple[int, str], ...]
    examples: int
    steps: int
    train: Mapping[str, float]
    client_loss: Mapping[int, float]
    upload_bytes: int
    download_bytes: int
    update_norm: float
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sum: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Returns the record as one JSON object."""
        return {
            "round": self.round,
            "cohort": list(self.cohort),
            "participants": list(self.participants),
            "dropped": list(self.dropped),
            "stragglers": list(self.stragglers),
            "refused": [{"client": client, "reason": reason} for client, reason in self.refused],
            "examples": self.examples,
            "steps": self.steps,
            **{f"train_{name}": value for name, value in self.train.items()},
            "client_loss": {str(client): loss for client, loss in self.client_loss.items()},
            "upload_bytes": self.upload_bytes,
            "download_bytes": self.download_bytes,
            "update_norm": self.update_norm,
            **({"layers": {name: dict(found) for name, found in self.layers.items()}} if self.layers else {}),
            **({"sum": dict(self.sum)} if self.sum else {}),
        }
