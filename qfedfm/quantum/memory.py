"""How many bytes a call needs, and a sentence instead of a crash when they are not there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qfedfm.core.errors import RequestError

if TYPE_CHECKING:
    from qfedfm.circuits import Circuit

_REAL_BYTES = {"float32": 4, "float64": 8}


#: From so many qubits on, few samples are run one at a time, with threads over amplitudes.
WIDE = 14


def is_wide(circuit: Circuit, batch: int, number_bytes: int) -> bool:
    """Whether ``statevector`` runs one sample at a time instead of one in each lane of a vector.

    That is: on many qubits, when samples would leave more than half of the lanes empty.
    """
    return circuit.qubits >= WIDE and not circuit.amplitudes and batch < 32 // number_bytes


def memory_needed(
    circuit: Circuit, batch: int, clients: int = 1, dtype: str = "float32", executor: str = "statevector"
) -> int:
    """Returns the bytes one forward and backward call needs at its peak (an upper estimate).

    The compiled executor keeps one state per sample and three more per thread; samples come in tiles of
    64 bytes of numbers. Few samples on many qubits (see :func:`is_wide`) are run one at a time: one state
    per sample and two more. The torch executor keeps the state after every stage of gates.

    Args:
        circuit: The circuit.
        batch: Samples per client.
        clients: Clients in the call.
        dtype: ``float32`` or ``float64``.
        executor: ``statevector`` or ``torch``.
    """
    number = _REAL_BYTES[str(dtype).removeprefix("torch.")]
    if executor != "torch" and is_wide(circuit, batch, number):
        return (2 * number << circuit.qubits) * (batch * clients + 2)
    if executor != "torch":
        lanes = 64 // number
        tasks = clients * -(-batch // lanes)
        observables = number * circuit.n_observables
        states = tasks + 3 * min(tasks, os.cpu_count() or 1)
        return (128 * states + observables) << circuit.qubits
    stages = 4 + 3 * circuit.depth
    state = 2 * number << circuit.qubits
    return stages * batch * clients * state


def memory_available() -> int:
    """Returns the bytes this process may still take: what the system and its control group leave."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        with open("/proc/meminfo") as lines:
            free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:
        with open("/sys/fs/cgroup/memory.max") as limit, open("/sys/fs/cgroup/memory.current") as used:
            text = limit.read().strip()
            if text != "max":
                free = min(free, int(text) - int(used.read()))
    except (OSError, ValueError):
        pass
    return max(free, 0)


def check_memory(
    circuit: Circuit,
    batch: int,
    clients: int = 1,
    dtype: str = "float32",
    executor: str = "statevector",
    available: int | None = None,
) -> None:
    """Raises a sentence if a call would not fit into memory.

    Args:
        circuit: The circuit.
        batch: Samples per client.
        clients: Clients in the call.
        dtype: ``float32`` or ``float64``.
        executor: ``statevector`` or ``torch``.
        available: Bytes there are; the machine's free memory if not given.

    Raises:
        RequestError: Says how many bytes it would take and how many there are.
    """
    needed = memory_needed(circuit, batch, clients, dtype, executor)
    if available is None:
        if needed < 1 << 28:  # never worth asking the system
            return
        available = memory_available()
    if needed > available:
        raise RequestError(
            f"a circuit of {circuit.qubits} qubits with batch {batch} and {clients} client"
            f"{'' if clients == 1 else 's'} in {str(dtype).removeprefix('torch.')} needs {needed:,} bytes, "
            f"but {available:,} are free: use fewer qubits or a smaller batch"
        )
