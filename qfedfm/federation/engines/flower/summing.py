"""A sum protocol between machines: the same ends as in one process, each where it belongs.

The server relays the clients' public signing keys. A client remembers those it has seen and refuses a changed
one, so a server could only lie about a client before the two meet for the first time.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.files import write_atomic
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.federation.engines import Offer
from qfedfm.federation.engines.flower.wire import Envelope
from qfedfm.security.channel.agreement import Identity, PublicIdentity
from qfedfm.security.channel.errors import IdentityError
from qfedfm.security.summation import Job, Masks, SumClient, Summation, SumProtocol
from qfedfm.security.summation.protocol import check_finite

if TYPE_CHECKING:
    from qfedfm.core.update import Update

SEEN = "identities.json"
CONTRIBUTED = "contributed.json"


def describe(job: Job) -> dict[str, Any]:
    """Returns a job as JSON-ready builtins."""
    return {**dataclasses.asdict(job), "weights": {str(k): w for k, w in job.weights.items()}}


def job_in(fields: Mapping[str, Any]) -> Job:
    """Returns the job that :func:`describe` wrote.

    Raises:
        UpdateRefusedError: It is none.
    """
    try:
        job = Job(
            round=int(fields["round"]),
            clients=tuple(int(client) for client in fields["clients"]),
            weights={int(client): float(weight) for client, weight in fields["weights"].items()},
            size=int(fields["size"]),
            schema=str(fields["schema"]),
            asked=int(fields["asked"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UpdateRefusedError(f"what is to be summed is malformed: {error}") from error
    weights = [job.weights.get(client, 0.0) for client in job.clients]
    if list(job.clients) != sorted(set(job.clients)) or len(job.weights) != len(weights):
        raise UpdateRefusedError("what is to be summed names its clients twice or out of order")
    if not weights or min(weights) <= 0 or abs(sum(weights) - 1) > 1e-9:
        raise UpdateRefusedError(
            "the weights of what is to be summed are not positive, or do not add up to 1"
        )
    return job


class ClientSums:
    """One client's part in the sums of a federation.

    Args:
        protocol: How sums are formed.
        streams: Randomness of what is simulated (rounding, graphs).
        identity: This client's signing key.
        kind: Of what kind identities are.
        folder: What outlives the process: whose identities were seen, which round's sum has the update.
    """

    def __init__(
        self, protocol: SumProtocol, streams: Streams, identity: Identity, kind: Any, folder: Path
    ) -> None:
        self._protocol = protocol
        self._streams = streams
        self._identity = identity
        self._kind = kind
        self._folder = folder
        self._summation: Summation | None = None
        self._kept: tuple[int, str, np.ndarray] | None = None
        self._end: SumClient | None = None

    def keep(self, update: Update, schema: str) -> Offer:
        """Keeps an update for the sum of its round; returns what the server is told.

        Args:
            update: The trained update.
            schema: Of the broadcast.
        """
        layout = Layout.of(update.delta)
        vector = layout.flatten(update.delta).detach().cpu().numpy()
        refused = ""
        try:
            check_finite(vector)
            if self._contributed() >= update.round:
                raise UpdateRefusedError(
                    f"it has given its update to a sum of round {update.round + 1} before; two sums over "
                    "different clients would show an update"
                )
        except UpdateRefusedError as error:
            refused = str(error)
        self._kept, self._end = (None if refused else (update.round, update.schema, vector)), None
        return Offer(update.client, update.round, update.examples, update.schema, refused)

    def reply(self, client: int, number: int, request: Envelope) -> bytes:
        """Returns the answer to the server's message of a phase.

        Raises:
            UpdateRefusedError: This client has no part in such a sum.
            SumAbortedError: The message asks for what it must not tell.
        """
        phase = request.text("phase")
        if phase not in self._protocol.phases:
            raise UpdateRefusedError(f"security.sum {self._protocol.kind} has no phase {phase!r}")
        if self._kept is None or self._kept[0] != number:
            raise UpdateRefusedError(
                f"it has no update of round {number + 1} in memory, and is in no sum of it"
            )
        if phase == self._protocol.phases[0]:
            self._end = self._begin(client, request)
        if self._end is None:
            raise UpdateRefusedError("this sum began without it")
        if phase == self._protocol.contributes:
            # On the disk before it leaves: whatever happens, an update is in one sum at most.
            write_atomic(self._folder / CONTRIBUTED, json.dumps({"round": number}))
        reply = self._end.reply(phase, request.body)
        assert isinstance(reply, bytes)
        return reply

    def _begin(self, client: int, request: Envelope) -> SumClient:
        assert self._kept is not None
        number, schema, vector = self._kept
        job = job_in(request.mapping("job"))
        if self._end is not None or self._contributed() >= number:
            raise UpdateRefusedError(f"a second sum of round {number + 1} is asked for")
        if (
            job.round != number
            or client not in job.weights
            or job.schema != schema
            or job.size != len(vector)
        ):
            raise UpdateRefusedError("what is to be summed is not what this client has trained")
        if self._summation is None:
            self._summation = self._protocol.open(self._streams)
        self._introduce(client, job, request.mapping("directory"))
        return self._summation.client(job, client, vector)

    def _introduce(self, client: int, job: Job, directory: Mapping[str, Any]) -> None:
        """Takes over the other clients' public keys; one that has changed is refused."""
        if not isinstance(self._protocol, Masks):
            return
        path = self._folder / SEEN
        seen: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        peers: dict[int, Identity] = {client: self._identity}
        for peer in job.clients:
            given = directory.get(str(peer))
            if peer == client:
                continue
            if not isinstance(given, str) or seen.get(str(peer), given) != given:
                raise UpdateRefusedError(f"the identity of client {peer} is not the one that was seen before")
            try:
                peers[peer] = PublicIdentity(self._kind, bytes.fromhex(given))
            except (ValueError, IdentityError) as error:
                raise UpdateRefusedError(f"the identity of client {peer} is malformed") from error
            seen[str(peer)] = given
        write_atomic(path, json.dumps(seen))
        summation: Any = self._summation
        summation.introduce(peers)

    def _contributed(self) -> int:
        path = self._folder / CONTRIBUTED
        return int(json.loads(path.read_text())["round"]) if path.exists() else -1
