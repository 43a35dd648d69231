"""``qfedfm aggregate``."""

from __future__ import annotations

import click

from qfedfm.cli.bench import aggregation


@click.group()
def aggregate() -> None:
    """Rules that combine the clients' updates."""


aggregate.add_command(aggregation, "bench")


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
