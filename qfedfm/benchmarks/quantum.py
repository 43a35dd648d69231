"""``qfedfm bench quantum``: every speed that is promised for circuits, measured in one process."""

from __future__ import annotations

from typing import Any

PARTS = ("compilation", "steps", "clients", "aer", "metric", "plugin", "wide")


def measure(part: str = "all", threads: int | None = None, seconds: float = 4.0) -> dict[str, Any]:
    """Returns one object: figures by part, and ``ratios`` with what is asked for beside each of them.

    Args:
        part: One of :data:`PARTS`, or ``all``.
        threads: Threads of torch and of the compiled executor; torch's number if not given.
        seconds: How long the sides of one ratio take turns.
    """
    import torch

    from qfedfm.benchmarks import quantum_others, quantum_steps
    from qfedfm.benchmarks.quantum_limits import bandwidth, peak_flops

    if threads is not None:
        torch.set_num_threads(threads)
    wanted = PARTS if part == "all" else (part,)
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "dtype": "float32"}
    ratios: list[dict[str, Any]] = []

    def add(name: str, value: Any, target: float) -> None:
        reached = value >= target if isinstance(value, float) else None
        ratios.append({"name": name, "ratio": value, "target": target, "reached": reached})

    if "compilation" in wanted:
        found["compilation"] = quantum_others.compilation()
    if "steps" in wanted:
        found["limits"] = {
            "sgemm_gflops": peak_flops() / 1e9,
            "cache_gigabytes": bandwidth(1 << 18) / 1e9,
            "memory_gigabytes": bandwidth(1 << 28) / 1e9,
        }
        found["steps"] = [quantum_steps.step(size, seconds) for size in quantum_steps.SIZES]
        for row in found["steps"]:
            add(f"statevector, {row['size']}", row["ratio"], row["target"])
        for row in found["steps"]:
            if "torch_ratio" in row:
                add(f"torch, {row['size']}", row["torch_ratio"], row["torch_target"])
    if "clients" in wanted:
        row = found["clients"] = quantum_steps.clients(50, seconds)
        add("50 clients, PennyLane's loop", row["ratio_loop"], 1500)
        add("50 clients, PennyLane's broadcast", row["ratio_broadcast"], 70)
        add("50 clients, JAX", row["ratio_jax"], 5)
        add("one client to a client of 100", row["ratio_one_to_client_of_100"], 8)
    for name, call in (("aer", quantum_others.noisy_aer), ("metric", quantum_others.metric)):
        if name in wanted:
            row = found[name] = call(seconds)
            add(row["what"], row["ratio"], row["target"])
    if "metric" in wanted:
        together = 32 / found["metric"]["32_inputs_over_one"]
        add("metric tensors of 32 inputs at once, against one after another", together, 32 / 3)
    if "plugin" in wanted:
        found["plugin"] = quantum_others.plugin(seconds)
    if "wide" in wanted:
        found["wide"] = quantum_others.wide(seconds)
    return found | {"ratios": ratios}
