"""``qfedfm run``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o", "--override", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Change one key."
)
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder (default: runs/<name>-<id>).")
@click.option("--resume", is_flag=True, help="Continue an interrupted run to the same bits.")
@click.option("--force", is_flag=True, help="Start over even if the run is complete.")
@click.option("--verify", is_flag=True, help="Check each round's exactness certificate by dense matrices.")
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Run the clients with Flower's simulation engine on the Ray cluster at ADDRESS; `here` starts Ray.",
)
@click.option(
    "--ray-cpus", type=click.FloatRange(0, min_open=True), default=1.0, help="Cores of a client on Ray."
)
@click.option("--ray-gpus", type=click.FloatRange(0), default=0.0, help="GPUs of a client on Ray, or a part.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def run(
    file: Path,
    overrides: tuple[str, ...],
    out: Path | None,
    resume: bool,
    force: bool,
    verify: bool,
    ray: str | None,
    ray_cpus: float,
    ray_gpus: float,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run the experiment in FILE (or in a run's folder) and write its report.

    A complete run is not repeated: its summary is printed again.
    """
    from qfedfm.cli.main import print_json
    from qfedfm.experiment.loading import load
    from qfedfm.experiment.progress import open_progress
    from qfedfm.experiment.results import Run
    from qfedfm.experiment.running import run_experiment

    experiment = load(file, [*overrides, "federation.engine=flower"] if ray is not None else overrides)
    if file.is_dir() and out is None:
        out = file
    progress = open_progress(quiet)
    if ray is None:
        folder = run_experiment(
            experiment, out=out, resume=resume, force=force, progress=progress, verify=verify
        )
    else:
        from qfedfm.experiment.machines.cluster import Cluster
        from qfedfm.experiment.machines.simulating import simulate

        cluster = Cluster(None if ray == "here" else ray, ray_cpus, ray_gpus)
        folder = simulate(
            experiment, cluster, out=out, resume=resume, force=force, progress=progress, verify=verify
        )
    if as_json:
        print_json({"folder": str(folder), **Run(folder).summary})
        return
    click.echo(Run(folder).describe())
