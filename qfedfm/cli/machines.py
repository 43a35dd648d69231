"""``qfedfm serve`` and ``qfedfm join``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o", "--override", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Change one key."
)
@click.option(
    "--host", default="localhost", show_default=True, help="By which name clients reach this machine."
)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option("--bind", default="0.0.0.0", show_default=True, help="The address to listen on.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Certificates, tickets, database (default: served/<name>).",
)
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder (default: runs/<name>-<id>).")
@click.option("--insecure", is_flag=True, help="No TLS and no node keys: for a closed network only.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def serve(
    file: Path,
    overrides: tuple[str, ...],
    host: str,
    port: int,
    bind: str,
    state: Path | None,
    out: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Serve the experiment in FILE to clients on other machines, and run it.

    Called again with the same folders it goes on where it was.
    """
    from qfedfm.cli.main import print_json
    from qfedfm.experiment.loading import load
    from qfedfm.experiment.machines.programs import ending_on_terminate
    from qfedfm.experiment.machines.serving import Serving
    from qfedfm.experiment.machines.serving import serve as serve_
    from qfedfm.experiment.results import Run

    experiment = load(file, [*overrides, "federation.engine=flower"])
    serving = Serving(
        experiment,
        state or Path("served") / experiment.name,
        host=host,
        port=port,
        bind=bind,
        out=out,
        secure=not insecure,
    )
    with ending_on_terminate():
        folder = serve_(serving, lambda sentence: click.echo(sentence, err=True))
    if as_json:
        print_json({"folder": str(folder), **Run(folder).summary})
        return
    click.echo(Run(folder).describe())


@click.command()
@click.option(
    "--ticket", type=click.Path(path_type=Path), required=True, help="The file that the server made for you."
)
@click.option("--data", type=click.Path(path_type=Path), help="Your own data; it stays on this machine.")
@click.option(
    "--partition", type=click.IntRange(0), help="For rehearsals: a part of the experiment's own data."
)
@click.option("--server", help="HOST or HOST:PORT, where it is not the ticket's.")
@click.option(
    "--state", type=click.Path(path_type=Path), help="Keys and state (default: joined/<ticket's name>)."
)
@click.option(
    "--keys", type=click.Path(path_type=Path), help="For channels on QKD: the key store of your key manager."
)
def join(
    ticket: Path,
    data: Path | None,
    partition: int | None,
    server: str | None,
    state: Path | None,
    keys: Path | None,
) -> None:
    """Take part in a served experiment with this machine's data, until the last round."""
    from qfedfm.experiment.machines.joining import join as join_
    from qfedfm.experiment.machines.programs import ending_on_terminate
    from qfedfm.experiment.machines.tickets import Ticket
    from qfedfm.experiment.machines.workplace import Joining

    way_in = Ticket.read(ticket)
    way_in.check(partition)
    joining = Joining(state or Path("joined") / way_in.name, data, partition, keys)
    with ending_on_terminate():
        join_(joining, way_in, lambda sentence: click.echo(sentence, err=True), server)
