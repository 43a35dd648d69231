"""Runs with clients on machines that are functions in this process, and ways in which these misbehave."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

from qfedfm.core.update import Update
from qfedfm.experiment.loading import experiment
from qfedfm.experiment.machines.member import Joining, Member
from qfedfm.experiment.running import run_experiment
from qfedfm.federation.engines.flower.transport import Arrival, Loopback
from qfedfm.federation.engines.flower.wire import TRAIN, UPDATE, Envelope, parse

CLIENTS = 4
BASE = {
    "name": "machines",
    "seed": 3,
    "data": {
        "source": "features",
        "features": {"samples": 30, "dimension": 8, "classes": 3, "test_samples": 60},
        "partition": {"kind": "dirichlet", "clients": CLIENTS, "alpha": 1.0},
    },
    "model": {"adapter": {"kind": "none"}, "head": {"kind": "linear"}},
    "federation": {"rounds": 3, "batch_clients": 1, "flower": {"wait": 0, "deadline": 5}},
    "client": {"optimizer": {"kind": "sgd", "lr": 0.05}},
    "device": "cpu",
}


def merged(base: dict, changes: dict) -> dict:
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict) and "kind" not in value
        result[key] = merged(result[key], value) if both else value
    return result


def config(engine: str, changes: dict):
    return experiment(merged(merged(BASE, changes), {"federation": {"engine": engine}}))


def members(folder: Path, keys: Path | None = None, clients: int = CLIENTS) -> dict[int, Member]:
    return {100 + k: Member(Joining(folder / f"client-{k}", partition=k, keys=keys)) for k in range(clients)}


def machines(folder: Path, keys: Path | None = None, clients: int = CLIENTS) -> Loopback:
    return Loopback({node: member.answer for node, member in members(folder, keys, clients).items()})


def run_local(folder: Path, changes: dict | None = None) -> Path:
    return run_experiment(config("local", changes or {}), out=folder, report=False)


def run_remote(folder: Path, transport=None, changes: dict | None = None, **options) -> Path:
    transport = transport or machines(folder.parent / "states", folder / "qkd-keys.sqlite")
    return run_experiment(
        config("flower", changes or {}), out=folder, transport=transport, report=False, **options
    )


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def refusals(line: dict) -> list[tuple[int, str]]:
    return [(entry["client"], entry["reason"]) for entry in line["refused"]]


def head(folder: Path) -> bytes:
    return (folder / "head.safetensors").read_bytes()


class Misbehaving(Loopback):
    """Machines of which one changes what it sends in a round.

    ``change(round, request, reply) -> list of replies``; bytes in, bytes out.
    """

    def __init__(self, inner: Loopback, node: int, change) -> None:
        super().__init__(inner.answers)
        self.node, self.change = node, change

    def deliver(self, messages, seconds):
        arrivals = []
        for node, message in messages.items():
            request = parse(message)
            if node != self.node or request.kind != TRAIN:
                arrivals += super().deliver({node: message}, seconds)
                continue
            answer = partial(self.answers[node], message)
            changed = self.change(request.fields["round"], message, answer)
            arrivals += [c if isinstance(c, Arrival) else Arrival(node, c) for c in changed]
        return arrivals


def with_update(reply: bytes, **changes) -> bytes:
    """Returns the reply with fields of its update changed."""
    envelope = parse(reply)
    update = dataclasses.replace(Update.from_bytes(envelope.body), **changes)
    return Envelope(UPDATE, envelope.token, {}, update.to_bytes()).to_bytes()
