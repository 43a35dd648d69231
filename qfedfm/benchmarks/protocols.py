"""Sum protocols beside each other: error, bytes, keys, shots, seconds, and what each promises, over K and d.

Every point is one real sum of random updates, all ends in this process. Quantum time is not measured: it is
the number of shots times a stated clock. Shapes: d = numbers of an update, K = clients.
"""

from __future__ import annotations

import contextlib
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from qfedfm.benchmarks.protocols_scaling import formulas, scaling, swept_scaling
from qfedfm.core.errors import QfedfmError, RequestError
from qfedfm.core.random import Streams
from qfedfm.security.summation import GhzPhase, Job, Masks, SumConfig, SumProtocol, run_sum
from qfedfm.security.summation.protocol import needed

Updates = list[NDArray[np.float32]]

_LINK = {"preset": "modern_fibre", "distance_km": 10, "block": 50_000, "pool_bits": 1 << 40}
NAMED: dict[str, dict[str, Any]] = {
    "plain": {"kind": "plain"},
    "masks": {"kind": "masks"},
    "masks, ML-KEM": {"kind": "masks", "keys": "ml-kem"},
    "masks, QKD": {"kind": "masks", "keys": "qkd", "link": _LINK},
    "masks, QKD pads": {"kind": "masks", "keys": "qkd", "masks": "pads", "link": _LINK},
    "masks, 6 neighbours": {"kind": "masks", "neighbours": 6},
    "CKKS": {"kind": "ckks"},
    "GHZ phase": {"kind": "ghz_phase"},
    "GHZ phase, 65,536 shots": {"kind": "ghz_phase", "shots": 65_536},
    "GHZ phase, 0.2 % noise": {"kind": "ghz_phase", "depolarizing": 0.002},
    "GHZ phase, 5 % loss": {"kind": "ghz_phase", "loss": 0.05},
    "GHZ phase, robust": {"kind": "ghz_phase", "robust": True},
    "QFT": {"kind": "qft_sum"},
}
"""What is compared unless told otherwise, and every other kind of the union with its defaults."""
SWEPT = (10, 10_000)
"""K and d at which shots, noise and loss are varied."""
SPREAD = 0.1
"""Standard deviation of the updates' numbers, relative to a protocol's bound."""


@dataclass(frozen=True)
class Point:
    """One protocol at one K and d.

    Args:
        protocol: Its label.
        clients: K.
        size: d.
        relative_rmse: Error of the mean, relative to the mean's own root mean square.
        upload_bytes: What a client sends, mean.
        download_bytes: What a client is sent, mean.
        key_bits: Bits of key that a client uses up, mean (a pair's key counts for both).
        qubits: Of the widest circuit.
        states: Entangled states sent.
        shots: States measured.
        circuits: Different circuits.
        seconds: Processor time of classical computing, all parties together.
        quantum_seconds: Shots times the clock.
        survives: How many clients may vanish.
    """

    protocol: str
    clients: int
    size: int
    relative_rmse: float
    upload_bytes: float
    download_bytes: float
    key_bits: float
    qubits: int
    states: int
    shots: int
    circuits: int
    seconds: float
    quantum_seconds: float
    survives: int


def protocols(chosen: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, SumProtocol]:
    """Returns protocols by label; without a choice all kinds that this installation has.

    Raises:
        RequestError: Options that no protocol has.
    """
    if chosen is None:
        kinds = {member.model_fields["kind"].default for member in get_args(get_args(SumConfig)[0])}
        named = {entry["kind"] for entry in NAMED.values()}
        chosen = NAMED | {kind: {"kind": kind} for kind in sorted(kinds - named)}
        if importlib.util.find_spec("tenseal") is None:
            chosen = {label: options for label, options in chosen.items() if options["kind"] != "ckks"}
    found: dict[str, SumProtocol] = {}
    for label, options in chosen.items():
        try:
            found[label] = TypeAdapter(SumConfig).validate_python(dict(options))
        except ValueError as error:
            if isinstance(error, QfedfmError):
                raise
            first = str(error).splitlines()[2].strip()
            raise RequestError(f"--protocol {label}: {first}") from error
    return found


def compare(
    chosen: Mapping[str, SumProtocol],
    clients: Sequence[int],
    sizes: Sequence[int],
    *,
    clock: float = 1e-6,
    most: float = 2e8,
    seed: int = 0,
    sweeps: Mapping[str, Sequence[float]] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Returns the points, what was left out and why, the fitted scaling and the promises.

    Args:
        chosen: The protocols by label.
        clients: Values of K.
        sizes: Values of d.
        clock: Seconds of a shot.
        most: Points with K·K·d above this are left out, those of protocols with larger messages and keys
            earlier (:func:`weight`).
        seed: Of updates and of what is simulated.
        sweeps: Values of the options ``shots``, ``depolarizing``, ``loss`` for the first GHZ phase sum among
            the protocols, at :data:`SWEPT`.
        say: Called with what is measured next.
    """
    points: list[Point] = []
    left_out: list[dict[str, Any]] = []
    for label, protocol in chosen.items():
        with contextlib.suppress(QfedfmError):
            point(label, protocol, min(clients), 8)  # what compiles or loads does so here, outside the clock
    for count in clients:
        for size in sizes:
            updates: Updates = []
            for label, protocol in chosen.items():
                where = {"protocol": label, "clients": count, "size": size}
                limit = most / weight(protocol)
                if count * count * size > limit:
                    left_out.append({**where, "why": f"K·K·d is above {limit:g}"})
                    continue
                say(f"K = {count}, d = {size:,}: {label}")
                updates = updates or random_updates(count, size, seed)
                try:
                    protocol.check(count)
                    points.append(
                        point(label, protocol, count, size, clock=clock, seed=seed, updates=updates)
                    )
                except QfedfmError as error:
                    left_out.append({**where, "why": str(error)})
    order = {label: place for place, label in enumerate(chosen)}
    points.sort(key=lambda p: order[p.protocol])
    left_out.sort(key=lambda entry: order[entry["protocol"]])
    swept = sweep(chosen, sweeps or {}, clock=clock, seed=seed, say=say)
    fitted = [
        row
        for label, protocol in chosen.items()
        for row in scaling([asdict(p) for p in points if p.protocol == label], formulas(protocol.plain()))
    ]
    return {
        "clock_seconds": clock,
        "points": [asdict(p) for p in points],
        "left_out": left_out,
        "sweeps": swept,
        "scaling": fitted + swept_scaling(swept),
        "promises": {label: asdict(protocol.promise) for label, protocol in chosen.items()},
        "options": {label: protocol.plain() for label, protocol in chosen.items()},
    }


def weight(protocol: SumProtocol) -> float:
    """Returns by how much earlier a protocol's points are left out: its bytes a number, roughly."""
    if isinstance(protocol, Masks) and protocol.masks == "pads":
        return 10.0  # each pair's key store holds b bits a number
    return 20.0 if protocol.kind == "ckks" else 1.0


def sweep(
    chosen: Mapping[str, SumProtocol],
    values: Mapping[str, Sequence[float]],
    *,
    clock: float = 1e-6,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Returns points of the first GHZ phase sum among ``chosen``, one of its options varied at a time.

    Args:
        chosen: The protocols by label.
        values: Per option its values, ascending.
        clock: Seconds of a shot.
        seed: Of updates and of what is simulated.
        say: Called with what is measured next.
    """
    first = next(((label, p) for label, p in chosen.items() if isinstance(p, GhzPhase)), None)
    if first is None:
        return []
    label, protocol = first
    rows = []
    updates = random_updates(*SWEPT, seed)
    for over, line in values.items():
        for value in line:
            say(f"{label}, {over} {value:g}")
            options = protocol.plain() | {over: int(value) if over == "shots" else value}
            found = GhzPhase.model_validate(options)
            found.check(SWEPT[0])
            measured = point(label, found, *SWEPT, clock=clock, seed=seed, updates=updates)
            rows.append({"over": over, "value": value, **asdict(measured)})
    return rows


def random_updates(clients: int, size: int, seed: int) -> Updates:
    """Returns K updates of standard normal numbers, shape (d,) each; the same for every protocol."""
    streams = Streams(seed).at("protocols")
    return [streams("update", clients, size, k).standard_normal(size, np.float32) for k in range(clients)]


def point(
    label: str,
    protocol: SumProtocol,
    clients: int,
    size: int,
    *,
    clock: float = 1e-6,
    seed: int = 0,
    updates: Updates | None = None,
) -> Point:
    """Runs one sum and measures it.

    Args:
        label: How the protocol is called.
        protocol: What is measured.
        clients: K.
        size: d.
        clock: Seconds of a shot.
        seed: Of updates and of what is simulated.
        updates: Standard normal numbers, K of shape (d,); they are scaled to :data:`SPREAD` of the bound.
    """
    streams = Streams(seed).at("protocols", label)
    spread = np.float32(SPREAD * float(getattr(protocol, "bound", 1.0)))
    updates = updates or random_updates(clients, size, seed)
    true = np.zeros(size)
    for update in updates:
        true += update * spread
    true /= clients
    everybody = tuple(range(clients))
    job = Job(0, everybody, dict.fromkeys(everybody, 1 / clients), size)
    summation = protocol.open(streams.at("protocol"))
    try:
        server = summation.server(job)  # a simulated link is measured here, outside the clock
        began = time.process_time()
        ends = [summation.client(job, k, updates[k] * spread) for k in everybody]
        total = run_sum(
            protocol,
            server,
            lambda phase, messages: {k: ends[k].reply(phase, message) for k, message in messages.items()},
        )
        spent = time.process_time() - began
        record = summation.record(0)
    finally:
        summation.close()
    cost = total.cost
    error = float(np.sqrt(np.mean((total.mean - true) ** 2) / np.mean(true**2)))
    return Point(
        protocol=label,
        clients=clients,
        size=size,
        relative_rmse=error,
        upload_bytes=cost.upload_bytes / clients,
        download_bytes=cost.download_bytes / clients,
        key_bits=2 * record.get("key_bits", cost.key_bits) / clients,
        qubits=cost.qubits,
        states=cost.states,
        shots=cost.shots,
        circuits=cost.circuits,
        seconds=spent,
        quantum_seconds=cost.shots * clock,
        survives=clients - needed(protocol.threshold, clients)
        if hasattr(protocol, "threshold")
        else clients - (2 if protocol.reveals == "sum" else 1),  # a sum of one is an update
    )
