"""Over the wire: the real client against a loopback platform that fails in every way there is."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from platform_server import BACKEND, TOKEN, Platform

from qfedfm.circuits import family
from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError, RunError
from qfedfm.quantum import expectations, ibm_executor
from qfedfm.quantum.gallery import gallery_folder
from qfedfm.quantum.ibm import JobOptions, platform
from qfedfm.quantum.ibm.account import AccountError, PlatformError, redact
from qfedfm.quantum.ibm.backends import list_backends
from qfedfm.quantum.ibm.book import JobBook
from qfedfm.quantum.ibm.jobs import Submission, cancel, fetch, refresh, submit
from qfedfm.quantum.ibm.ledger import Job, Ledger
from qfedfm.quantum.ibm.options import HardwareOptions
from qfedfm.quantum.ibm.points import read_subject

GHZ = gallery_folder() / "ghz_phase_sum" / "n04_l2.qasm"
SHOTS = 300


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    found = Platform()
    for name, value in found.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platform, "WAITS", (0.0, 0.0))
    # The client's own waits between retries: 0.5 s, 1 s, ...
    monkeypatch.setattr("urllib3.util.retry.Retry.get_backoff_time", lambda self: 0.0)
    yield found
    found.close()


def send(**options: Any) -> Submission:
    return submit(Ledger(), read_subject(GHZ), BACKEND, JobOptions(shots=SHOTS, **options))


def the_job() -> Job:
    (job,) = Ledger().jobs()
    return job


def test_a_job_over_the_wire(server: Platform) -> None:
    channel, (row,) = list_backends()
    assert (channel, row["name"], row["queue"], row["qubits"]) == ("ibm_quantum_platform", BACKEND, 3, 5)
    job = send(readout_mitigation=True, dynamical_decoupling="XX").job
    assert job.state.job_id == "loop0000"
    payload = server.jobs["loop0000"]["payload"]
    assert payload["tags"] == [job.tag(1)] and payload["program_id"] == "executor"
    assert payload["cost"] == 60  # the guard's limit, which the platform keeps
    assert len(payload["params"]["quantum_program"]["items"]) == 4  # two bases, zeros, ones: one job
    result = fetch(job)
    for method in ("raw", "readout"):
        values = result["estimates"][method]
        for row_, errors, noisy in zip(
            values["values"], values["standard_errors"], values["noisy"], strict=True
        ):
            for value, error, expected in zip(row_, errors, noisy, strict=True):
                assert abs(value - expected) < 5 * error
    assert result["usage_seconds"] == server.jobs["loop0000"]["usage"]
    assert not send(readout_mitigation=True, dynamical_decoupling="XX").new
    assert server.submissions() == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("key", "refuses the token"),
        ("expired", "refuses the token"),
        ("instance", "no access to the instance"),
        ("none", "no IBM Quantum account|needs an IBM Quantum account"),
        ("backend", "has no such backend"),
    ],
)
def test_accounts(server: Platform, monkeypatch: pytest.MonkeyPatch, wrong: str, words: str) -> None:
    name = BACKEND
    if wrong == "key":
        monkeypatch.setenv("QISKIT_IBM_TOKEN", "not-the-key-000000")
    elif wrong == "expired":
        server.session_refused = True
    elif wrong == "instance":
        monkeypatch.setenv("QISKIT_IBM_INSTANCE", os.environ["QISKIT_IBM_INSTANCE"].replace("4444", "5555"))
    elif wrong == "none":
        monkeypatch.delenv("QISKIT_IBM_TOKEN")
    else:
        name = "ibm_nothing"
    with pytest.raises(RequestError, match=words) as caught:
        submit(Ledger(), read_subject(GHZ), name, JobOptions(shots=SHOTS))
    assert isinstance(caught.value, AccountError) == (wrong != "backend")
    assert not Ledger().jobs() and server.submissions() == 0


def test_too_many_requests(server: Platform) -> None:
    server.faults["POST /jobs"] = [429]
    job = send().job
    assert server.submissions() == 1 and server.seen.count("POST /jobs") == 2
    server.faults["GET /jobs/*"] = [429]
    assert refresh(job).status == "done"
    server.faults["POST /jobs"] = [429] * 3
    with pytest.raises(PlatformError, match="fewer requests"):
        send(seed=1)
    failed = Ledger().jobs()[-1]
    states = {one.state.status for one in Ledger().jobs()}
    assert states == {"done", "failed"} and server.submissions() == 1
    assert send(seed=1).new  # and it can be submitted again
    assert server.submissions() == 2 and failed.exists


def test_server_errors_are_retried_by_the_client(server: Platform) -> None:
    server.faults["POST /jobs"] = [500, 500]
    server.faults["GET /jobs/*/results"] = [500]
    job = send().job
    assert server.submissions() == 1 and server.seen.count("POST /jobs") == 3
    assert fetch(job)["samples"] == 2


def test_an_answer_lost_on_its_way_is_not_submitted_twice(server: Platform) -> None:
    server.faults["POST /jobs"] = ["lost"]
    job = send().job
    assert server.submissions() == 1 and job.state.job_id == "loop0000"
    assert fetch(job)["shots"] == SHOTS


def test_a_submission_that_ended_with_its_process_is_found_by_its_tag(
    server: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Job.update

    def dies(job: Job, **changes: Any) -> Any:
        if changes.get("job_id"):
            raise KeyboardInterrupt
        return real(job, **changes)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "update", dies)
        with pytest.raises(KeyboardInterrupt):
            send()
    job = the_job()
    assert server.submissions() == 1 and job.state.status == "submitting"
    assert not send().new  # it is there: found, not sent
    assert server.submissions() == 1 and job.state.job_id == "loop0000"


def test_an_outage_leaves_a_submission_that_is_looked_for_first(server: Platform) -> None:
    server.faults["POST /jobs"] = [503] * 40
    with pytest.raises(PlatformError, match="looks for it by its tag first"):
        send()
    job = the_job()
    assert job.state.status == "submitting" and server.submissions() == 0
    server.faults.clear()
    assert send().new and the_job().id == job.id
    assert server.submissions() == 1 and job.state.attempt == 2


def test_a_result_cut_in_the_middle(server: Platform) -> None:
    job = send().job
    server.faults["GET /jobs/*/results"] = ["cut"]
    assert fetch(job)["samples"] == 2  # fetched again
    other = send(seed=1).job
    server.faults["GET /jobs/*/results"] = ["cut"] * 3
    with pytest.raises(PlatformError, match="connection to IBM Quantum broke"):
        fetch(other)
    assert other.state.status == "done" and other.read("counts.json") is None
    assert fetch(other)["samples"] == 2


def test_a_job_that_the_backend_fails(server: Platform) -> None:
    server.fail = "Error code 1517; the circuit has an instruction that is not supported"
    job = send().job
    with pytest.raises(RunError, match=r"the backend failed the job: .*not supported"):
        fetch(job)
    assert job.state.status == "failed"
    server.fail = None
    assert send().new and job.state.attempt == 2 and server.submissions() == 2
    assert fetch(job)["samples"] == 2


def test_batches_and_sessions_where_the_plan_has_them(server: Platform) -> None:
    send(mode="batch")
    assert server.jobs["loop0000"]["payload"]["session_id"] == "session0"
    assert server.sessions["session0"]["mode"] == "batch" and not server.sessions["session0"]["open"]
    server.plan_has_sessions = False
    with pytest.raises(RequestError, match=r"opens no session on ibm_loopback .*use mode job"):
        send(mode="session")
    assert server.submissions() == 1 and {job.state.status for job in Ledger().jobs()} == {"queued", "failed"}


def test_a_training_step_is_one_job_found_again_by_its_tag(server: Platform, tmp_path: Path) -> None:
    ibm_executor.device.cache_clear()
    circuit = family("strongly_entangling", qubits=2, layers=1)
    x, w = torch.full((3, circuit.n_inputs), 0.3), torch.linspace(0, 2, circuit.n_weights)
    options = HardwareOptions(shots=200, max_jobs=1, max_seconds=60, mode="session")
    book = JobBook(tmp_path / "book", options)

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        leaf = w.clone().requires_grad_()
        values = expectations(circuit, x, leaf, f"ibm:{BACKEND}", shots=200, gradient="spsa")
        return values, torch.autograd.grad(values.sum(), leaf)[0]

    with book:
        values, gradient = step()
        again = step()  # from the book
    assert server.submissions() == 1 and not server.sessions["session0"]["open"]
    assert torch.equal(values, again[0]) and torch.equal(gradient, again[1]) and gradient.abs().max() > 0
    assert book.used() == {
        "hardware_jobs": 1,
        "hardware_seconds": server.jobs["loop0000"]["usage"],
        "hardware_seconds_are_estimated": False,
    }
    (answer,) = (tmp_path / "book").glob("*.json")
    answer.unlink()  # the process ended before the answer was written
    with JobBook(tmp_path / "book", options):
        found = step()
    assert server.submissions() == 1 and torch.equal(found[0], values)
    answer.unlink(missing_ok=True)
    server.jobs["loop0000"]["status"] = "Cancelled"
    with JobBook(tmp_path / "book", options):
        step()  # the job that an earlier process submitted has no result: another one
    assert server.submissions() == 2
    answer.unlink()
    server.jobs["loop0001"]["status"] = "Cancelled"
    server.fail = "no qubits today"
    with JobBook(tmp_path / "book", options), pytest.raises(RunError, match="no qubits today"):
        step()
    with pytest.raises(RequestError, match="runs within a budget"):
        step()
    ibm_executor.device.cache_clear()


def test_cancelled(server: Platform) -> None:
    server.hold = True
    job = send().job
    assert refresh(job).status == "queued"
    assert cancel(job).status == "cancelled" and server.jobs["loop0000"]["status"] == "Cancelled"
    with pytest.raises(RunError, match="was cancelled"):
        fetch(job)
    with pytest.raises(RequestError, match="nothing to cancel"):
        cancel(job)


@pytest.mark.slow
def test_queued_across_a_restart_of_our_process(server: Platform) -> None:
    server.hold = True
    command = [sys.executable, "-m", "qfedfm.cli.main", "ibm"]
    arguments = ["submit", str(GHZ), "--backend", BACKEND, "--shots", str(SHOTS), "--yes", "--json"]
    sent = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    name = json.loads(sent.stdout)["id"]
    job = Ledger().job(name)
    with pytest.raises(RunError, match="is queued; fetch it later"):
        fetch(job)
    server.release()
    assert fetch(job)["id"] == name
    assert server.submissions() == 1


def test_confirmation_and_the_guard(
    server: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["ibm", "submit", str(GHZ), "--backend", BACKEND, "--shots", str(SHOTS), "--json"]
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    assert invoke(arguments) == 2
    assert "not confirmed" in json.loads(capsys.readouterr().out)["error"]
    assert invoke([*arguments, "--yes", "--max-seconds", "0.5"]) == 2
    assert "more than --max-seconds" in json.loads(capsys.readouterr().out)["error"]
    assert invoke([*arguments[:-2], "200000", "--json", "--yes"]) == 2  # 60 s where nothing is said
    assert server.submissions() == 0 and not Ledger().jobs()
    monkeypatch.setattr("click.confirm", lambda *_, **__: True)
    assert invoke(arguments) == 0
    assert "s on the processor, expected fidelity" in capsys.readouterr().err


def test_the_token_is_nowhere(
    server: Platform,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []

    def attempt(*faults: int | str, **options: Any) -> None:
        server.faults["POST /jobs"] = list(faults)
        try:
            fetch(send(**options).job)
        except Exception as error:
            texts.append("".join(traceback.format_exception(error)))

    attempt()
    attempt(400, seed=1)
    attempt(*[500] * 40, seed=2)
    attempt("lost", "lost", "lost", seed=3)
    server.tokens.clear()
    attempt(seed=4)
    server.session_refused = True
    server.tokens.add(TOKEN)
    attempt(seed=5)
    server.session_refused = False
    server.faults.clear()
    assert invoke(["ibm", "backends", "--json"]) == 0
    assert invoke(["ibm", "status"]) == 0
    texts += [caplog.text, *capsys.readouterr()]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10 and len(texts) >= 7
    for path in files:
        assert TOKEN.encode() not in path.read_bytes(), path
    for text in texts:
        assert TOKEN not in text and "eyJ" not in text


def test_redaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "my-secret-key")
    assert redact("key my-secret-key, Authorization: Bearer abcdefgh12345") == (
        "key ..., Authorization: Bearer ..."
    )
    assert redact("eyJhbGciOi.eyJpYXQiOjE.abc-123 and apikey=abcdefghijk") == "... and apikey ..."
