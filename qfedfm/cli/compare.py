"""``qfedfm compare``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--seeds", type=click.IntRange(min=1), help="Number of seeds (default: as in the file).")
@click.option("--quick", is_flag=True, help="A rehearsal: two seeds, two rounds, no selection.")
@click.option(
    "--cells", multiple=True, metavar="TEXT", help="Only cells whose label contains TEXT (and the first)."
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the result without machine and search to this file, to be committed.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the table and runs.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as one JSON object.")
def compare(
    file: Path,
    seeds: int | None,
    quick: bool,
    cells: tuple[str, ...],
    results: Path | None,
    out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run the comparison in FILE: every cell by every seed, one table with intervals and paired tests.

    Runs that exist are reused; an interrupted comparison continues where it stopped.
    """
    from qfedfm.cli.main import print_json
    from qfedfm.experiment.comparing import compare as run_comparison

    found = run_comparison(
        file,
        seeds=seeds,
        quick=quick,
        cells=cells,
        out=out,
        note=None if quiet else lambda line: click.echo(line, err=True),
    )
    if results is not None:
        found.write_results(results)
    if as_json:
        print_json(found.content)
        return
    click.echo(found.text())
    click.echo(f"{found.folder / 'comparison.html'}")
