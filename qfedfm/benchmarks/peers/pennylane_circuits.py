"""Peer: the circuits of the benchmark as a PennyLane user writes them, with torch and backpropagation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def node(qubits: int, layers: int, reupload: bool = False, device: str = "default.qubit") -> Any:
    """Returns a QNode of inputs ``(batch, qubits)`` and weights ``(..., layers, qubits, 3)``."""
    import pennylane as qml

    wires = range(qubits)
    made = qml.device(device, wires=qubits)
    method = "backprop" if device == "default.qubit" else "best"

    @qml.qnode(made, interface="torch", diff_method=method)
    def circuit(inputs: Any, weights: Any) -> Any:
        if reupload:
            for layer in range(layers):
                qml.AngleEmbedding(inputs, wires=wires, rotation="Y")
                reach = [1 + layer % (qubits - 1)]
                qml.StronglyEntanglingLayers(weights[..., layer : layer + 1, :, :], wires=wires, ranges=reach)
        else:
            qml.AngleEmbedding(inputs, wires=wires, rotation="Y")
            qml.StronglyEntanglingLayers(weights, wires=wires)
        return [qml.expval(qml.PauliZ(wire)) for wire in wires]

    return circuit


def jax_step(qubits: int, layers: int, x: Any, w: Any, upstream: Any) -> Callable[[], object]:
    """Returns one step of many clients under jax.jit and jax.vmap.

    Args:
        qubits: Number of qubits.
        layers: Number of layers.
        x: Torch tensor ``(clients, batch, qubits)``.
        w: Torch tensor ``(clients, layers * qubits * 3)``.
        upstream: Torch tensor ``(clients, batch, qubits)``.
    """
    import jax
    import pennylane as qml

    wires = range(qubits)

    @qml.qnode(qml.device("default.qubit", wires=qubits), interface="jax")
    def circuit(inputs: Any, weights: Any) -> Any:
        qml.AngleEmbedding(inputs, wires=wires, rotation="Y")
        qml.StronglyEntanglingLayers(weights, wires=wires)
        return [qml.expval(qml.PauliZ(wire)) for wire in wires]

    def value(inputs: Any, weights: Any, slopes: Any) -> Any:
        return (jax.numpy.stack(circuit(inputs, weights), -1) * slopes).sum()

    gradient = jax.jit(jax.vmap(jax.value_and_grad(value, (0, 1))))
    arrays = [jax.numpy.asarray(t.detach().numpy()) for t in (x, w.reshape(-1, layers, qubits, 3), upstream)]
    return lambda: jax.block_until_ready(gradient(*arrays))


def block_diagonal_metric(qubits: int, layers: int, x: Any, w: Any) -> Callable[[], object]:
    """Returns PennyLane's block-diagonal metric tensor at inputs ``(qubits,)`` and weights, as a call."""
    import pennylane as qml

    @qml.qnode(qml.device("default.qubit", wires=qubits), interface="autograd")
    def circuit(weights: Any) -> Any:
        qml.AngleEmbedding(x.numpy(), wires=range(qubits), rotation="Y")
        qml.StronglyEntanglingLayers(weights, wires=range(qubits))
        return qml.expval(qml.PauliZ(0))

    metric = qml.metric_tensor(circuit, approx="block-diag")
    weights = qml.numpy.array(w.reshape(layers, qubits, 3).numpy(), requires_grad=True)
    return lambda: metric(weights)
