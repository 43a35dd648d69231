"""Server and clients as processes over Flower: the same bits, kills, keys, and what a wire shows."""

from __future__ import annotations

import copy
import json
import signal
import time

import pytest
from served_machines import FILE, Served, Tap

import qfedfm
from qfedfm.experiment.machines.tickets import Ticket, node_key

pytestmark = pytest.mark.slow
LINK = {"preset": "modern_fibre", "distance_km": 10, "block": 50_000}


def changed(security=None, algorithm="scaffold", clients=2, rounds=3, **flower):
    content = copy.deepcopy(FILE)
    content["client"]["algorithm"]["kind"] = algorithm
    content["security"] = security or {}
    content["data"]["partition"]["clients"] = clients
    content["federation"]["rounds"] = rounds
    content["federation"]["flower"].update(flower)
    return content


def lines(folder):
    path = folder / "rounds.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def local(content, folder):
    return (qfedfm.run(content, out=folder).folder / "head.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("security", "clients"),
    [
        ({}, 4),
        ({"channel": {"kind": "qkd", **LINK}}, 2),
        ({"sum": {"kind": "masks"}}, 2),
    ],
    ids=["plain", "qkd", "masks"],
)
def test_processes_give_the_model_of_one_process(security, clients, tmp_path):
    content = changed(security, "sgd" if "sum" in security else "scaffold", clients)
    with Served(tmp_path / "served", content) as served:
        served.serve()
        for client in range(clients):
            served.join(client)
        there = served.finished()
        said = served.said("client-0")
    assert (there / "head.safetensors").read_bytes() == local(content, tmp_path / "local")
    for line in lines(there)[1:]:
        assert line["participants"] == list(range(clients)) and line["refused"] == []
    assert said.count("what leaves this machine") == 1 and "The data stays here." in said


def test_kills_of_a_client_and_of_the_server(tmp_path):
    content = changed(rounds=4, algorithm="sgd", deadline=200)
    with Served(tmp_path / "served", content) as served:
        served.serve()
        for client in range(2):
            served.join(client)
        served.until(lambda: len(lines(served.out)) == 2, "round 1")
        served.end("client-1", signal.SIGKILL)
        served.join(1)
        served.until(lambda: len(lines(served.out)) >= 3, "round 2")
        served.end("server", signal.SIGKILL)
        served.serve()
        there = served.finished()
    rounds = lines(there)[1:]
    assert [line["round"] for line in rounds] == [1, 2, 3, 4]
    assert all(line["cohort"] == [0, 1] for line in rounds)
    for line in rounds:
        refused = [entry["client"] for entry in line["refused"]]
        assert sorted(line["participants"] + sorted(set(refused))) == [0, 1]
    assert rounds[-1]["participants"] == [0, 1]


def test_a_key_that_is_not_listed_and_a_wrong_certificate(tmp_path):
    content = changed(algorithm="sgd", rounds=1)
    with Served(tmp_path / "served", content) as served:
        served.serve()
        served.join(0)
        tickets = served.folder / "state" / "tickets"
        served.until((tickets / "client-1.json").exists, "the tickets")
        good = Ticket.read(tickets / "client-1.json")
        stranger, misled = tickets / "stranger.json", tickets / "misled.json"
        Ticket("stranger", good.server, good.authority, node_key()[0]).write(stranger)
        from qfedfm.security.certificates import make_authority

        other = make_authority(tmp_path / "other").certificate.read_text()
        Ticket("misled", good.server, other, good.key).write(misled)
        served.until(lambda: "client 0 is there" in served.said("server"), "the first client")
        for ticket in (stranger, misled):
            served.join(1, "--state", ticket.stem, ticket=ticket)
            served.until(lambda: "does not let this client in" in served.said("client-1"), "the refusal")
            served.end("client-1")
            (served.folder / "client-1.txt").unlink()
        assert len(lines(served.out)) <= 1
        served.join(1)
        there = served.finished()
    assert lines(there)[1]["participants"] == [0, 1]


@pytest.mark.parametrize("channel", ["none", "x25519"])
def test_what_a_wire_and_the_superlink_show(channel, tmp_path):
    """With TLS off, an update's bytes are on the wire and in the SuperLink's files, unless sealed."""
    content = changed({"channel": {"kind": channel}}, "sgd", rounds=1)
    with Served(tmp_path / "served", content, secure=False) as served:
        served.serve()
        served.join(0)
        served.until(lambda: "client 0 is there" in served.said("server"), "the first client")
        tap = Tap(served.port)
        served.join(1, "--server", f"127.0.0.1:{tap.port}")
        stored = b""
        while served.running["server"].poll() is None:
            for path in (served.folder / "state").glob("superlink.sqlite*"):
                stored += path.read_bytes()
            time.sleep(0.5)
        there = served.finished()
        served.end("client-1")
        wire = tap.close()
    tensor = update_of(content, client=1, folder=tmp_path / "alone")
    assert lines(there)[1]["participants"] == [0, 1]
    assert (tensor in wire) is (channel == "none")
    assert (tensor in stored) is (channel == "none")


def update_of(content, client, folder):
    """Returns the bytes of the weights in a client's first update, computed here."""
    from qfedfm.core.update import Update
    from qfedfm.experiment.loading import experiment
    from qfedfm.experiment.machines.member import Joining, workplace
    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast

    options = experiment(content)
    names = tuple(map(str, range(3)))
    work = workplace(options, names, Joining(folder, partition=client), folder)
    broadcast = Broadcast(0, work.initial, work.engine.layout, {})
    streams = work.streams.at("federation", "round", 0)
    [update] = work.engine.train(work.plan, broadcast, [client], Faults(), streams)
    assert isinstance(update, Update)
    return max((t.numpy().tobytes() for t in update.delta.values()), key=len)
