"""``qfedfm bench``."""

from __future__ import annotations

import json
from typing import Any

import click


@click.group()
def bench() -> None:
    """Measure against named peers on this machine; ratios, medians, one process each."""


@bench.command()
@click.option(
    "--part", type=click.Choice(["all", "lora", "flower", "scale"]), default="all", show_default=True
)
@click.option("--executor", default="torch", show_default=True, help="Our executor against Flower.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def federation(part: str, executor: str, as_json: bool) -> None:
    """LoRA against the PEFT loop, head-only clients against Flower with PennyLane, growth with scale."""
    from qfedfm.cli.main import print_json

    found: dict[str, Any] = {}
    if part in ("all", "lora"):
        from qfedfm.benchmarks import lora

        found["lora"] = lora.measure()
    if part in ("all", "flower"):
        from qfedfm.benchmarks import flower

        found["flower"] = flower.measure(executor=executor)
    if part in ("all", "scale"):
        from qfedfm.benchmarks import scale

        found["scale"] = scale.measure()
    if as_json:
        print_json(found)
        return
    for name, figures in found.items():
        click.echo(name)
        for entry in figures if isinstance(figures, list) else [figures]:
            click.echo("  " + (json.dumps(entry) if isinstance(figures, list) else ""))
            if isinstance(entry, dict) and not isinstance(figures, list):
                for key, value in entry.items():
                    click.echo(
                        f"  {key:<22} {value:.4g}" if isinstance(value, float) else f"  {key:<22} {value}"
                    )
