"""One training step of a circuit (forward, backward to inputs and weights) against PennyLane and JAX."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

from qfedfm.benchmarks.peers import pennylane_circuits
from qfedfm.benchmarks.quantum_limits import distance
from qfedfm.benchmarks.timing import interleaved


class Size(NamedTuple):
    """A circuit, a batch, and the ratio to default.qubit that is asked for."""

    family: str
    qubits: int
    layers: int
    batch: int
    target: float

    @property
    def name(self) -> str:
        """For example ``n=4 L=2 B=32``."""
        kind = "re-uploading " if self.family == "reuploading" else ""
        return f"{kind}n={self.qubits} L={self.layers} B={self.batch}"


SIZES = (
    Size("strongly_entangling", 4, 2, 32, 70),
    Size("strongly_entangling", 4, 2, 256, 70),
    Size("strongly_entangling", 8, 3, 32, 130),
    Size("strongly_entangling", 10, 4, 64, 100),
    Size("strongly_entangling", 12, 4, 64, 55),
    Size("strongly_entangling", 16, 4, 16, 25),
    Size("reuploading", 8, 3, 32, 100),
)
TORCH_TARGET = 6.0
CLIENTS = Size("strongly_entangling", 4, 2, 32, 0)


def our_step(circuit: Any, x: Any, w: Any, upstream: Any, executor: str) -> Callable[[], object]:
    """Returns one step of ours: forward, backward to inputs and weights."""
    import torch

    from qfedfm.quantum import expectations

    def step() -> object:
        return torch.autograd.grad(expectations(circuit, x, w, executor), (x, w), upstream)

    return step


def pennylane_step(node: Any, x: Any, w: Any, upstream: Any) -> Callable[[], object]:
    """Returns one step of a PennyLane node: forward, backward to inputs and weights."""
    import torch

    return lambda: torch.autograd.grad(torch.stack(node(x, w), -1).to(x.dtype), (x, w), upstream)


def step(size: Size, seconds: float) -> dict[str, Any]:
    """Returns milliseconds and ratios at one size, and how far ours is from the machine's limits."""
    import torch

    from qfedfm.circuits import family

    circuit = family(size.family, qubits=size.qubits, layers=size.layers)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size.batch, size.qubits, generator=generator).requires_grad_()
    w = torch.randn(size.layers, size.qubits, 3, generator=generator).requires_grad_()
    flat = w.detach().reshape(-1).requires_grad_()
    upstream = torch.randn(size.batch, size.qubits, generator=generator)
    node = pennylane_circuits.node(size.qubits, size.layers, size.family == "reuploading")
    sides = {
        "default.qubit": pennylane_step(node, x, w, upstream),
        "statevector": our_step(circuit, x, flat, upstream, "statevector"),
    }
    with_torch = size.qubits <= 12
    if with_torch:
        sides["torch"] = our_step(circuit, x, flat, upstream, "torch")
    took = interleaved(sides, seconds, least=3)
    row: dict[str, Any] = {
        "size": size.name,
        "milliseconds": {name: 1e3 * value for name, value in took.items()},
        "ratio": took["default.qubit"] / took["statevector"],
        "target": size.target,
        **distance(circuit, size.batch, took["statevector"]),
    }
    if with_torch:
        row |= {"torch_ratio": took["default.qubit"] / took["torch"], "torch_target": TORCH_TARGET}
    return row


def clients(count: int, seconds: float) -> dict[str, Any]:
    """Returns ``count`` clients in one call against PennyLane's loop and broadcast, JAX, and one client."""
    import torch

    from qfedfm.circuits import family

    qubits, layers, batch = CLIENTS.qubits, CLIENTS.layers, CLIENTS.batch
    circuit = family(CLIENTS.family, qubits=qubits, layers=layers)
    generator = torch.Generator().manual_seed(0)

    def drawn(*leading: int) -> tuple[Any, Any, Any]:
        x = torch.randn(*leading, batch, qubits, generator=generator)
        w = torch.randn(*leading, layers * qubits * 3, generator=generator)
        upstream = torch.randn(*leading, batch, qubits, generator=generator)
        return x.requires_grad_(), w.requires_grad_(), upstream

    x, w, upstream = drawn(count)
    shape = (count, layers, qubits, 3)
    node = pennylane_circuits.node(qubits, layers)
    rows = [
        (x[k].detach().requires_grad_(), w[k].detach().reshape(shape[1:]).requires_grad_(), upstream[k])
        for k in range(count)
    ]

    def loop() -> None:
        for one in rows:
            pennylane_step(node, *one)()

    def broadcast() -> object:
        spread = w.reshape(count, 1, *shape[1:]).expand(-1, batch, -1, -1, -1).flatten(0, 1)
        out = torch.stack(node(x.flatten(0, 1), spread), -1)
        return torch.autograd.grad(out.to(x.dtype), (x, w), upstream.flatten(0, 1))

    sides: dict[str, Callable[[], object]] = {
        "loop": loop,
        "broadcast": broadcast,
        "statevector": our_step(circuit, x, w, upstream, "statevector"),
    }
    jax_step = None
    if find_spec("jax"):
        jax_step = pennylane_circuits.jax_step(qubits, layers, x, w, upstream)
    if jax_step is not None:
        sides["jax"] = jax_step
    took = interleaved(sides, seconds, least=3)
    many = interleaved(
        {
            "one": our_step(circuit, *drawn(), "statevector"),
            "hundred": our_step(circuit, *drawn(100), "statevector"),
        },
        min(seconds, 3.0),
    )
    return {
        "what": f"{count} clients, {CLIENTS.name}, own weights and data",
        "milliseconds": {name: 1e3 * value for name, value in took.items()},
        "ratio_loop": took["loop"] / took["statevector"],
        "ratio_broadcast": took["broadcast"] / took["statevector"],
        "ratio_jax": took["jax"] / took["statevector"] if jax_step else "skipped: jax is not installed",
        "one_client_milliseconds": 1e3 * many["one"],
        "per_client_of_100_milliseconds": 10 * many["hundred"],
        "ratio_one_to_client_of_100": many["one"] / (many["hundred"] / 100),
    }
