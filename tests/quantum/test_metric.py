"""The metric tensor against PennyLane's, and against how much states really move."""

from __future__ import annotations

import pytest
import torch
from quantum_judges import draw

from qfedfm.circuits import family
from qfedfm.core.errors import RequestError
from qfedfm.quantum import metric_blocks, metric_tensor, states, trained_weights


@pytest.mark.parametrize("name", ["strongly_entangling", "reuploading"])
def test_distances_between_close_states(name: str) -> None:
    circuit = family(name, qubits=3, layers=2)
    inputs, weights = draw(circuit, batch=2)
    metric = metric_tensor(circuit, inputs, weights)
    step = torch.linspace(-1, 1, circuit.n_weights, dtype=torch.float64) * 1e-3
    overlap = torch.einsum(
        "bd,bd->b",
        states(circuit, inputs, weights - step).conj(),
        states(circuit, inputs, weights + step),
    )
    # 1 - |<psi(w - s)|psi(w + s)>|**2 = (2 s) g (2 s) up to fourth order
    distance = 1 - overlap.abs().square()
    torch.testing.assert_close(
        distance, torch.einsum("i,bij,j->b", 2 * step, metric, 2 * step), rtol=1e-4, atol=0
    )
    diagonal = metric_tensor(circuit, inputs, weights, "diagonal")
    torch.testing.assert_close(diagonal, metric.diagonal(dim1=-2, dim2=-1))


def test_pennylane_agrees() -> None:
    qml = pytest.importorskip("pennylane")
    circuit = family("strongly_entangling", qubits=3, layers=1)
    inputs, weights = draw(circuit, batch=1)

    @qml.qnode(qml.device("default.qubit", wires=4), interface="autograd")
    def node(w):  # type: ignore[no-untyped-def]
        qml.AngleEmbedding(inputs[0].numpy(), wires=range(3), rotation="Y")
        qml.StronglyEntanglingLayers(w.reshape(1, 3, 3), wires=range(3))
        return qml.expval(qml.PauliZ(0))

    reference = qml.metric_tensor(node, approx=None)(qml.numpy.array(weights.numpy(), requires_grad=True))
    ours = metric_tensor(circuit, inputs, weights)[0]
    torch.testing.assert_close(ours, torch.from_numpy(reference.numpy()), rtol=0, atol=1e-12)


def test_weights_without_gradient_have_a_metric_and_are_dropped_by_name() -> None:
    circuit = family("strongly_entangling", qubits=3, layers=2)
    inputs, weights = draw(circuit, 2, batch=2)
    metric = metric_tensor(circuit, inputs, weights)
    assert metric.shape == (2, 2, 18, 18)
    zero = list(circuit.zero_gradient_weights)
    assert float(metric[..., zero, zero].min()) > 1e-3
    assert sorted([*trained_weights(circuit), *zero]) == list(range(18))
    alone = metric_tensor(circuit, inputs[1], weights[1])
    torch.testing.assert_close(metric[1], alone)
    with pytest.raises(RequestError, match="full, block or diagonal"):
        metric_tensor(circuit, inputs, weights, "blocks")  # type: ignore[arg-type]
    empty = family("ghz_phase_sum", qubits=2, layers=1)
    assert metric_tensor(empty, *draw(empty, 2, batch=3)).shape == (2, 3, 0, 0)


def test_blocks_are_layers_of_rotations() -> None:
    assert metric_blocks(family("basic_entangler", qubits=3, layers=2)) == ((0, 1, 2), (3, 4, 5))
    strong = metric_blocks(family("strongly_entangling", qubits=2, layers=2))
    assert strong == ((0, 3), (1, 4), (2, 5), (6, 9), (7, 10), (8, 11))
    shared = metric_blocks(family("qaoa", qubits=4, layers=1))  # gamma acts in many layers, beta in one
    assert sorted(shared) == [(0,), (1,)]


@pytest.mark.parametrize("name", ["strongly_entangling", "hardware_efficient", "matchgate", "convolution"])
def test_block_is_full_within_blocks_for_all_clients_and_samples(name: str) -> None:
    circuit = family(name, qubits=3, layers=2)
    inputs, weights = draw(circuit, 2, 2, batch=3)
    full = metric_tensor(circuit, inputs, weights)
    block = metric_tensor(circuit, inputs, weights, "block")
    assert block.shape == full.shape == (2, 2, 3, circuit.n_weights, circuit.n_weights)
    inside = torch.zeros(circuit.n_weights, circuit.n_weights, dtype=torch.bool)
    for rows in metric_blocks(circuit):
        for row in rows:
            inside[row, list(rows)] = True
    assert torch.equal(block[..., inside], full[..., inside])
    assert float(block[..., ~inside].abs().sum()) == 0.0
    for a in range(2):
        for b in range(2):
            alone = metric_tensor(circuit, inputs[a, b], weights[a, b])
            torch.testing.assert_close(full[a, b], alone, rtol=0, atol=1e-14)
    assert float(torch.linalg.eigvalsh(full).min()) > -1e-12


@pytest.mark.parametrize("kind", ["block", "diagonal"])
@pytest.mark.parametrize("layers", [1, 2])
def test_pennylane_agrees_on_blocks_and_diagonals(kind: str, layers: int) -> None:
    qml = pytest.importorskip("pennylane")
    circuit = family("strongly_entangling", qubits=3, layers=layers)
    inputs, weights = draw(circuit, batch=1)

    @qml.qnode(qml.device("default.qubit", wires=4), interface="autograd")
    def node(w):  # type: ignore[no-untyped-def]
        qml.AngleEmbedding(inputs[0].numpy(), wires=range(3), rotation="Y")
        w = w.reshape(layers, 3, 3)
        for layer in range(
            layers
        ):  # rotations of a layer one after another: PennyLane's blocks follow this order
            for k, rotation in enumerate((qml.RZ, qml.RY, qml.RZ)):
                for q in range(3):
                    rotation(w[layer, q, k], wires=q)
            for q in range(3):
                qml.CNOT(wires=[q, (q + 1 + layer) % 3])
        return qml.expval(qml.PauliZ(0))

    approximation = {"block": "block-diag", "diagonal": "diag"}[kind]
    point = qml.numpy.array(weights.numpy(), requires_grad=True)
    reference = torch.from_numpy(qml.metric_tensor(node, approx=approximation)(point).numpy())
    ours = metric_tensor(circuit, inputs, weights, kind)[0]  # type: ignore[arg-type]
    ours = torch.diag(ours) if kind == "diagonal" else ours
    torch.testing.assert_close(ours, reference, rtol=0, atol=1e-12)
