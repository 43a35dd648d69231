"""``qfedfm schema`` and ``qfedfm doctor``."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The schema is JSON in any case.")
def schema(as_json: bool) -> None:
    """Print the JSON schema of the experiment file, so that editors can complete it."""
    from qfedfm.cli.main import print_json
    from qfedfm.experiment.config import Experiment

    print_json(Experiment.model_json_schema())


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def doctor(as_json: bool) -> None:
    """Check packages, backbone weights, device, precision and cache; exit code 1 if the base is broken."""
    from qfedfm.cli.main import print_json
    from qfedfm.experiment.doctor import examine

    findings = examine()
    broken = [entry for entry in findings if entry["state"] == "broken"]
    if as_json:
        print_json({"findings": findings, "ok": not broken})
    else:
        for entry in findings:
            click.echo(f"{entry['state']:<8} {entry['name']}: {entry['detail']}")
    if broken:
        raise click.exceptions.Exit(1)
