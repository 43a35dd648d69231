"""``qfedfm aggregate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.group()
def aggregate() -> None:
    """Rules that combine the clients' updates, and protocols that reveal only their sum."""


@aggregate.command("bench")
@click.option(
    "--protocol",
    "chosen",
    multiple=True,
    metavar="[LABEL=]OPTIONS",
    help="A protocol as in security.sum, for example 'fast={kind: masks, bits: 16}'; by default all kinds.",
)
@click.option("--clients", default="2,5,10,20,50,100", show_default=True, help="Values of K.")
@click.option("--sizes", default="1e2,1e3,1e4,1e5,1e6,1e7", show_default=True, help="Values of d.")
@click.option(
    "--shots",
    default="256,1024,4096,16384,65536",
    show_default=True,
    help="Shots of the first GHZ phase sum.",
)
@click.option(
    "--noise",
    default="0.001,0.005,0.01,0.02",
    show_default=True,
    help="Its errors, part of a qubit's states.",
)
@click.option("--loss", default="0.01,0.05,0.1,0.2", show_default=True, help="Its lost qubits, the same.")
@click.option("--clock", type=click.FloatRange(0), default=1e-6, show_default=True, help="Seconds of a shot.")
@click.option("--most", type=float, default=3e8, show_default=True, help="Largest K*K*d of a point.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Write JSON, CSV, HTML, figures here."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def bench(
    chosen: tuple[str, ...],
    clients: str,
    sizes: str,
    shots: str,
    noise: str,
    loss: str,
    clock: float,
    most: float,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare sum protocols: error, bytes, keys, shots, seconds, promises.

    Over clients and numbers of an update; a GHZ phase sum also over shots, noise and loss. Growth is fitted
    and printed beside the formulas. About three minutes on one core as it stands.
    """
    from qfedfm.benchmarks.protocols import compare, protocols
    from qfedfm.cli.main import print_json

    wanted = dict(_protocol(text) for text in chosen) if chosen else None
    found = compare(
        protocols(wanted),
        _numbers(clients, "--clients", 2),
        _numbers(sizes, "--sizes", 1),
        clock=clock,
        most=most,
        seed=seed,
        sweeps={
            "shots": _numbers(shots, "--shots", 1),
            "depolarizing": _parts(noise, "--noise"),
            "loss": _parts(loss, "--loss"),
        },
        say=lambda text: click.echo(text, err=True),
    )
    if out is not None:
        from qfedfm.benchmarks.protocols_page import write

        for path in write(found, out):
            click.echo(str(path), err=True)
    if as_json:
        print_json(found)
        return
    _print(found)


def _print(found: dict[str, Any]) -> None:
    from qfedfm.benchmarks.protocols_scaling import theory

    header = (
        f"{'protocol':<22}{'K':>4}{'d':>9}{'error':>10}{'up/client':>12}{'key bits':>11}{'shots':>11}{'s':>9}"
    )
    click.echo(header)
    for p in found["points"]:
        click.echo(
            f"{p['protocol']:<22}{p['clients']:>4}{p['size']:>9}{p['relative_rmse']:>10.1e}"
            f"{p['upload_bytes']:>12.0f}{p['key_bits']:>11.0f}{p['shots']:>11}{p['seconds']:>9.3f}"
        )
    for p in found["sweeps"]:
        click.echo(
            f"{p['protocol']}, {p['over']} {p['value']:g}: error {p['relative_rmse']:.1e}, "
            f"{p['states']} states, {p['quantum_seconds']:g} s of quantum time"
        )
    click.echo(f"{'growth':<24}{'cost':<16}{'over':<10}{'fitted':>8}{'theory':>8}  formula")
    for row in found["scaling"]:
        click.echo(
            f"{row['protocol']:<24}{row['cost']:<16}{row['over']:<10}{row['exponent']:>8.2f}"
            f"{theory(row):>8}  {row['formula']}"
        )
    for label, promise in found["promises"].items():
        click.echo(f"{label}: hidden from {promise['hides_from']}")
        click.echo(f"{'':<4}a server that cheats {promise['malicious_server']}")
    for entry in found["left_out"]:
        click.echo(f"left out: {entry['protocol']}, K={entry['clients']}, d={entry['size']}: {entry['why']}")


def _numbers(text: str, option: str, least: int) -> list[int]:
    from qfedfm.core.errors import RequestError

    try:
        values = [int(float(part)) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or min(values) < least:
        raise RequestError(f"{option} is {text!r}; give whole numbers from {least}, separated by commas")
    return sorted(set(values))


def _parts(text: str, option: str) -> list[float]:
    from qfedfm.core.errors import RequestError

    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(0 <= value < 0.75 for value in values):
        raise RequestError(f"{option} is {text!r}; give numbers from 0 to below 0.75, separated by commas")
    return sorted(set(values))


def _protocol(text: str) -> tuple[str, dict[str, Any]]:
    import yaml

    from qfedfm.core.errors import RequestError

    label, mark, options = text.partition("={")
    try:
        found = yaml.safe_load("{" + options if mark else text)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise RequestError(
            f"--protocol is {text!r}; write options as in security.sum, {{kind: masks, bits: 16}}"
        )
    return (label if mark else text.strip("{}")), found


@aggregate.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the rules as one JSON object.")
def list_rules(as_json: bool) -> None:
    """List the rules with what each needs."""
    from typing import get_args

    from qfedfm.aggregation import AggregationConfig, Rule
    from qfedfm.cli.main import print_json

    union = get_args(AggregationConfig)[0]
    rules: list[type[Rule]] = list(get_args(union))
    found = [
        {
            "kind": rule.model_fields["kind"].default,
            "method": (_first_line(rule)),
            "mixed_ranks": rule.mixed_ranks,
            "sees": rule.model_validate({}).sees,
            "changes_frozen_weights": rule.moves_frozen,
        }
        for rule in rules
    ]
    if as_json:
        print_json({"rules": found})
        return
    for entry in found:
        notes = [entry["sees"]] + [n for n in ("mixed_ranks", "changes_frozen_weights") if entry[n]]
        click.echo(f"{entry['kind']:<11} {entry['method']}")
        click.echo(f"{'':<11} sees {', '.join(str(note).replace('_', ' ') for note in notes)}")


def _first_line(rule: type) -> str:
    import sys

    return (sys.modules[rule.__module__].__doc__ or "").strip().splitlines()[0]
