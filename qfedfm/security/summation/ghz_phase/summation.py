"""The ends of a GHZ phase sum, with the server's simulated hardware.

Shapes: d = numbers of an update, K = clients of a group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.random import Streams
from qfedfm.security.summation.ghz_phase.clusters import clusters
from qfedfm.security.summation.ghz_phase.config import RANGE
from qfedfm.security.summation.ghz_phase.robust import combine
from qfedfm.security.summation.ghz_phase.sampling import Values, phases, wrapped
from qfedfm.security.summation.ghz_phase.verification import allowed, failures, mean_failing
from qfedfm.security.summation.protocol import (
    Cost,
    Job,
    Message,
    Sum,
    SumAbortedError,
    SumClient,
    Summation,
    SumServer,
    contribution,
)
from qfedfm.security.summation.turning import TurningClient, collected

if TYPE_CHECKING:
    from qfedfm.security.summation.ghz_phase.config import GhzPhase


@dataclass(frozen=True)
class Group:
    """Clients that share GHZ states.

    Args:
        clients: Ascending.
        weight: W, the sum of their weights.
    """

    clients: tuple[int, ...]
    weight: float


class GhzSummation(Summation):
    """The protocol in use; every round draws its groups by public coins."""

    def __init__(self, options: GhzPhase, streams: Streams) -> None:
        self._options = options
        self._streams = streams

    def groups(self, job: Job) -> list[Group]:
        """Returns the groups of a job."""
        found = clusters(job.clients, self._options.clusters, self._streams("clusters", job.round))
        return [Group(part, sum(job.weights[k] for k in part)) for part in found]

    def server(self, job: Job) -> SumServer:
        """Returns the server's end."""
        if len(job.clients) < 2:
            raise SumAbortedError(f"{len(job.clients)} client is there, and its sum would be its update")
        return _Server(self._options, job, self.groups(job), self._streams.at("round", job.round))

    def client(self, job: Job, client: int, update: NDArray[np.float32] | None) -> SumClient:
        """Returns a client's end; its numbers are turned into angles here."""
        group = next(group for group in self.groups(job) if client in group.clients)
        if update is None:
            return TurningClient(None, 0)
        numbers, outside = contribution(update, job.weights[client], self._options.bound)
        return TurningClient(RANGE * np.pi * numbers / (group.weight * self._options.bound), outside)


class _Server(SumServer):
    def __init__(self, options: GhzPhase, job: Job, groups: list[Group], streams: Streams) -> None:
        self._options = options
        self._job = job
        self._groups = groups
        self._streams = streams
        self._there: set[int] = set(job.clients)
        self._angles: dict[int, Values] = {}
        self._states = self._shots = self._circuits = self._widest = 0
        self._notes: dict[str, Any] = {}

    def ask(self, phase: str) -> Mapping[int, Message]:
        return dict.fromkeys(sorted(self._there), b"")

    def take(self, phase: str, replies: Mapping[int, Message]) -> None:
        if phase == "turns":
            self._angles |= collected(self._job, replies, "qubits")
            self._vanished()
        self._there = set(replies)
        # Who vanishes before the states are sent has no part in them.
        self._groups = [
            Group(left, group.weight)
            for group in self._groups
            if len(left := tuple(k for k in group.clients if k in self._there)) > 1
        ]
        if not self._groups:
            raise SumAbortedError("no group has two clients left, and the sum of one would be its update")
        kept = {k for group in self._groups for k in group.clients}
        if alone := sorted(self._there - kept):
            self._notes["alone"] = sorted({*self._notes.get("alone", []), *alone})
        self._there = kept
        if phase == "tests":
            self._test()

    def result(self) -> Sum:
        who = tuple(sorted(self._there))
        total = np.zeros(self._job.size)
        beyond = 0
        for number, group in enumerate(self._groups):
            phase = self._measure(number, group)
            beyond += int(np.count_nonzero(np.abs(phase) > RANGE * np.pi))
            total += phase * (group.weight * self._options.bound / (RANGE * np.pi))
        self._notes["beyond_bound"] = beyond
        cost = Cost(qubits=self._widest, states=self._states, shots=self._shots, circuits=self._circuits)
        return Sum(who, total, sum(self._job.weights[k] for k in who), cost, self._notes)

    def _measure(self, number: int, group: Group) -> Values:
        """Returns the measured S of a group, shape (d,)."""
        options, rng = self._options, self._streams("outcomes", number)
        shots, levels = options.shots_each(len(group.clients)), options.levels if options.robust else 1
        self._spend(group, 2 * levels * shots * self._job.size)
        self._circuits += 2 * levels
        turns = [self._angles[k] for k in group.clients]
        if options.source != "ghz":
            return self._read(group, shots, levels, rng)
        if options.executor == "formula":
            sums, V = np.sum(turns, axis=0), options.visibility(len(group.clients))
            measured = [phases(2.0**level * sums, V, shots, rng) for level in range(levels)]
        else:
            measured = [self._run(number, level, np.stack(turns), shots) for level in range(levels)]
        return combine(np.stack(measured)) if options.robust else measured[0]

    def _read(self, group: Group, shots: int, levels: int, rng: np.random.Generator) -> Values:
        """What a server that was not caught learns: the phase of each part that it sent separately."""
        single = group.clients[:1] if self._options.source == "plus_one" else group.clients
        rest = group.clients[len(single) :]
        total = np.zeros(self._job.size)
        for part in [*((k,) for k in single), *([rest] if rest else [])]:
            sums, V = np.sum([self._angles[k] for k in part], axis=0), self._options.visibility(len(part))
            measured = [phases(2.0**level * sums, V, shots, rng) for level in range(levels)]
            total += combine(np.stack(measured)) if self._options.robust else measured[0]
        self._notes["read_clients"] = sorted({*self._notes.get("read_clients", []), *single})
        return total

    def _run(self, number: int, level: int, turns_KD: Values, shots: int) -> Values:
        from qfedfm.security.summation.ghz_phase.circuit import measured_quadratures

        options = self._options
        once = 1.0 - 4.0 * options.depolarizing / 3.0
        x, y = measured_quadratures(
            wrapped(2.0**level * turns_KD),
            shots,
            options.executor,
            depolarizing=0.75 * (1.0 - once**options.channels),
            generator=self._streams.torch("circuit", number, level),
        )
        found: Values = np.arctan2(y, x)
        return found

    def _spend(self, group: Group, shots: int) -> None:
        """Counts states until so many arrived whole."""
        chance, rng = self._options.arrival(len(group.clients)), self._streams("lost", *group.clients, shots)
        lost = int(rng.negative_binomial(shots, chance)) if chance < 1.0 else 0
        self._states += shots + lost
        self._shots += shots
        self._widest = max(self._widest, len(group.clients))
        if lost:
            self._notes["lost_states"] = self._notes.get("lost_states", 0) + lost

    def _vanished(self) -> None:
        """Counts the states of groups that a client left without turning its qubits: all are sent again."""
        for group in self._groups:
            if not set(group.clients) <= set(self._angles):
                levels = self._options.levels if self._options.robust else 1
                wasted = 2 * levels * self._options.shots_each(len(group.clients)) * self._job.size
                self._states += wasted
                self._notes["wasted_states"] = self._notes.get("wasted_states", 0) + wasted

    def _test(self) -> None:
        """Clients measure test states; too many failures end the round before any qubit is turned."""
        options, failed = self._options, 0
        for number, group in enumerate(self._groups):
            clients, states = len(group.clients), options.verify
            noise = options.noise()
            self._spend(group, states)
            self._circuits += 2
            found = failures(options.source, clients, states, self._streams("tests", number), **noise)
            limit = allowed(states, mean_failing("ghz", clients, **noise))
            failed += found
            if found > limit:
                raise SumAbortedError(
                    f"{found} of {states} test states were not what a GHZ state gives (noise: {limit}); "
                    "clients turned no qubit"
                )
        self._notes["failed_tests"] = failed
