"""``qfedfm circuits``: list, show, export, check; ``analyse`` has a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qfedfm.circuits import Circuit, families, family, family_description, family_options
from qfedfm.cli.circuits_analyse import analyse

qubits_option = click.option("--qubits", type=click.IntRange(min=1), help="Number of qubits (default: 4).")
layers_option = click.option("--layers", type=click.IntRange(min=1), help="Number of layers (default: 2).")
options_option = click.option(
    "-o", "--option", "options", multiple=True, metavar="NAME=VALUE", help="A further option of the family."
)


@click.group()
def circuits() -> None:
    """The circuits that heads and protocols are made of, and the gallery of files."""


circuits.add_command(analyse)


@circuits.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the families as one JSON object.")
def list_families(as_json: bool) -> None:
    """List the families and their options."""
    from qfedfm.cli.main import print_json

    if as_json:
        print_json(
            {
                "families": {name: list(family_options(name)) for name in families()},
                "descriptions": {name: family_description(name).title for name in families()},
            }
        )
        return
    for name in families():
        click.echo(f"{name:<22} {family_description(name).title}")
        if family_options(name):
            click.echo(f"{'':<22}   options: {', '.join(family_options(name))}")


@circuits.command("show")
@click.argument("name")
@qubits_option
@layers_option
@options_option
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Also write a drawing.")
@click.option("--json", "as_json", is_flag=True, help="Print facts and drawing as one JSON object.")
def show(
    name: str,
    qubits: int | None,
    layers: int | None,
    options: tuple[str, ...],
    svg: Path | None,
    as_json: bool,
) -> None:
    """Draw the circuit of family NAME, or of an OpenQASM 3 file, and print its facts."""
    from qfedfm.cli.main import print_json
    from qfedfm.core.files import write_atomic

    circuit, about = chosen(name, qubits, layers, options)
    facts = _facts(circuit)
    if svg is not None:
        write_atomic(svg, circuit.svg(standalone=True) + "\n")
    if as_json:
        print_json({**about, **facts, "drawing": circuit.draw()})
        return
    click.echo(circuit.draw())
    for key, value in facts.items():
        click.echo(f"{key.replace('_', ' ')}: {value}")


@circuits.command("export")
@click.argument("name", required=False)
@qubits_option
@layers_option
@options_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("circuits"),
    show_default=True,
    help="The gallery's folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as one JSON object.")
def export(
    name: str | None,
    qubits: int | None,
    layers: int | None,
    options: tuple[str, ...],
    out: Path,
    as_json: bool,
) -> None:
    """Write the gallery, or the files of one size of family NAME: program, parameters and values, drawing.

    Circuits with amplitudes as inputs are written with fixed example amplitudes, and marked so.
    """
    from qfedfm.cli.main import print_json
    from qfedfm.core.errors import RequestError
    from qfedfm.quantum.gallery.export import export_entry, export_gallery

    if name is None:
        if qubits is not None or layers is not None or options:
            raise RequestError("export: --qubits, --layers and -o are of one family: name it")
        written = export_gallery(out)
    else:
        depth = layers or default_layers(name, 2)
        written = export_entry(out, name, qubits=qubits or 4, layers=depth, options=parsed(options))
    if as_json:
        print_json({"folder": str(out), "written": written})
        return
    for path in written:
        click.echo(out / path)
    if not written:
        click.echo(f"{out} holds everything already")


@circuits.command("check")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def check(paths: tuple[Path, ...], as_json: bool) -> None:
    """Read programs back through Qiskit and PennyLane and compare values and gradients with ours.

    PATHS are OpenQASM 3 files or folders of them; by default the gallery that came with the package, which is
    also compared with what export writes. Exit code 1 if anything differs.
    """
    from qfedfm.cli.main import print_json
    from qfedfm.core.errors import RequestError
    from qfedfm.quantum.gallery import check_file, check_gallery, gallery_folder

    findings, stale = [], []
    for path in paths or (gallery_folder(),):
        if path.is_dir():
            more, outdated = check_gallery(path)
            findings += more
            stale += outdated
        elif path.is_file():
            findings.append(check_file(path))
        else:
            raise RequestError(f"{path}: there is no such file or folder; give OpenQASM 3 files or a gallery")
    ok = not stale and all(not finding.problems for finding in findings)
    if as_json:
        print_json({"ok": ok, "files": [finding.plain() for finding in findings], "differences": stale})
    else:
        for finding in findings:
            worst = ", ".join(
                f"{reader} {value:.0e}" + (f" / {finding.gradients[reader]:.0e}" if finding.gradients else "")
                for reader, value in finding.values.items()
            )
            click.echo(f"{'ok' if not finding.problems else 'WRONG':<6}{finding.file}  {worst}")
            for sentence in (*finding.problems, *finding.notes):
                click.echo(f"      {sentence}")
        for sentence in stale:
            click.echo(f"WRONG {sentence}")
        click.echo(
            f"{len(findings)} files; largest differences of values / gradients by reader"
            if ok
            else "some files differ"
        )
    if not ok:
        raise click.exceptions.Exit(1)


def chosen(
    name: str, qubits: int | None, layers: int | None, options: tuple[str, ...]
) -> tuple[Circuit, dict[str, Any]]:
    """Returns the circuit of a family, or of a file, and what it is; notes go to stderr."""
    from qfedfm.core.errors import RequestError

    if name in families() or not (name.endswith(".qasm") or Path(name).is_file()):
        size, depth = qubits or 4, layers or default_layers(name, 2)
        circuit = family(name, qubits=size, layers=depth, **parsed(options))
        return circuit, {"family": name, "qubits": size, "layers": depth}
    from qfedfm.circuits.openqasm import read_qasm_file

    if qubits is not None or layers is not None or options:
        raise RequestError(f"{name}: a file has its own size; leave out --qubits, --layers and -o")
    found = read_qasm_file(name)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    return found.circuit, {"file": name, "qubits": found.circuit.qubits, "notes": list(found.notes)}


def default_layers(name: str, usual: int) -> int:
    """Returns the layers of a family where none are given."""
    return 1 if name == "bb84_prepare_measure" else usual


def parsed(options: tuple[str, ...]) -> dict[str, Any]:
    """Returns ``{"topology": "ring"}`` for ``topology=ring``; values are YAML."""
    from qfedfm.experiment.loading import override

    return override({}, options)


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
