"""A client that misbehaves over a real SuperLink is refused in a sentence, and the round goes on."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from misbehaving_client import WRONG
from served_machines import FILE, Served

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).with_name("misbehaving_client.py")


def test_what_a_misbehaving_client_sends_is_refused(tmp_path):
    content = copy.deepcopy(FILE)
    content["client"]["algorithm"]["kind"] = "sgd"
    content["federation"]["rounds"] = len(WRONG) + 1
    with Served(tmp_path / "served", content) as served:
        served.serve()
        served.join(0)
        served.join(1, program=PROGRAM)
        there = served.finished()
    rounds = [json.loads(line) for line in (there / "rounds.jsonl").read_text().splitlines()][1:]
    assert served.left_behind == [] and len(rounds) == len(WRONG) + 1
    for sentence, line in zip(WRONG.values(), rounds, strict=False):
        assert line["cohort"] == [0, 1] and line["participants"] == [0], sentence
        [refused] = line["refused"]
        assert refused["client"] == 1 and sentence in refused["reason"]
        assert line["update_norm"] > 0
    assert rounds[-1]["participants"] == [0, 1] and rounds[-1]["refused"] == []
