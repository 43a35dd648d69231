"""Sum protocols beside each other: error, bytes, keys, shots, seconds, and what each promises, over K and d.

Every point is one real sum of random updates, all ends in this process. Quantum time is not measured: it is
the number of shots times a stated clock. Shapes: d = numbers of an update, K = clients.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
from pydantic import TypeAdapter

from qfedfm.core.errors import QfedfmError, RequestError
from qfedfm.core.random import Streams
from qfedfm.security.summation import Job, SumConfig, SumProtocol, run_sum
from qfedfm.security.summation.protocol import needed

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
    "QFT": {"kind": "qft_sum"},
}
"""What is compared unless told otherwise, and every other kind of the union with its defaults."""
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
        seconds: Classical computing, all parties together.
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
) -> dict[str, Any]:
    """Returns the points, what was left out and why, the fitted scaling and the promises.

    Args:
        chosen: The protocols by label.
        clients: Values of K.
        sizes: Values of d.
        clock: Seconds of a shot.
        most: Points with K·K·d above this are left out.
        seed: Of updates and of what is simulated.
    """
    points: list[Point] = []
    left_out: list[dict[str, Any]] = []
    for label, protocol in chosen.items():
        with contextlib.suppress(QfedfmError):
            point(label, protocol, min(clients), 8)  # what compiles or loads does so here, outside the clock
        for count in clients:
            for size in sizes:
                where = {"protocol": label, "clients": count, "size": size}
                if count * count * size > most:
                    left_out.append({**where, "why": f"K·K·d is above {most:g}"})
                    continue
                try:
                    protocol.check(count)
                    points.append(point(label, protocol, count, size, clock=clock, seed=seed))
                except QfedfmError as error:
                    left_out.append({**where, "why": str(error)})
    return {
        "clock_seconds": clock,
        "points": [asdict(p) for p in points],
        "left_out": left_out,
        "scaling": [row for label in chosen for row in scaling([p for p in points if p.protocol == label])],
        "promises": {label: asdict(protocol.promise) for label, protocol in chosen.items()},
        "options": {label: protocol.plain() for label, protocol in chosen.items()},
    }


def point(
    label: str, protocol: SumProtocol, clients: int, size: int, *, clock: float = 1e-6, seed: int = 0
) -> Point:
    """Runs one sum and measures it."""
    streams = Streams(seed).at("protocols", label)
    spread = SPREAD * float(getattr(protocol, "bound", 1.0))
    updates = [
        streams("update", clients, size, k).normal(0, spread, size).astype(np.float32) for k in range(clients)
    ]
    everybody = tuple(range(clients))
    job = Job(0, everybody, dict.fromkeys(everybody, 1 / clients), size)
    summation = protocol.open(streams.at("protocol"))
    try:
        server = summation.server(job)  # a simulated link is measured here, outside the clock
        began = time.perf_counter()
        ends = [summation.client(job, k, updates[k]) for k in everybody]
        total = run_sum(
            protocol,
            server,
            lambda phase, messages: {k: ends[k].reply(phase, message) for k, message in messages.items()},
        )
        spent = time.perf_counter() - began
        record = summation.record(0)
    finally:
        summation.close()
    true = np.mean(np.stack(updates), axis=0, dtype=np.float64)
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


def scaling(points: Iterable[Point]) -> list[dict[str, Any]]:
    """Returns exponents p of ``cost ∝ K^p`` and ``cost ∝ d^p`` by least squares, the other at its largest.

    Only lines of three points and more are fitted.
    """
    points = list(points)
    rows: list[dict[str, Any]] = []
    for over, fixed in (("clients", "size"), ("size", "clients")):
        lines: dict[int, list[Point]] = {}
        for p in points:
            lines.setdefault(getattr(p, fixed), []).append(p)
        long = [value for value, line in lines.items() if len(line) >= 3]
        if not long:
            continue
        line = lines[max(long)]
        for cost in ("upload_bytes", "download_bytes", "key_bits", "shots", "seconds", "relative_rmse"):
            values = [float(getattr(p, cost)) for p in line]
            if min(values) > 0:
                x = [math.log(getattr(p, over)) for p in line]
                slope = float(np.polyfit(x, np.log(values), 1)[0])
                rows.append(
                    {
                        "protocol": line[0].protocol,
                        "cost": cost,
                        "over": over,
                        fixed: max(long),
                        "exponent": round(slope, 3),
                    }
                )
    return rows
