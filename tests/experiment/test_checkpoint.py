"""Checkpoints: whole or absent, the last two, never a wrong model."""

from __future__ import annotations

import logging

import pytest
import torch

from qfedfm.core.random import Streams
from qfedfm.experiment import checkpoint
from qfedfm.federation.state import State

RNG = Streams(1)
RUN = "a" * 64


def state(number: int) -> State:
    return State(
        round=number,
        model=torch.full((4,), float(number)),
        rng=RNG,
        server={"m": torch.arange(4.0)},
        algorithm={"control": torch.ones(4) * number},
    )


def load(folder, run_id=RUN):
    return checkpoint.load(folder, run_id, RNG, "cpu")


def test_round_trip_and_the_last_two_are_kept(tmp_path):
    for number in range(5):
        checkpoint.save(tmp_path, state(number), RUN)
    assert len(list(tmp_path.iterdir())) == 2
    back = load(tmp_path)
    assert back is not None and back.round == 4
    assert torch.equal(back.model, state(4).model)
    assert torch.equal(back.server["m"], torch.arange(4.0))
    assert torch.equal(back.algorithm["control"], torch.ones(4) * 4)


def flip(content: bytes) -> bytes:
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[: len(c) // 2], lambda c: b"", flip, lambda c: c + b"x"],
    ids=["half", "empty", "bit", "longer"],
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before_with_a_warning(tmp_path, damage, caplog):
    checkpoint.save(tmp_path, state(1), RUN)
    newest = checkpoint.save(tmp_path, state(2), RUN)
    newest.write_bytes(damage(newest.read_bytes()))
    with caplog.at_level(logging.WARNING, logger="qfedfm"):
        back = load(tmp_path)
    assert back is not None and back.round == 1
    assert "does not match its hash" in caplog.text and "falling back" in caplog.text


def test_if_both_are_damaged_there_is_none(tmp_path):
    for number in (1, 2):
        path = checkpoint.save(tmp_path, state(number), RUN)
        path.write_bytes(b"no")
    assert load(tmp_path) is None


def test_a_checkpoint_of_another_run_is_never_used(tmp_path):
    checkpoint.save(tmp_path, state(1), "b" * 64)
    assert load(tmp_path) is None


def test_a_temporary_file_left_by_a_kill_is_ignored(tmp_path):
    checkpoint.save(tmp_path, state(1), RUN)
    (tmp_path / ".round-000002-xyz.safetensors.tmp").write_bytes(b"half")
    back = load(tmp_path)
    assert back is not None and back.round == 1


def test_no_folder_no_checkpoint(tmp_path):
    assert load(tmp_path / "none") is None
