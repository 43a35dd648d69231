"""Updates of 200 MB over a SuperLink with TLS and node keys arrive, and both sides say how far they are."""

from __future__ import annotations

import copy
import json
import re

import pytest
from served_machines import FILE, Served

pytestmark = pytest.mark.slow
FEATURES = {"samples": 60, "dimension": 1_050_000, "classes": 51, "test_samples": 20}
LEAST = 190_000_000
"""Bytes of an update; how many classes are drawn, out of 51, is the seed's."""


def megabytes(pattern: str, said: str) -> list[int]:
    return [int(size) for size in re.findall(pattern, said, re.MULTILINE)]


def test_updates_of_200_megabytes(tmp_path):
    """Twice: the second round begins while the SuperLink still deletes what the first has delivered."""
    content = copy.deepcopy(FILE)
    content["data"]["features"], content["data"]["partition"] = FEATURES, {"kind": "iid", "clients": 2}
    # So small a step leaves something to learn: an update of zeros would be one piece, sent once.
    content["client"] = {"optimizer": {"kind": "sgd", "lr": 1e-7}}
    content["federation"] |= {"rounds": 2, "flower": {"deadline": 1500}}
    with Served(tmp_path / "served", content) as served:
        served.serve()
        for client in range(2):
            served.join(client)
        there = served.finished()
        served.until(lambda: served.said("client-0").count("sent") >= 2, "the end of the upload")
    rounds = [json.loads(line) for line in (there / "rounds.jsonl").read_text().splitlines()][1:]
    for line in rounds:
        assert line["participants"] == [0, 1] and line["refused"] == []
        assert line["upload_bytes"] >= 2 * LEAST and line["download_bytes"] >= 2 * LEAST
    server, client = served.said("server"), served.said("client-0")
    # The two broadcasts are the same but for their headers, and what the SuperLink has is not sent again.
    for what, said, least in (
        ("sent to the clients:", server, LEAST),
        ("received from the clients:", server, 2 * LEAST),
        ("received", client, LEAST),
        ("sent", client, LEAST),
    ):
        sizes = megabytes(rf"^{what} (\d+) MB in", said)
        assert len(sizes) == 2 and min(sizes) >= least // 10**6, what
    assert "database is locked" not in (served.folder / "state" / "superlink.txt").read_text()
