"""``qfedfm certs``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the authority.")
@click.option("--server", "servers", multiple=True, help="A host name or address; may be repeated.")
@click.option("--client", "clients", multiple=True, help="An identity (SAE, client); may be repeated.")
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the files as one JSON object.")
def certs(out: Path, servers: tuple[str, ...], clients: tuple[str, ...], days: int, as_json: bool) -> None:
    """Make an authority if there is none, and TLS identities signed by it."""
    from qfedfm.cli.main import print_json
    from qfedfm.security.certificates import AUTHORITY, issue, make_authority

    if not (out / f"{AUTHORITY}.key").exists():
        make_authority(out)
    made = {}
    for name in servers:
        hosts = (name, "127.0.0.1") if name == "localhost" else (name,)
        made[name] = issue(out, name, hosts=hosts, days=days)
    for name in clients:
        made[name] = issue(out, name, days=days)
    if as_json:
        print_json(
            {
                "authority": str(out / f"{AUTHORITY}.pem"),
                "identities": {
                    n: {"certificate": str(f.certificate), "key": str(f.key)} for n, f in made.items()
                },
            }
        )
        return
    click.echo(f"authority {out / f'{AUTHORITY}.pem'}")
    for name, files in made.items():
        click.echo(f"{name}: {files.certificate}")
