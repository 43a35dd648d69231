"""Server and clients as processes over Flower: the same bits, kills, keys, and what a wire shows."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import sqlite3
import time

import pytest
from served_machines import FILE, Served, Tap, command

import qfedfm
from qfedfm.experiment.loading import experiment
from qfedfm.experiment.machines.member import Joining, Member
from qfedfm.experiment.machines.tickets import Ticket, node_key
from qfedfm.experiment.running import run_experiment
from qfedfm.federation.engines.flower.transport import Arrival, Loopback
from qfedfm.federation.engines.flower.wire import TRAIN, parse
from qfedfm.security.qkd.store import KeyStore, UsedKeyError

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
    assert served.left_behind == []
    assert (there / "head.safetensors").read_bytes() == local(content, tmp_path / "local")
    for line in lines(there)[1:]:
        assert line["participants"] == list(range(clients)) and line["refused"] == []
    assert said.count("what leaves this machine") == 1 and "The data stays here." in said


def in_flight(served, client):
    """Returns whether a client's SuperNode has received a message and not sent the reply."""
    said = served.supernode(client)
    return said.count("Receiving:") > said.count("Sent successfully")


def kill_superlink(served):
    """Kills Flower's process alone; `qfedfm serve` notices, and what is left does not disturb the next."""
    [superlink] = [pid for pid in served.family("server") if "machines.flower superlink" in command(pid)]
    os.kill(superlink, signal.SIGKILL)
    server = served.running.pop("server")
    assert server.wait(120) == 1 and "serving again goes on with the run" in served.said("server")


def kill_machine(served):
    """Kills all that runs on the server's machine."""
    served.kill("server")


@pytest.mark.parametrize(
    ("channel", "kill"),
    [({"kind": "none"}, kill_superlink), ({"kind": "qkd", **LINK}, kill_machine)],
    ids=["superlink", "machine-qkd"],
)
def test_kills_of_a_client_and_of_the_server(channel, kill, tmp_path):
    content = changed({"channel": channel}, "sgd", rounds=5, deadline=400)
    with Served(tmp_path / "served", content) as served:
        served.serve()
        for client in range(2):
            served.join(client)
        served.until(lambda: len(lines(served.out)) == 2, "round 1")
        served.until(lambda: in_flight(served, 1), "a message of round 2")
        served.kill("client-1")
        served.join(1)
        served.until(lambda: len(lines(served.out)) >= 3, "round 2")
        # Client 0 holds the next round open, until client 1 is back and the server has been killed in it.
        served.running["client-0"].send_signal(signal.SIGSTOP)
        served.until(lambda: served.supernode(1).count("SuperNode ID") == 2, "client 1's return")
        served.until(lambda: in_flight(served, 0), "a message of the round that is cut off")
        done = len(lines(served.out)) - 1
        kill(served)
        served.serve()
        served.running["client-0"].send_signal(signal.SIGCONT)
        there = served.finished()
    rounds = lines(there)[1:]
    assert served.left_behind == []
    assert [line["round"] for line in rounds] == [1, 2, 3, 4, 5] and done < 5
    for line in rounds:
        refused = {entry["client"] for entry in line["refused"]}
        assert line["cohort"] == [0, 1] and sorted({*line["participants"]} | refused) == [0, 1]
        assert not refused & set(line["participants"])
    came = [tuple(line["participants"]) for line in rounds]
    assert came[0] == (0, 1) and came[1] == (0,) and came[done:] == [(0, 1)] * (5 - done)
    # Each update that is recorded was counted once, and no other: the same cohorts give the same bits.
    again = rerun(changed(algorithm="sgd", rounds=5, wait=0), came, tmp_path / "again")
    assert (there / "head.safetensors").read_bytes() == (again / "head.safetensors").read_bytes()
    if channel["kind"] == "qkd":
        assert_no_key_twice(there / "qkd-keys.sqlite", came)


def rerun(content, cohorts, folder):
    """Runs an experiment in this process, with the clients in each round that ``cohorts`` names."""
    members = {k: Member(Joining(folder / f"client-{k}", partition=k)).answer for k in range(2)}

    class Present(Loopback):
        def deliver(self, messages, seconds):
            arrivals = []
            for node, message in messages.items():
                request = parse(message)
                if request.kind == TRAIN and node not in cohorts[request.number("round")]:
                    arrivals.append(Arrival(node, b"", "away"))
                else:
                    arrivals += super().deliver({node: message}, seconds)
            return arrivals

    content["federation"]["engine"] = "flower"
    return run_experiment(experiment(content), out=folder / "run", transport=Present(members), report=False)


def assert_no_key_twice(path, cohorts):
    """From the key store's records: a key was handed to its client once or never."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        keys = connection.execute("SELECT key_id, slave, bits FROM keys").fetchall()
    assert len({name for name, _, _ in keys}) == len(keys)
    kept = [bits for _, _, bits in keys if bits is not None]
    assert len(set(kept)) == len(kept)
    store = KeyStore(path)
    for client in range(2):
        mine = [(name, bits) for name, slave, bits in keys if slave == f"client-{client}"]
        used = [name for name, bits in mine if bits is None]
        asked = len(cohorts) + 1  # the round in which the server was killed is asked twice
        assert 2 * sum(client in cohort for cohort in cohorts) <= len(used) <= len(mine) <= 2 * asked
        for name in used:
            with pytest.raises(UsedKeyError):
                store.fetch("server", f"client-{client}", [name])


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
        for ticket, sentence in (
            (stranger, "does not know this client's key"),
            (misled, "has a certificate that the ticket's authority did not sign"),
        ):
            served.join(1, "--state", ticket.stem, ticket=ticket)
            served.until(lambda: "trying again" in served.said("client-1"), "the refusal")
            assert f"the server at {good.server} {sentence}" in served.said("client-1")
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
