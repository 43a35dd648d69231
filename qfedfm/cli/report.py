"""``qfedfm report`` and ``qfedfm runs``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where to write (default: beside the first run)."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report's path as one JSON object.")
def report(runs: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Write report.html of one run, or one report that sets several RUNS side by side."""
    from qfedfm.cli.main import print_json
    from qfedfm.experiment.report import write_comparison_report, write_report
    from qfedfm.experiment.results import Run

    folders = [Run(folder).folder for folder in runs]
    if len(folders) == 1 and out is None:
        path = write_report(folders[0])
    else:
        path = write_comparison_report(folders, out or folders[0].parent / "comparison.html")
    if as_json:
        print_json({"report": str(path)})
        return
    click.echo(path)


@click.command()
@click.argument("folder", default="runs", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the runs as one JSON object.")
def runs(folder: Path, as_json: bool) -> None:
    """List the runs in FOLDER: state, rounds, accuracy."""
    from qfedfm.cli.main import print_json
    from qfedfm.experiment.results import list_runs

    found = list_runs(folder)
    if as_json:
        print_json({"runs": found})
        return
    if not found:
        click.echo(f"no runs in {folder}")
        return
    width = max(len(entry["name"]) for entry in found)
    for entry in found:
        accuracy = f"{entry['test_accuracy']:.4f}" if entry["test_accuracy"] is not None else "-"
        click.echo(
            f"{entry['name']:<{width}}  {entry['status']:<11}  rounds {entry['rounds']:>4}/{entry['of']:<4}"
            f"  accuracy {accuracy:<7}  {entry['folder']}"
        )
