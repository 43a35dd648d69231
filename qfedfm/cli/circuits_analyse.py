"""``qfedfm circuits analyse``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from qfedfm.circuits import Circuit

PARTS = ("gradients", "expressibility", "entanglement", "metric")


class Range(click.ParamType[tuple[int, ...]]):
    """``4``, ``2,4,8`` or ``2-8``: whole numbers of at least 1."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Returns the numbers, sorted."""
        if isinstance(value, tuple):
            return value
        found: set[int] = set()
        for part in str(value).split(","):
            low, dash, high = part.strip().partition("-")
            if not low.isdigit() or (dash and not high.isdigit()) or int(low) < 1:
                self.fail(f"{value!r} is not numbers such as 2,4,8 or a range such as 2-8", param, ctx)
            found |= set(range(int(low), int(high or low) + 1))
        if not found:
            self.fail(f"{value!r} is an empty range", param, ctx)
        return tuple(sorted(found))


@click.command()
@click.argument("name")
@click.option("--qubits", type=Range(), help="Sizes: 4, or 2,4,8, or 2-8 (default: 2-6).")
@click.option("--layers", type=Range(), help="Depths, in the same way (default: 1,2,4).")
@click.option(
    "-o", "--option", "options", multiple=True, metavar="NAME=VALUE", help="A further option of the family."
)
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Only this part; may be repeated (default: all).",
)
@click.option(
    "--cost",
    type=click.Choice(["local", "global", "own"]),
    default="local",
    show_default=True,
    help="Observable of the gradients: Z of qubit 0, Z of all qubits, or the circuit's first.",
)
@click.option(
    "--inputs",
    type=click.Choice(["zero", "random"]),
    help="Inputs of all parts (default: random for gradients and metric, zero for the others).",
)
@click.option("--samples", type=click.IntRange(min=2), default=200, show_default=True, help="Random points.")
@click.option(
    "--pairs", type=click.IntRange(min=2), default=5000, show_default=True, help="Pairs for expressibility."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the points.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for plots and analysis.json."
)
@click.option(
    "--format", "suffix", type=click.Choice(["png", "svg", "pdf"]), default="png", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def analyse(
    name: str,
    qubits: tuple[int, ...] | None,
    layers: tuple[int, ...] | None,
    options: tuple[str, ...],
    parts: tuple[str, ...],
    cost: Any,
    inputs: Any,
    samples: int,
    pairs: int,
    seed: int,
    out: Path | None,
    suffix: str,
    as_json: bool,
) -> None:
    """Look at family NAME, or at an OpenQASM 3 file, before training it.

    Variances of its gradients over qubits and layers (barren plateaus), expressibility and entangling
    capability (Sim, Johnson, Aspuru-Guzik 2019), and the metric tensor, with plots in the folder --out.
    """
    from qfedfm.cli.circuits import chosen, default_layers, parsed
    from qfedfm.cli.main import print_json

    given = None
    if name.endswith(".qasm") or Path(name).is_file():
        given, _ = chosen(name, min(qubits or (0,)) or None, min(layers or (0,)) or None, options)
        qubits, layers = (given.qubits,), (1,)
    study = Study(
        name,
        given,
        qubits or (2, 3, 4, 5, 6),
        layers or ((default_layers(name, 0),) if default_layers(name, 0) else (1, 2, 4)),
        {} if given else parsed(options),
        seed,
    )
    wanted = parts or PARTS
    found: dict[str, Any] = {"circuit": name, "options": study.options, "seed": seed, "skipped": {}}
    if "gradients" in wanted:
        study.attempt(found, "gradients", lambda: study.gradients(samples, cost, inputs or "random"))
    if "expressibility" in wanted:
        study.attempt(found, "expressibility", lambda: study.expressibility(pairs, inputs or "zero"))
    if "entanglement" in wanted:
        study.attempt(found, "entanglement", lambda: study.entanglement(samples, inputs or "zero"))
    if "metric" in wanted:
        study.attempt(found, "metric", lambda: study.metric(min(samples, 50), inputs or "random"))
    if out is not None:
        found["plots"] = study.write(out, suffix, found)
    if as_json:
        print_json(found)
        return
    _print(found)


class Study:
    """What is computed for one family or file, and kept for the plots.

    Args:
        name: The family, or the file.
        given: The file's circuit.
        qubits: Sizes.
        layers: Depths.
        options: Further options of the family.
        seed: Seed of the points.
    """

    def __init__(
        self,
        name: str,
        given: Circuit | None,
        qubits: tuple[int, ...],
        layers: tuple[int, ...],
        options: dict[str, Any],
        seed: int,
    ) -> None:
        self.name, self.given, self.options = name, given, options
        self.qubits, self.layers, self.seed = qubits, layers, seed
        self.kept: dict[str, Any] = {}
        for size in qubits:  # refuses sizes and options that do not exist before anything is computed
            for depth in layers:
                self.circuit(size, depth)

    def circuit(self, qubits: int, layers: int) -> Circuit:
        """Returns the circuit of a size."""
        from qfedfm.circuits import family

        return self.given or family(self.name, qubits=qubits, layers=layers, **self.options)

    def attempt(self, found: dict[str, Any], part: str, work: Any) -> None:
        """Adds a part to what was found, or the sentence that says why the circuit has none."""
        from qfedfm.core.errors import RequestError

        try:
            found[part] = work()
        except RequestError as error:
            found["skipped"][part] = str(error)

    def _generator(self, part: str, *place: int) -> Any:
        from qfedfm.core.random import Streams

        return Streams(self.seed).at(part, *place).torch("parameters")

    def gradients(self, samples: int, cost: Any, inputs: Any) -> list[dict[str, Any]]:
        """Returns the variances of every size, and how fast they fall at every depth."""
        from qfedfm.quantum.diagnostics import decay_rate, gradient_variance_of

        rows: list[dict[str, Any]] = []
        self.kept["gradients"] = []
        for depth in self.layers:
            scan = []
            for size in self.qubits:
                generator = self._generator("gradients", size, depth)
                circuit = self.circuit(size, depth)
                scan.append(
                    gradient_variance_of(circuit, depth, samples, generator, cost=cost, inputs=inputs)
                )
            self.kept["gradients"] += scan
            rate = decay_rate(scan)
            rows += [{**asdict(row), "decay_rate": rate} for row in scan]
        return rows

    def expressibility(self, pairs: int, inputs: Any) -> list[dict[str, Any]]:
        """Returns the expressibility of every size."""
        from qfedfm.quantum.diagnostics import expressibility

        rows = []
        for size in self.qubits:
            for depth in self.layers:
                generator = self._generator("expressibility", size, depth)
                found = expressibility(
                    self.circuit(size, depth), pairs=pairs, generator=generator, inputs=inputs
                )
                self.kept["expressibility"] = size, depth, found
                rows.append({"qubits": size, "layers": depth, **asdict(found)})
        return rows

    def entanglement(self, samples: int, inputs: Any) -> list[dict[str, Any]]:
        """Returns the entangling capability of every size."""
        from qfedfm.quantum.diagnostics import entangling_capability

        kept = []
        for size in self.qubits:
            for depth in self.layers:
                generator = self._generator("entanglement", size, depth)
                circuit = self.circuit(size, depth)
                found = entangling_capability(circuit, samples=samples, generator=generator, inputs=inputs)
                kept.append((size, depth, found))
        self.kept["entanglement"] = kept
        return [{"qubits": size, "layers": depth, **asdict(found)} for size, depth, found in kept]

    def metric(self, samples: int, inputs: Any) -> dict[str, Any]:
        """Returns the mean metric of the largest size and its spectrum."""
        from qfedfm.quantum.diagnostics import metric_spectrum

        size, depth = self.qubits[-1], self.layers[-1]
        found = metric_spectrum(
            self.circuit(size, depth), samples=samples, generator=self._generator("metric"), inputs=inputs
        )
        self.kept["metric"] = found
        return {"qubits": size, "layers": depth, **asdict(found)}

    def write(self, out: Path, suffix: str, found: dict[str, Any]) -> list[str]:
        """Writes plots and ``analysis.json``; returns the paths of the plots."""
        import json

        from qfedfm.core.files import write_atomic
        from qfedfm.quantum.diagnostics import plots

        title = Path(self.name).name
        paths = []
        if "gradients" in self.kept:
            path = out / f"gradient_variance.{suffix}"
            paths.append(plots.plot_gradient_variance(self.kept["gradients"], path, title))
        if "expressibility" in self.kept:
            size, depth, row = self.kept["expressibility"]
            text = f"{title}, {size} qubits" + ("" if self.given else f", {depth} layers")
            paths.append(plots.plot_expressibility(row, out / f"expressibility.{suffix}", text))
        if "entanglement" in self.kept:
            path = out / f"entangling_capability.{suffix}"
            paths.append(plots.plot_entangling_capability(self.kept["entanglement"], path, title))
        if "metric" in self.kept:
            paths.append(plots.plot_metric(self.kept["metric"], out / f"metric.{suffix}", title))
        write_atomic(out / "analysis.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
        return [str(path) for path in paths]


def _print(found: dict[str, Any]) -> None:
    for row in found.get("gradients", ()):
        rate = row["decay_rate"]
        falls = f"  halves {rate:.2f} times a qubit" if rate is not None else ""
        click.echo(
            f"gradients       n={row['qubits']:<2} L={row['layers']:<2} variance {row['mean']:.3e} "
            f"(2-designs {row['two_design']:.3e}){falls}"
        )
    for row in found.get("expressibility", ()):
        click.echo(
            f"expressibility  n={row['qubits']:<2} L={row['layers']:<2} {row['divergence']:.4f} nats "
            f"(bias of {row['pairs']} pairs {row['bias']:.4f})"
        )
    for row in found.get("entanglement", ()):
        click.echo(
            f"entanglement    n={row['qubits']:<2} L={row['layers']:<2} Q {row['mean']:.4f} +- "
            f"{row['standard_error']:.4f} (Haar {row['haar']:.4f})"
        )
    if "metric" in found:
        row = found["metric"]
        click.echo(
            f"metric          n={row['qubits']:<2} L={row['layers']:<2} rank {row['rank']} of "
            f"{len(row['eigenvalues'])} weights, eigenvalues {row['eigenvalues'][0]:.3g} to "
            f"{row['eigenvalues'][-1]:.3g}"
        )
    for part, sentence in found["skipped"].items():
        click.echo(f"{part:<15} left out: {sentence}")
    for path in found.get("plots", ()):
        click.echo(path)
