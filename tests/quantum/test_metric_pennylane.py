"""Metric tensors of every family with trained weights against PennyLane's, to 1e-10, up to six qubits."""

from __future__ import annotations

import pytest
import torch
from quantum_judges import draw, nearest_size

from qfedfm.circuits import Circuit, Rotation, families
from qfedfm.quantum import metric_tensor

TRAINED = tuple(
    name
    for name in families()
    if nearest_size(name, 3, 1).n_weights and not nearest_size(name, 3, 1).amplitudes
)
SIZES = (
    (3, 1),
    pytest.param((2, 2), marks=pytest.mark.slow),
    pytest.param((4, 2), marks=pytest.mark.slow),
    pytest.param((6, 1), marks=pytest.mark.slow),
)


def by_layers(circuit: Circuit) -> list:
    """The primitives in an order in which rotations by weights of one layer stand together."""
    rest, ordered = list(circuit.primitives()), []

    def take(wanted) -> bool:
        blocked, kept, found = set(), [], False
        for primitive in rest:
            if blocked.isdisjoint(primitive.qubits) and wanted(primitive):
                ordered.append(primitive)
                found = True
            else:
                kept.append(primitive)
                blocked |= set(primitive.qubits)
        rest[:] = kept
        return found

    def trained(primitive) -> bool:
        return isinstance(primitive, Rotation) and bool(primitive.angle.weights)

    while rest:
        while take(lambda primitive: not trained(primitive)):
            pass
        layer, reached = [], set()
        for primitive in list(rest):  # the next layer: rotations with nothing before them on their qubits
            if reached.isdisjoint(primitive.qubits) and trained(primitive):
                layer.append(primitive)
            reached |= set(primitive.qubits)
        for primitive in layer:
            rest.remove(primitive)
        ordered += layer
    return ordered


def node(circuit: Circuit, sample: list[float]):
    qml = pytest.importorskip("pennylane")

    @qml.qnode(qml.device("default.qubit", wires=circuit.qubits + 1), interface="autograd")
    def run(w):
        for primitive in by_layers(circuit):
            if not isinstance(primitive, Rotation):
                names = {"cx": "CNOT", "cz": "CZ", "swap": "SWAP", "ccx": "Toffoli", "cswap": "CSWAP"}
                getattr(qml, names[primitive.name])(wires=list(primitive.qubits))
                continue
            angle = primitive.angle.offset
            for coefficient, symbols in primitive.angle.terms:
                for kind, position in symbols:
                    coefficient = coefficient * (sample[position] if kind == "x" else w[position])
                angle = angle + coefficient
            qml.PauliRot(angle, primitive.letters, wires=list(primitive.qubits))
        return qml.expval(qml.PauliZ(0))

    return qml, run


def prepared(name: str, size: tuple[int, int]):
    circuit = nearest_size(name, *size)
    inputs, weights = draw(circuit, batch=1)
    qml, run = node(circuit, inputs[0].tolist())
    return qml, run, circuit, inputs, weights, qml.numpy.array(weights.numpy(), requires_grad=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", TRAINED)
def test_the_full_tensor(name: str, size: tuple[int, int]) -> None:
    qml, run, circuit, inputs, weights, point = prepared(name, size)
    reference = torch.from_numpy(qml.adjoint_metric_tensor(run)(point).numpy())
    torch.testing.assert_close(metric_tensor(circuit, inputs, weights)[0], reference, rtol=0, atol=1e-10)


def single(circuit: Circuit) -> bool:
    """Whether every weight is the whole angle of one rotation, as PennyLane's blocks need it."""
    angles = [p.angle for p in circuit.primitives() if isinstance(p, Rotation) and p.angle.weights]
    owners = sorted(weight for angle in angles for weight in angle.weights)
    return owners == list(range(circuit.n_weights)) and all(
        len(a.terms) == 1 and a.terms[0].coefficient == 1 and len(a.terms[0].symbols) == 1 for a in angles
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["block", "diagonal"])
@pytest.mark.parametrize("name", [name for name in TRAINED if single(nearest_size(name, 3, 1))])
def test_blocks_and_diagonal(name: str, kind: str, size: tuple[int, int]) -> None:
    qml, run, circuit, inputs, weights, point = prepared(name, size)
    approximation = {"block": "block-diag", "diagonal": "diag"}[kind]
    reference = torch.from_numpy(qml.metric_tensor(run, approx=approximation)(point).numpy())
    ours = metric_tensor(circuit, inputs, weights, kind)[0]  # type: ignore[arg-type]
    ours = torch.diag(ours) if kind == "diagonal" else ours
    torch.testing.assert_close(ours, reference, rtol=0, atol=1e-10)
