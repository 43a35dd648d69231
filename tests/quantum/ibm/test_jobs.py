"""The ledger: another process fetches, nothing is submitted twice, a killed worker is seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError, RunError
from qfedfm.quantum.gallery import gallery_folder
from qfedfm.quantum.ibm import JobOptions
from qfedfm.quantum.ibm.jobs import cancel, fetch, refresh, submit, wait
from qfedfm.quantum.ibm.ledger import Job, Ledger
from qfedfm.quantum.ibm.points import Subject, read_subject
from qfedfm.quantum.ibm.worker import work

GHZ = gallery_folder() / "ghz_phase_sum" / "n04_l2.qasm"


def subject() -> Subject:
    return read_subject(GHZ)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Workers are started, but only when a test says so, in this process."""
    started: list[Job] = []

    def start(job: Job) -> None:
        job.update(status="queued")
        started.append(job)

    monkeypatch.setattr("qfedfm.quantum.ibm.jobs._start_worker", start)
    monkeypatch.setattr(Job, "working", lambda job: job.folder in [one.folder for one in started])
    return started


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, object]:
    assert invoke(["ibm", *arguments, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_submit_here_and_fetch_in_another_process(capsys: pytest.CaptureFixture[str]) -> None:
    sent = call(capsys, "submit", str(GHZ), "--backend", "fake_manila", "--shots", "4096")
    assert sent["new"] and sent["status"] == "queued"
    command = [
        sys.executable,
        "-m",
        "qfedfm.cli.main",
        "ibm",
        "fetch",
        str(sent["id"]),
        "--wait",
        "120",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    raw = found["estimates"]["raw"]
    for values, errors, noisy in zip(raw["values"], raw["standard_errors"], raw["noisy"], strict=True):
        for value, error, expected in zip(values, errors, noisy, strict=True):
            assert abs(value - expected) < 5 * error
            assert 0 < error < 1 / 64 * 1.01  # at most 1 / sqrt(shots)
    expected = json.loads(GHZ.with_suffix(".json").read_text())["points"]
    assert found["ideal"] == [pytest.approx(point["expectations"], abs=1e-12) for point in expected]
    again = call(capsys, "submit", str(GHZ), "--backend", "fake_manila", "--shots", "4096")
    assert (again["id"], again["new"], again["status"]) == (sent["id"], False, "done")
    assert [row["id"] for row in call(capsys, "status")["jobs"]] == [sent["id"]]  # type: ignore[attr-defined]
    assert "nothing to cancel" in str(call(capsys, "cancel", str(sent["id"]), code=2)["error"])


def test_a_killed_worker_is_failed_and_can_be_submitted_again() -> None:
    ledger = Ledger()
    job = submit(ledger, subject(), "fake_manila", JobOptions(shots=64)).job
    worker = job.state.worker
    assert worker is not None and job.working()
    os.kill(worker, signal.SIGKILL)
    state = wait(job, 20)
    assert state.status == "failed" and "submit it again" in str(state.error)
    with pytest.raises(RunError, match="worker ended before"):
        fetch(job)
    repeated = submit(ledger, subject(), "fake_manila", JobOptions(shots=64))
    assert repeated.new and repeated.job.id == job.id and job.state.attempt == 2
    assert cancel(job).status == "cancelled"
    assert not job.working()
    with pytest.raises(RunError, match="was cancelled"):
        fetch(job)


def test_the_same_job_is_submitted_once_by_many_at_the_same_time(held: list[Job]) -> None:
    found: list[bool] = []

    def one() -> None:
        found.append(submit(Ledger(), subject(), "fake_manila", JobOptions(shots=10)).new)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False, False, False, True] and len(held) == 1
    other = submit(Ledger(), subject(), "fake_manila", JobOptions(shots=10), copy=1)
    assert other.new and other.job.id != held[0].id


def test_a_submission_cut_before_the_worker_started_is_found(
    held: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(job: Job) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("qfedfm.quantum.ibm.jobs._start_worker", cut)
        with pytest.raises(KeyboardInterrupt):
            submit(Ledger(), subject(), "fake_manila", JobOptions(shots=10))
    (job,) = Ledger().jobs()
    assert job.state.status == "submitting"
    again = submit(Ledger(), subject(), "fake_manila", JobOptions(shots=10))
    assert again.new and again.job.id == job.id and again.job.state.attempt == 2


def test_the_worker_runs_what_was_submitted_and_nothing_else(held: list[Job]) -> None:
    job = submit(Ledger(), subject(), "fake_manila", JobOptions(shots=200, readout_mitigation=True)).job
    with pytest.raises(RunError, match="is queued; fetch it later"):
        fetch(job)
    work(job.folder)
    assert refresh(job).status == "done"
    result = fetch(job)
    assert set(result["estimates"]) == {"raw", "readout"}
    assert result["usage_seconds"] == job.request.estimate["qpu_seconds"]
    assert fetch(job) == result
    work(job.folder)  # a second worker finds nothing to do
    assert job.state.status == "done"
    # Circuits that are not those of the request are not run.
    other = submit(Ledger(), subject(), "fake_manila", JobOptions(shots=201)).job
    (other.folder / "circuits.qpy").write_bytes((job.folder / "circuits.qpy").read_bytes())
    request = json.loads((other.folder / "request.json").read_text())
    request["circuits"][0] = "0" * 64
    (other.folder / "request.json").write_text(json.dumps(request))
    work(other.folder)
    assert other.state.status == "failed" and "does not hold the circuits" in str(other.state.error)


def test_the_guard(held: list[Job]) -> None:
    with pytest.raises(RequestError, match=r"estimated at .* more than --max-seconds 1"):
        submit(Ledger(), subject(), "fake_manila", JobOptions(), max_seconds=1)
    assert not held and not Ledger().jobs()


def test_jobs_by_name(held: list[Job], tmp_path: Path) -> None:
    job = submit(Ledger(), subject(), "fake_manila", JobOptions(shots=10)).job
    assert Ledger().job(job.id[:5]).id == job.id
    with pytest.raises(RequestError, match="there is no job 'nothing'"):
        Ledger().job("nothing")
    assert Ledger(tmp_path / "empty").jobs() == []
