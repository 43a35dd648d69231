"""``qfedfm bench``."""

from __future__ import annotations

import json
from typing import Any

import click


@click.group()
def bench() -> None:
    """Measure against named peers on this machine; ratios, medians, one process each."""


@bench.command("aggregation")
@click.option("--clients", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--rank", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--size", type=click.IntRange(min=1), default=4096, show_default=True, help="Side of a layer.")
@click.option(
    "--layers", type=click.IntRange(min=1), default=128, show_default=True, help="Adapted matrices."
)
@click.option(
    "--measured",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Layers that are really combined; the times of all are extrapolated from them.",
)
@click.option("--no-dense", is_flag=True, help="Leave out the dense route, which takes minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def aggregation(
    clients: int, rank: int, size: int, layers: int, measured: int, no_dense: bool, as_json: bool
) -> None:
    """Combine a 7-billion model's LoRA: exact fixed rank against the dense SVD, FedIT against reading."""
    from qfedfm.benchmarks.aggregation import Shape, measure
    from qfedfm.cli.main import print_json
    from qfedfm.core.errors import RequestError

    if rank > size:
        raise RequestError(f"--rank is {rank}, above the size of a layer, {size}; use at most {size}")
    shape = Shape(layers=layers, outputs=size, inputs=size, rank=rank, clients=clients)
    found = measure(shape, streamed=min(measured, layers), dense=not no_dense)
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        click.echo(f"{key:<22} {value:.4g}" if isinstance(value, float) else f"{key:<22} {value}")


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


@bench.command()
@click.option("--part", default="all", show_default=True, help="One part of the figures.")
@click.option("--threads", type=click.IntRange(1), help="Threads of torch and of the compiled executor.")
@click.option("--seconds", type=float, default=4.0, show_default=True, help="Seconds for each ratio.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def quantum(part: str, threads: int | None, seconds: float, as_json: bool) -> None:
    """Circuits: a training step against PennyLane, many clients, torch, noisy Aer, the metric tensor."""
    from qfedfm.benchmarks.quantum import PARTS, measure
    from qfedfm.cli.main import print_json
    from qfedfm.core.config import nearest
    from qfedfm.core.errors import RequestError

    if part not in ("all", *PARTS):
        raise RequestError(f"--part: there is no part {part!r}{nearest(part, ('all', *PARTS))}")
    found = measure(part, threads, seconds)
    if as_json:
        print_json(found)
        return
    for row in found["ratios"]:
        ratio = f"{row['ratio']:.4g}" if isinstance(row["ratio"], float) else row["ratio"]
        click.echo(f"  {row['name']:<60} {ratio:>10}  (asked for: {row['target']})")
    for row in found.get("steps", ()):
        click.echo(
            f"  {row['size']:<30} {row['milliseconds']['statevector']:.3f} ms, {row['gflops']:.3g} GFLOP/s, "
            f"{row['times_arithmetic_limit']:.1f} times the arithmetic and "
            f"{row['times_memory_limit']:.1f} times the memory limit"
        )
    for name in ("compilation", "plugin", "wide"):
        if name in found:
            click.echo(f"  {name}: {json.dumps(found[name])}")


@bench.command()
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def qkd(repeats: int, as_json: bool) -> None:
    """Pulses, Cascade, privacy amplification, a whole link, a finite-key point; on one core."""
    from qfedfm.benchmarks.qkd import measure
    from qfedfm.cli.main import print_json

    found = measure(repeats)
    if as_json:
        print_json(found)
        return
    for name, figures in found.items():
        click.echo(name)
        for key, value in figures.items():
            click.echo(f"  {key:<32} {value:.4g}" if isinstance(value, float) else f"  {key:<32} {value}")
