"""The metric tensor against PennyLane's, and against how much states really move."""

from __future__ import annotations

import pytest
import torch
from quantum_judges import draw

from qfedfm.circuits import family
from qfedfm.core.errors import RequestError
from qfedfm.quantum import metric_tensor, states, trained_weights


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
    torch.testing.assert_close(ours, torch.from_numpy(reference.numpy()), rtol=0, atol=1e-9)


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
    with pytest.raises(RequestError, match="full or diagonal"):
        metric_tensor(circuit, inputs, weights, "block")  # type: ignore[arg-type]
