"""What serving promises: a key is one client's, a complete experiment stays complete, clients end with it."""

from __future__ import annotations

import copy
import json

import pytest
from served_machines import FILE

from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError, RunError, UpdateRefusedError
from qfedfm.experiment.loading import experiment
from qfedfm.experiment.machines import serving as serving_room
from qfedfm.experiment.machines.member import Member
from qfedfm.experiment.machines.serving import Serving, serve
from qfedfm.experiment.machines.tickets import REGISTERED, Ticket, node_key, owners_in
from qfedfm.experiment.machines.workplace import Joining
from qfedfm.experiment.running import run_experiment
from qfedfm.federation.engines.flower.roster import Roster
from qfedfm.federation.engines.flower.transport import Loopback
from qfedfm.federation.engines.flower.wire import HELLO, REFUSED, Envelope, parse


def options(**federation):
    content = copy.deepcopy(FILE)
    content["federation"] |= {"engine": "flower", "flower": {"wait": 0}, **federation}
    return experiment(content)


def hello(partition=None, member="m", examples=5):
    fields = {"member": member, "examples": examples, "identity": "00", "schema": "s", "partition": partition}
    return Envelope(HELLO, "token", fields)


def test_a_key_says_which_client_a_machine_is(tmp_path):
    roster = Roster(3, "s", tmp_path / "roster.json", owners={70: 2, 80: 0, 90: 1})
    assert roster.enrol(70, hello(member="late")) == 2  # not the first free place
    assert roster.enrol(80, hello(partition=0, member="first")) == 0
    with pytest.raises(UpdateRefusedError, match="its key is client 1's, and it joins as partition 0"):
        roster.enrol(90, hello(partition=0, member="first"))
    with pytest.raises(UpdateRefusedError, match="its key is no client's"):
        roster.enrol(60, hello())
    assert roster.places == {2: 70, 0: 80} and roster.missing == [1]
    with pytest.raises(UpdateRefusedError, match="client 2 has joined before, and this is another member"):
        roster.enrol(70, hello(member="thief"))


def test_a_client_cannot_take_anothers_place_with_its_own_key(tmp_path):
    """Client 1's machine rehearses client 0's data: it is not let in, so not all clients are there."""
    said = []

    class Show:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def phase(self, *what):
            pass

        def note(self, sentence):
            said.append(sentence)

    members = {node: Member(Joining(tmp_path / str(node), partition=0)) for node in (100, 101)}
    machines = Loopback({node: member.answer for node, member in members.items()}, owners={100: 0, 101: 1})
    with pytest.raises(RunError, match="1 clients did not join"):
        run_experiment(options(), out=tmp_path / "run", transport=machines, progress=Show(), report=False)
    assert any("its key is client 1's, and it joins as partition 0" in sentence for sentence in said)


def test_the_server_knows_which_machine_each_key_became(tmp_path):
    assert owners_in(tmp_path) == {}
    (tmp_path / REGISTERED).write_text(json.dumps({"0": 1 << 63, "1": 7}))
    assert owners_in(tmp_path) == {1 << 63: 0, 7: 1}


def test_another_clients_part_is_refused_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    private, _ = node_key()
    Ticket("client-1", "localhost:8000", "authority", private).write(tmp_path / "ticket.json")
    assert invoke(["join", "--ticket", "ticket.json", "--partition", "0"]) == 2
    said = capsys.readouterr().err.strip()
    assert "the ticket is client 1's, and --partition is 0" in said and len(said.splitlines()) == 1
    Ticket.read(tmp_path / "ticket.json").check(1)
    Ticket.read(tmp_path / "ticket.json").check(None)
    Ticket("client-1", "localhost:8000", "", "").check(0)  # without keys nobody is anybody


def test_a_complete_experiment_is_not_served_again(tmp_path, monkeypatch):
    def started(*anything):
        raise AssertionError("something was started")

    monkeypatch.setattr(serving_room, "_superlink", started)
    said: list[str] = []
    serving = Serving(options(), tmp_path / "state")
    run = tmp_path / "run"
    with pytest.raises(AssertionError, match="something was started"):
        serve(serving, said.append)
    tickets = {path.name: path.read_bytes() for path in (tmp_path / "state" / "tickets").iterdir()}
    run.mkdir()
    (tmp_path / "state" / "result.json").write_text(json.dumps({"folder": str(run)}))
    (run / "summary.json").write_text("{}")
    said.clear()
    assert serve(serving, said.append) == run
    assert said == [
        f"this experiment is complete in {run}; to run it again, choose another folder with --state"
    ]
    elsewhere = Serving(options(), tmp_path / "state", out=tmp_path / "elsewhere")
    with pytest.raises(AssertionError, match="something was started"):
        serve(elsewhere, said.append)  # the same experiment, and another folder is asked for
    assert tickets == {path.name: path.read_bytes() for path in (tmp_path / "state" / "tickets").iterdir()}
    with pytest.raises(RequestError, match="certificates and keys of another experiment"):
        serve(Serving(options(rounds=9), tmp_path / "state"), said.append)


def test_a_client_knows_when_the_last_round_is_done(tmp_path):
    members = {100 + k: Member(Joining(tmp_path / f"client-{k}", partition=k)) for k in range(2)}
    rounds = []

    def after_round(line):
        rounds.append([member.finished for member in members.values()])

    machines = Loopback({node: member.answer for node, member in members.items()})
    run_experiment(
        options(rounds=3), out=tmp_path / "run", transport=machines, report=False, after_round=after_round
    )
    assert rounds == [[False, False], [False, False], [True, True]]


def test_what_is_wrong_with_a_clients_file_is_said_there_and_not_to_the_server(tmp_path):
    said: list[str] = []
    content = copy.deepcopy(FILE)
    content["data"] = {"source": "public.csv", "partition": {"kind": "machines", "clients": 2}}
    content["federation"]["engine"] = "flower"
    (tmp_path / "secret.csv").write_text("text,label\nrare disease,diagnosis-x\n")
    member = Member(Joining(tmp_path / "state", data=tmp_path / "secret.csv"), said.append)
    invitation = {"experiment": experiment(content).plain(), "label_names": ["well", "ill"]}
    reply = parse(member.answer(Envelope(HELLO, "token", invitation).to_bytes()))
    assert reply.kind == REFUSED and "do not fit" in reply.text("reason")
    assert "secret" not in reply.text("reason") and "diagnosis-x" not in reply.text("reason")
    assert "secret.csv" in said[-1] and "diagnosis-x" in said[-1]
