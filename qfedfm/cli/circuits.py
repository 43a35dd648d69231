"""``qfedfm circuits``."""

from __future__ import annotations

import click

from qfedfm.circuits import Circuit, families, family, family_options


@click.group()
def circuits() -> None:
    """The circuits that heads are made of."""


@circuits.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the families as one JSON object.")
def list_families(as_json: bool) -> None:
    """List the families and their options."""
    from qfedfm.cli.main import print_json

    found = {name: list(family_options(name)) for name in families()}
    if as_json:
        print_json({"families": found})
        return
    for name, options in found.items():
        click.echo(f"{name:<24} {', '.join(options)}".rstrip())


@circuits.command("show")
@click.argument("name")
@click.option("--qubits", type=click.IntRange(min=1), default=4, show_default=True)
@click.option("--layers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print facts and drawing as one JSON object.")
def show(name: str, qubits: int, layers: int, as_json: bool) -> None:
    """Draw the circuit of family NAME and print its facts."""
    from qfedfm.cli.main import print_json

    circuit = family(name, qubits=qubits, layers=layers)
    facts = _facts(circuit)
    if as_json:
        print_json({"family": name, "qubits": qubits, "layers": layers, **facts, "drawing": circuit.draw()})
        return
    click.echo(circuit.draw())
    for key, value in facts.items():
        click.echo(f"{key.replace('_', ' ')}: {value}")


def _facts(circuit: Circuit) -> dict[str, object]:
    return {
        "inputs": circuit.n_inputs,
        "weights": circuit.n_weights,
        "observables": circuit.n_observables,
        "depth": circuit.depth,
        "two_qubit_gates": circuit.two_qubit_count,
        "weights_without_gradient": list(circuit.zero_gradient_weights),
        "hash": circuit.hash,
    }
