"""The parts around a federation over machines: tickets, the client that stays, Flower's grid, refusals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time

import pytest
import yaml
from served_machines import FILE

import qfedfm
from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError, RunError
from qfedfm.experiment.machines.programs import (
    JOIN,
    SERVE,
    end_left_over,
    ending_on_terminate,
    family,
    flower_environment,
    running,
)
from qfedfm.experiment.machines.tickets import Ticket, node_key
from qfedfm.experiment.machines.traffic import Totals, Traffic, totals_in
from qfedfm.experiment.machines.worker import Worker, ask
from qfedfm.federation.engines.flower.transfers import Transfer


def test_a_ticket_is_read_back_and_its_owner_alone_can_read_it(tmp_path):
    private, public = node_key()
    ticket = Ticket("client-0", "localhost:8000", "authority", private)
    ticket.write(tmp_path / "ticket.json")
    assert Ticket.read(tmp_path / "ticket.json") == ticket and ticket.secure
    assert stat.S_IMODE((tmp_path / "ticket.json").stat().st_mode) == 0o600
    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert public.startswith("ecdsa-sha2-nistp384 ")


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": "other"}', '{"format": "qfedfm-ticket-1", "name": 1}']
)
def test_what_is_no_ticket_is_refused(content, tmp_path):
    (tmp_path / "ticket.json").write_text(content)
    with pytest.raises(RequestError, match="is no ticket"):
        Ticket.read(tmp_path / "ticket.json")


def test_the_client_that_stays_answers_and_says_where_time_went(tmp_path):
    def answer(message):
        if message == b"fail":
            raise ValueError("broken")
        return message[::-1] * 2

    with pytest.raises(RunError, match="does not answer"):
        ask(tmp_path, b"nobody")
    worker = Worker(tmp_path, answer, lambda: 0.5)
    try:
        large = bytes(range(256)) * 5000
        assert ask(tmp_path, large) == large[::-1] * 2
        with pytest.raises(RunError, match="does not answer"):
            ask(tmp_path, b"fail")
        assert ask(tmp_path, b"ab") == b"baba"
    finally:
        worker.close()
    lines = [json.loads(line) for line in (tmp_path / "messages.jsonl").read_text().splitlines()]
    assert [line["sent_bytes"] for line in lines] == [2 * len(large), 4]
    assert all(line["training_seconds"] == 0.5 and line["process_seconds"] >= 0 for line in lines)


CHILD = "import subprocess, sys; subprocess.Popen(['sleep', '60'], start_new_session=True)"


@pytest.mark.slow
def test_what_a_program_of_ours_left_behind_is_ended_and_nothing_else(tmp_path):
    """Also what it started in sessions of their own, which outlive it and are nobody's children then."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
        environment = flower_environment(folder, JOIN)
        subprocess.run([sys.executable, "-c", CHILD], env=environment, check=True)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        assert len(family(mine)) == len(family(other)) == 1
        end_left_over(mine)
        assert not family(mine) and len(family(other)) == 1 and stranger.poll() is None
        with running(other, "superlink", ["sleep", "60"], flower_environment(other, SERVE)) as process:
            assert len(family(other)) == 2
        assert process.poll() is not None and not family(other)
    finally:
        stranger.kill()
        stranger.wait()
        end_left_over(other)


def test_ending_is_not_cut_off_by_a_second_request_to_end():
    ended = []
    with pytest.raises(KeyboardInterrupt), ending_on_terminate():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            ended.append("all of it")
    assert ended == ["all of it"] and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_large_messages_are_talked_about_and_small_ones_are_not(tmp_path):
    said: list[str] = []
    traffic, totals = Traffic(tmp_path, said.append), Totals(tmp_path)
    for _ in range(2):
        totals.received(1000)
        traffic.look()
        traffic.arrived(900)
        traffic.leaves(900)
        totals.sent(1000)
        traffic.look()
    assert said == []
    totals.received(40_000_000)
    traffic.look()
    traffic.arrived(40_000_000)
    traffic.leaves(60_000_000)
    totals = Totals(tmp_path)  # the SuperNode was started again, and counts anew
    totals.sent(30_000_000)
    traffic.look()
    assert len(said) == 1 and said[0].startswith("received 40 MB in ")
    totals.sent(30_001_000)
    traffic.look()
    assert len(said) == 2 and said[1].startswith("sent 60 MB in ")


def test_progress_comes_every_five_seconds():
    now, said = [0.0], []
    transfer = Transfer("sent", said.append, 100_000_000, clock=lambda: now[0])
    for _ in range(10):
        transfer.add(10_000_000)
        now[0] += 2
    assert said == ["sent 40 of 100 MB ...", "sent 70 of 100 MB ..."] and transfer.complete
    transfer.end()
    assert said[2:] == ["sent 100 MB in 20.0 s"]
    waiting = Transfer("received", said.append, clock=lambda: now[0])
    for _ in range(5):
        waiting.reach(30_000_000)
        now[0] += 6
    assert said[3:] == ["received 30 MB ..."]


def test_what_is_changed_of_flower_is_there(flower, monkeypatch, tmp_path):
    """Both programs run with our changes; a Flower that has not what is changed fails here."""
    import flwr.superlink.cli
    import flwr.supernode.cli
    from flwr.proto.message_pb2 import PushObjectRequest, PushObjectResponse
    from flwr.supercore import sql_mixin
    from flwr.supernode.fleet_http_client import FleetHttpClient

    from qfedfm.experiment.machines import flower as programs

    monkeypatch.setattr(sql_mixin, "SQLITE_PRAGMAS", sql_mixin.SQLITE_PRAGMAS)
    found: dict[str, int] = {}

    def superlink():
        with contextlib.closing(sqlite3.connect(tmp_path / "link.sqlite")) as connection:
            sql_mixin._set_sqlite_pragmas(connection, None)
            for name in ("busy_timeout", "secure_delete", "synchronous"):
                [(found[name],)] = connection.execute(f"PRAGMA {name}").fetchall()

    def supernode():
        client = FleetHttpClient("http://localhost:1")
        monkeypatch.setattr(client, "_unary_unary", lambda **request: PushObjectResponse(stored=True))
        assert client.PushObject(PushObjectRequest(object_content=b"abc")).stored

    monkeypatch.setattr(flwr.superlink.cli, "flower_superlink", superlink)
    monkeypatch.setattr(flwr.supernode.cli, "flower_supernode", supernode)
    monkeypatch.setenv(JOIN, str(tmp_path))
    programs.superlink()
    programs.supernode()
    assert found == {"busy_timeout": 25000, "secure_delete": 2, "synchronous": 1}
    assert totals_in(tmp_path) == (3, 0)
    push = FleetHttpClient.PushObject
    assert push.__module__ == "flwr.supernode.fleet_http_client", "left as it was"


@pytest.fixture
def flower(monkeypatch):
    """What Flower sets when it starts an app, and its warnings let be."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from flwr.supercore.task_identity import TaskIdentity

        for name in ("task_id", "run_id", "node_id"):
            monkeypatch.setattr(TaskIdentity, f"_{name}", 1)
        yield


class Grid:
    """A grid whose nodes are functions from a message to its reply, or None for one that never answers."""

    def __init__(self, nodes):
        self.nodes, self.sent = nodes, {}

    def get_node_ids(self):
        return list(self.nodes)

    def push_messages(self, messages):
        names = []
        for message in messages:
            names.append(f"m{len(self.sent)}")
            message.metadata.__dict__["_message_id"] = names[-1]
            self.sent[names[-1]] = message
        return names

    def pull_messages(self, names):
        asked = [self.sent[name] for name in names]
        return [
            self.nodes[message.metadata.dst_node_id](message)
            for message in asked
            if self.nodes[message.metadata.dst_node_id] is not None
        ]


def test_a_grid_delivers_bytes_until_the_deadline(flower):
    import httpx
    from flwr.app import Error, Message

    from qfedfm.federation.engines.flower.grid import FlowerTransport, packed, unpacked

    def echo(message):
        return Message(packed(unpacked(message) + b"!"), reply_to=message)

    def fail(message):
        return Message(Error(code=1, reason="it\nfell over"), reply_to=message)

    transport = FlowerTransport(Grid({3: fail, 1: echo, 2: None}))
    assert transport.nodes() == [1, 2, 3]
    pull, failures = transport._grid.pull_messages, [httpx.ConnectError("the link is away")]

    def unreliable(names):
        if failures:
            raise failures.pop()
        return pull(names)

    transport._grid.pull_messages = unreliable
    found = {a.node: a for a in transport.deliver({1: b"one", 2: b"two", 3: b"three"}, 1.0)}
    assert not failures
    assert set(found) == {1, 3} and found[1].content == b"one!"
    assert found[3].error == "its machine failed: it fell over"


def test_the_app_that_flwr_runs(flower, tmp_path, monkeypatch):
    """Both halves of the app as Flower calls them, configured by the run and by the nodes."""
    from flwr.app import Context, RecordDict

    from qfedfm.experiment.machines import app

    content = {**FILE, "federation": {"rounds": 2, "batch_clients": 1, "flower": {"wait": 0}}}
    (tmp_path / "file.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)

    def node(k):
        config = {"partition-id": k, "state": str(tmp_path / f"client-{k}")}
        context = Context(1, k, config, RecordDict(), {})
        return lambda message: app.answer(message, context)

    context = Context(1, 0, {}, RecordDict(), {"experiment": str(tmp_path / "file.yaml")})
    app.main(Grid({7: node(0), 8: node(1)}), context)
    [there] = (tmp_path / "runs").iterdir()
    here = qfedfm.run(content, out=tmp_path / "here").folder
    assert (there / "head.safetensors").read_bytes() == (here / "head.safetensors").read_bytes()


WRONG = {
    "joins with --data FILE, or with --partition NUMBER": ["join", "--ticket", "good.json"],
    "mine.csv: there is no such file": ["join", "--ticket", "good.json", "--data", "mine.csv"],
    "is no ticket": ["join", "--ticket", "none.json", "--partition", "0"],
    "data.partition.clients is not given": ["serve", "columns.yaml"],
    "is not empty; choose another folder with --state": ["serve", "fine.yaml", "--state", "."],
}


@pytest.mark.parametrize("sentence", WRONG)
def test_wrong_requests_are_refused_in_a_sentence(sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Ticket("client-0", "localhost:8000", "", "").write(tmp_path / "good.json")
    (tmp_path / "columns.yaml").write_text("data: {source: a.csv, partition: {kind: column, column: who}}\n")
    (tmp_path / "fine.yaml").write_text("name: fine\n")
    assert invoke(WRONG[sentence]) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said and len(said.splitlines()) == 1
