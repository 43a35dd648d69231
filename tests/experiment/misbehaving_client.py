"""``qfedfm join`` of a client that sends something wrong in each round but the last: a program for tests."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from collections.abc import Callable

import torch

from qfedfm.cli.main import invoke
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.experiment.machines.member import Member
from qfedfm.federation.engines.flower.wire import TRAIN, UPDATE, Envelope, parse


def with_update(reply: bytes, **changes: object) -> bytes:
    envelope = parse(reply)
    update = dataclasses.replace(Update.from_bytes(envelope.body), **changes)
    return Envelope(UPDATE, envelope.token, {}, update.to_bytes()).to_bytes()


def delta(reply: bytes) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in Update.from_bytes(parse(reply).body).delta.items()}


def nan(reply: bytes) -> bytes:
    changed = delta(reply)
    next(iter(changed.values())).view(-1)[0] = float("nan")
    return with_update(reply, delta=changed)


def renamed(reply: bytes) -> bytes:
    changed = {f"{name}s": tensor for name, tensor in delta(reply).items()}
    return with_update(reply, delta=changed, schema=Layout.of(changed).schema)


def stale(reply: bytes) -> bytes:
    return with_update(reply, round=1)


def replayed(reply: bytes) -> bytes:
    return kept[0]


def ten_times(reply: bytes) -> bytes:
    return reply + bytes(10 * len(reply))


def pickled(reply: bytes) -> bytes:
    return pickle.dumps(reply)


def pickled_update(reply: bytes) -> bytes:
    return Envelope(UPDATE, parse(reply).token, {}, pickle.dumps({"delta": 1})).to_bytes()


WRONG: dict[Callable[[bytes], bytes], str] = {
    nan: "holds NaN",
    renamed: "its schema is",
    stale: "it answers round 1, not round 2",
    replayed: "it answers no open request: it is late, or was sent before",
    ten_times: "bytes, and at most",
    pickled: "the message is a pickle, and nothing here is unpickled",
    pickled_update: "the message is not a safetensors update",
}
"""What it sends, in the order of the rounds, and the sentence that refuses it."""
kept: list[bytes] = []
answer = Member.answer


def misbehave(self: Member, message: bytes) -> bytes:
    reply, request = answer(self, message), parse(message)
    if request.kind != TRAIN:
        return reply
    kept.append(reply)
    changes = list(WRONG)
    number = request.number("round")
    return changes[number](reply) if number < len(changes) else reply


if __name__ == "__main__":
    Member.answer = misbehave  # type: ignore[method-assign]
    sys.exit(invoke(["join", *sys.argv[1:]]))
