"""What ``qfedfm ibm estimate`` and ``submit`` share: the subject, the backend, the settings of a job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., None]


def job_options(command: Command) -> Command:
    """Adds the options of what is run and how."""
    for option in reversed(
        [
            click.argument("subject", type=click.Path(path_type=Path)),
            click.option("--backend", "backend_name", required=True, help="fake_sherbrooke, ibm_torino, ..."),
            click.option("--parameters", type=click.Path(path_type=Path), help="A file's values, JSON."),
            click.option("--examples", type=click.IntRange(min=1), help="Of a run's test data (64)."),
            click.option("--shots", type=click.IntRange(min=1), default=4096, show_default=True),
            click.option("--optimization-level", type=click.IntRange(0, 3), default=3, show_default=True),
            click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=7, show_default=True),
            click.option("--readout-mitigation", is_flag=True, help="Invert each qubit's readout matrix."),
            click.option(
                "--zne", "scales", metavar="1,3,5", help="Extrapolate to zero noise from these folds."
            ),
            click.option(
                "--zne-fit", type=click.Choice(["linear", "richardson"]), default="linear", show_default=True
            ),
            click.option("--twirling", is_flag=True, help="Pauli twirling of gates and measurements."),
            click.option(
                "--dynamical-decoupling",
                type=click.Choice(["none", "XX", "XpXm", "XY4"]),
                default="none",
                show_default=True,
                help="Real backends only.",
            ),
            click.option(
                "--mode",
                type=click.Choice(["job", "batch", "session"]),
                default="job",
                show_default=True,
                help="Real backends only.",
            ),
        ]
    ):
        command = option(command)
    return command


def read_options(given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns the job's options, and what of ``given`` is not among them."""
    from pydantic import ValidationError

    from qfedfm.core.errors import RequestError
    from qfedfm.quantum.ibm import JobOptions, Zne

    rest = dict(given)
    scales, fit = rest.pop("scales"), rest.pop("zne_fit")
    try:
        zne = None
        if scales is not None:
            zne = Zne(scales=tuple(int(scale) for scale in scales.split(",")), fit=fit)
        elif fit != "linear":
            raise RequestError("--zne-fit has no effect without --zne; give for example --zne 1,3,5")
        names = [name for name in JobOptions.model_fields if name in rest]
        return JobOptions(zne=zne, **{name: rest.pop(name) for name in names}), rest
    except RequestError:
        raise
    except ValidationError as error:
        cause = error.errors()[0].get("ctx", {}).get("error")
        raise RequestError(str(cause or error.errors()[0]["msg"])) from None
    except ValueError as error:
        raise RequestError(f"--zne is {scales!r}; expected odd numbers such as 1,3,5") from error


def read(subject: Path, rest: dict[str, Any], seed: int) -> tuple[Any, Any]:
    """Returns the circuit and points of what the user named, and for a run what follows the circuit."""
    from qfedfm.core.errors import RequestError
    from qfedfm.quantum.ibm.points import read_subject

    if subject.is_dir():
        if rest.get("parameters") is not None:
            raise RequestError("--parameters are of a circuit's file; a run has its own (see --examples)")
        from qfedfm.experiment.hardware import head_on_examples

        return head_on_examples(subject, rest.get("examples") or 64, seed)
    if rest.get("examples") is not None:
        raise RequestError(f"--examples are of a run's folder, and {subject} is none")
    found = read_subject(subject, rest.get("parameters"))
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    return found, None
