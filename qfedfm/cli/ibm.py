"""``qfedfm ibm``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qfedfm.cli.ibm_options import job_options, read, read_options


@click.group()
def ibm() -> None:
    """IBM Quantum: backends, what a job costs, submit, status, fetch, cancel.

    Fake backends (fake_sherbrooke, ...) need no account and cost nothing.
    """


@ibm.command("backends")
@click.argument("names", nargs=-1)
@click.option(
    "--fake", "fake", flag_value=True, default=None, help="The installed fake ones, account or not."
)
@click.option("--min-qubits", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print them as one JSON object.")
def backends_command(names: tuple[str, ...], fake: bool | None, min_qubits: int, as_json: bool) -> None:
    """List the account's backends; without an account the installed fake ones (or only NAMES)."""
    from qfedfm.cli.main import print_json
    from qfedfm.quantum.ibm import describe_backend, find_backend, list_backends
    from qfedfm.quantum.ibm.account import HOW, has_account
    from qfedfm.quantum.ibm.backends import is_fake

    if names:
        rows = [describe_backend(find_backend(name), queue=not is_fake(name)) for name in names]
        channel = "local" if all(is_fake(name) for name in names) else "ibm_quantum_platform"
    else:
        channel, rows = list_backends(fake=fake, least=min_qubits)
    advice = None if has_account() else f"no account: these are fake backends; for real ones {HOW}"
    if as_json:
        print_json({"channel": channel, "backends": rows, "advice": advice})
        return
    click.echo(
        f"{'name':<20} {'qubits':>6} {'queue':>6} {'2q gate':>8} {'2q error':>9} {'readout':>8}  basis"
    )
    for row in rows:
        waiting = "-" if row["queue"] is None else str(row["queue"])
        two, readout = (
            "-" if row[key] is None else f"{row[key]:.2e}" for key in ("two_qubit_error", "readout_error")
        )
        basis, gate = " ".join(row["basis_gates"]), row["two_qubit_gate"] or "-"
        name = row["name"]
        click.echo(f"{name:<20} {row['qubits']:>6} {waiting:>6} {gate:>8} {two:>9} {readout:>8}  {basis}")
        for note in row["notes"]:
            click.echo(f"{'':<20} {note}")
    if advice:
        click.echo(advice, err=True)


@ibm.command("estimate")
@job_options
@click.option("--json", "as_json", is_flag=True, help="Print the estimate as one JSON object.")
def estimate_command(subject: Path, backend_name: str, as_json: bool, **given: Any) -> None:
    """What running SUBJECT would cost: qubits, gates, expected fidelity, circuits, QPU seconds.

    SUBJECT is an OpenQASM 3 file, or the folder of a run, whose trained head is run on test examples.
    Nothing is submitted.
    """
    from qfedfm.cli.main import print_json
    from qfedfm.quantum.ibm import compile_program, estimate, find_backend
    from qfedfm.quantum.ibm.calibration import take_calibration

    options, rest = read_options(given)
    what, _ = read(subject, rest, options.seed)
    backend = find_backend(backend_name)
    program = compile_program(what.circuit, backend, options)
    calibration = take_calibration(backend, [part.circuit for part in program.parts])
    found = estimate(program, calibration, options, what.samples).plain()
    found |= {"subject": str(subject), "samples": what.samples, "calibrated": calibration.taken}
    found |= {"options": options.plain()}
    if as_json:
        print_json(found)
    else:
        echo(found)


def echo(found: dict[str, Any]) -> None:
    """Prints key and value, one a line."""
    for key, value in found.items():
        shown = f"{value:.6g}" if isinstance(value, float) else value
        click.echo(f"{key.replace('_', ' '):<20} {shown}")


LEDGER = click.option(
    "--ledger",
    "ledger_folder",
    type=click.Path(path_type=Path),
    help="The folder of jobs (default: $QFEDFM_JOBS, else jobs/).",
)


@ibm.command("submit")
@job_options
@LEDGER
@click.option(
    "--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Most QPU seconds (real: 60)."
)
@click.option("--yes", is_flag=True, help="Do not ask before submitting to a real backend.")
@click.option(
    "--copy", type=click.IntRange(min=0), default=0, help="1, 2, ... to run the same job once more."
)
@click.option("--json", "as_json", is_flag=True, help="Print the job as one JSON object.")
def submit_command(
    subject: Path,
    backend_name: str,
    ledger_folder: Path | None,
    max_seconds: float | None,
    yes: bool,
    copy: int,
    as_json: bool,
    **given: Any,
) -> None:
    """Submit SUBJECT as one job and return; what was submitted before is not submitted twice.

    SUBJECT is an OpenQASM 3 file, or the folder of a run, whose trained head is run on test examples. On a
    fake backend a process of its own runs the job.
    """
    from qfedfm.quantum.ibm.jobs import submit
    from qfedfm.quantum.ibm.ledger import Ledger

    options, rest = read_options(given)
    what, head = read(subject, rest, options.seed)

    def confirm(figures: dict[str, Any]) -> bool:
        if yes:
            return True
        click.echo(
            f"{figures['circuits']} circuits of {figures['shots']} shots on {backend_name}: about "
            f"{figures['qpu_seconds']:.1f} s on the processor, expected fidelity {figures['fidelity']:.3f}",
            err=True,
        )
        return click.confirm("submit?", err=True)

    found = submit(
        Ledger(ledger_folder),
        what,
        backend_name,
        options,
        max_seconds=max_seconds,
        confirm=confirm,
        copy=copy,
        head=head,
    )
    row = describe(found.job) | {"new": found.new}
    if not found.new:
        click.echo(f"the same job was submitted before ({row['created']}); --copy 1 runs it again", err=True)
    show(row, as_json)


@ibm.command("status")
@click.argument("jobs", nargs=-1)
@LEDGER
@click.option("--json", "as_json", is_flag=True, help="Print the jobs as one JSON object.")
def status_command(jobs: tuple[str, ...], ledger_folder: Path | None, as_json: bool) -> None:
    """Say how far JOBS (or all jobs of the ledger) are."""
    from qfedfm.cli.main import print_json
    from qfedfm.quantum.ibm.jobs import refresh
    from qfedfm.quantum.ibm.ledger import Ledger

    ledger = Ledger(ledger_folder)
    chosen = [ledger.job(name) for name in jobs] if jobs else ledger.jobs()
    for job in chosen:
        refresh(job)
    rows = [describe(job) for job in chosen]
    if as_json:
        print_json({"ledger": str(ledger.folder), "jobs": rows})
        return
    if not rows:
        click.echo(f"{ledger.folder}: no jobs")
    for row in rows:
        error = f"  {row['error']}" if row["error"] else ""
        click.echo(f"{row['id']}  {row['status']:<10} {row['backend']:<20} {row['source']}{error}")


@ibm.command("fetch")
@click.argument("jobs", nargs=-1, required=True)
@LEDGER
@click.option("--wait", "seconds", type=click.FloatRange(min=0), default=60.0, show_default=True)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw accuracies and errors to a file.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as one JSON object.")
def fetch_command(
    jobs: tuple[str, ...], ledger_folder: Path | None, seconds: float, plot: Path | None, as_json: bool
) -> None:
    """Fetch JOBS: values and standard errors, beside them the ideal and the noisy-simulated values.

    For the head of a run the accuracy with its interval; several jobs make one table.
    """
    from qfedfm.cli.main import print_json
    from qfedfm.experiment import hardware
    from qfedfm.quantum.ibm.ledger import Ledger

    ledger = Ledger(ledger_folder)
    results = [hardware.fetch_scored(ledger.job(name), seconds) for name in jobs]
    if plot is not None:
        hardware.figure(results).savefig(plot)
    if as_json:
        print_json(
            results[0] if len(results) == 1 else {"results": results, "rows": hardware.rows_of(results)}
        )
        return
    if len(results) == 1 and "accuracy" not in results[0]:
        echo_values(results[0])
    click.echo(hardware.table(results))
    for note in dict.fromkeys(note for result in results for note in result["notes"]):
        click.echo(f"note: {note}", err=True)


def echo_values(found: dict[str, Any]) -> None:
    """Prints the values of the first twenty points of a job."""
    for method, values in found["estimates"].items():
        click.echo(method)
        for sample in range(min(found["samples"], 20)):
            for place, name in enumerate(found["observables"]):
                beside = "".join(
                    f"  {word} {column[sample][place]:+.4f}"
                    for word, column in (("ideal", found["ideal"]), ("noisy", values["noisy"]))
                    if column is not None
                )
                value, sigma = values["values"][sample][place], values["standard_errors"][sample][place]
                click.echo(f"  {sample:>4} {name:<24} {value:+.4f} ± {sigma:.4f}{beside}")


@ibm.command("cancel")
@click.argument("job")
@LEDGER
@click.option("--json", "as_json", is_flag=True, help="Print the job as one JSON object.")
def cancel_command(job: str, ledger_folder: Path | None, as_json: bool) -> None:
    """Cancel JOB."""
    from qfedfm.quantum.ibm.jobs import cancel
    from qfedfm.quantum.ibm.ledger import Ledger

    found = Ledger(ledger_folder).job(job)
    cancel(found)
    show(describe(found), as_json)


def describe(job: Any) -> dict[str, Any]:
    """Returns what one wants to know of a job at a glance."""
    request, state = job.request, job.state
    return {
        "id": job.id,
        "status": state.status,
        "backend": request.backend,
        "source": request.source,
        "created": request.created,
        "updated": state.updated,
        "attempt": state.attempt,
        "job_id": state.job_id,
        "error": state.error,
        "usage_seconds": state.usage_seconds,
        "estimated_seconds": request.estimate["qpu_seconds"],
        "circuits": list(request.circuits),
        "layout": list(request.layout),
        "folder": str(job.folder),
    }


def show(row: dict[str, Any], as_json: bool) -> None:
    """Prints one job."""
    from qfedfm.cli.main import print_json

    if as_json:
        print_json(row)
    else:
        echo({key: row[key] for key in ("id", "status", "backend", "estimated_seconds", "folder")})
