"""Peer: the circuits of the benchmark as a PennyLane user writes them, with torch and backpropagation."""

from __future__ import annotations

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
