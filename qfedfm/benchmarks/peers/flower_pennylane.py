"""Peer: Flower's simulation (Ray) of head-only clients with a PennyLane TorchLayer.

``python -m qfedfm.benchmarks.peers.flower_pennylane FOLDER ROUNDS`` prints one JSON object: seconds of
every round and accuracy at the end. The folder holds ``x.npy`` (clients, samples, features), ``y.npy``
(clients, samples), ``test_x.npy`` and ``test_y.npy``. The model is that of the hybrid head: Linear, Tanh,
circuit, Linear.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import Any

QUBITS, LAYERS, BATCH, RATE = 4, 2, 32, 1e-3


def build(features: int, classes: int) -> Any:
    """Returns the hybrid head as a PennyLane user writes it."""
    import pennylane as qml
    import torch

    device = qml.device("default.qubit", wires=QUBITS)

    @qml.qnode(device, interface="torch", diff_method="backprop")
    def circuit(inputs: Any, weights: Any) -> Any:
        qml.AngleEmbedding(inputs, wires=range(QUBITS), rotation="Y")
        qml.StronglyEntanglingLayers(weights, wires=range(QUBITS))
        return [qml.expval(qml.PauliZ(wire)) for wire in range(QUBITS)]

    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(features, QUBITS),
        torch.nn.Tanh(),
        qml.qnn.TorchLayer(circuit, {"weights": (LAYERS, QUBITS, 3)}),
        torch.nn.Linear(QUBITS, classes),
    )


def main(path: str, rounds: int) -> None:
    """Runs the simulation and prints the timings."""
    import numpy as np
    import torch
    from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation

    names = ("x", "y", "test_x", "test_y")
    data = {name: np.load(f"{path}/{name}.npy", mmap_mode="r") for name in names}
    clients, features, classes = len(data["x"]), data["x"].shape[2], int(data["y"].max()) + 1
    stamps: list[float] = []
    accuracy: list[float] = []
    client_app, server_app = ClientApp(), ServerApp()

    @client_app.train()
    def train(message: Message, context: Context) -> Message:
        torch.set_num_threads(1)
        number = int(context.node_config["partition-id"])
        x, y = (
            torch.from_numpy(np.array(np.load(f"{path}/{name}.npy", mmap_mode="r")[number]))
            for name in ("x", "y")
        )
        model = build(features, classes)
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
        order = torch.randperm(len(x))
        for first in range(0, len(x), BATCH):
            chosen = order[first : first + BATCH]
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x[chosen]), y[chosen])
            torch.autograd.backward(loss)
            optimizer.step()
        metrics = MetricRecord({"train_loss": float(loss.detach()), "num-examples": len(x)})
        content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
        return Message(content=content, reply_to=message)

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        stamps.append(time.perf_counter())
        if number == rounds:
            model = build(features, classes)
            model.load_state_dict(arrays.to_torch_state_dict())
            with torch.no_grad():
                found = model(torch.from_numpy(np.array(data["test_x"]))).argmax(1).numpy()
            accuracy.append(float((found == data["test_y"]).mean()))
        return MetricRecord({})

    @server_app.main()
    def serve(grid: Grid, context: Context) -> None:
        strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=clients)
        arrays = ArrayRecord(build(features, classes).state_dict())
        strategy.start(grid=grid, initial_arrays=arrays, num_rounds=rounds, evaluate_fn=evaluate)

    run_simulation(
        server_app=server_app,
        client_app=client_app,
        num_supernodes=clients,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
    seconds = [after - before for before, after in itertools.pairwise(stamps)]
    print(json.dumps({"round_seconds": seconds, "accuracy": accuracy[0]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
