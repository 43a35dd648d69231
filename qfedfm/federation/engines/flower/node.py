"""A client's side: a function from a message to its reply, whose state lies on disk.

Everything that this client keeps is in its folder, so the process may be another one for every message: the
client store (variates, momenta, personal parts, what compression left over), the last global model, its
signing key, private keys of agreements in flight. The update behind a sum protocol is the exception: it and
the masks' secrets stay in memory, and a client that is restarted in the middle of a sum has left it.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import QfedfmError, UpdateRefusedError
from qfedfm.core.files import write_atomic
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.federation.engines.flower.client_end import ClientEnd, ClientKeys
from qfedfm.federation.engines.flower.memory import BehindError, GlobalMemory
from qfedfm.federation.engines.flower.sealing import Fetch, identity_in, plain
from qfedfm.federation.engines.flower.summing import ClientSums
from qfedfm.federation.engines.flower.wire import (
    BEHIND,
    HELLO,
    KEYS,
    OFFER,
    PHASE,
    REFUSED,
    TRAIN,
    UPDATE,
    Envelope,
    parse,
)
from qfedfm.federation.faults import Faults
from qfedfm.federation.travel import Travel
from qfedfm.security.channel.agreement import PublicIdentity
from qfedfm.security.channel.config import ChannelConfig

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.federation.engines.local import LocalEngine
    from qfedfm.federation.plan import Plan
    from qfedfm.federation.store import ClientStore

MEMBER = "member.json"
_log = logging.getLogger(__name__)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Workplace:
    """What a client works with; the same parts as in a run on one machine.

    Args:
        plan: What a round does.
        engine: Trains this client on its own data.
        store: Its client store.
        initial: The model before the first round, (d,).
        examples: How many training examples it holds.
        partition: Its number, where it rehearses a part of the experiment's data; None for data of its own.
        channel: How messages are sealed.
        streams: The experiment's streams.
    """

    plan: Plan
    engine: LocalEngine
    store: ClientStore
    initial: Tensor
    examples: int
    partition: int | None
    channel: ChannelConfig
    streams: Streams


class Node:
    """A client on its machine.

    Args:
        work: What it works with.
        folder: Its state.
        fetch: Its key manager, where the channel draws on QKD.
        say: Told what happens, one sentence each.
    """

    def __init__(
        self, work: Workplace, folder: Path, fetch: Fetch | None = None, say: Say | None = None
    ) -> None:
        self._work = work
        self._folder = folder
        self._fetch = fetch
        self._say = say or (lambda sentence: None)
        self._memory = GlobalMemory(folder, work.engine.layout, work.initial)
        kind = getattr(work.plan.protocol, "identity", work.channel.identity)
        self._identity = identity_in(folder, kind)
        self._identity_kind = kind
        self._sums = ClientSums(work.plan.protocol, work.streams.at("sum"), self._identity, kind, folder)
        self._told = False
        self.training_seconds = 0.0

    def answer(self, message: bytes) -> bytes:
        """Returns the reply to ``message``; what cannot be served is refused in one sentence."""
        token, self.training_seconds = "", 0.0
        try:
            request = parse(message)
            token = request.token
            answers = {HELLO: self._hello, KEYS: self._keys, TRAIN: self._train, PHASE: self._phase}
            if request.kind not in answers:
                raise UpdateRefusedError(f"a server does not send {request.kind!r}")
            return answers[request.kind](request).to_bytes()
        except BehindError as error:
            return Envelope(BEHIND, token, {"reason": str(error)}).to_bytes()
        except QfedfmError as error:
            self._say(f"refused: {error}")
            return Envelope(REFUSED, token, {"reason": str(error)}).to_bytes()

    def _hello(self, request: Envelope) -> Envelope:
        work = self._work
        return request.reply(
            HELLO,
            {
                "member": self._member()["member"],
                "partition": work.partition,
                "examples": work.examples,
                "schema": work.engine.layout.schema,
                "identity": self._identity.public.public_bytes_raw().hex(),
            },
        )

    def _keys(self, request: Envelope) -> Envelope:
        client, number = self._numbers(request)
        end = self._end(client, request)
        kinds = request.fields.get("kinds")
        if not isinstance(kinds, list):
            raise UpdateRefusedError("the header's field 'kinds' is not a list")
        halves = end.offers(number, [str(kind) for kind in kinds])
        return request.reply(KEYS, {"offers": {kind: plain(half) for kind, half in halves.items()}})

    def _train(self, request: Envelope) -> Envelope:
        work = self._work
        client, number = self._numbers(request)
        rank = request.fields.get("rank")
        if rank is not None:
            rank = request.number("rank")
        in_step = request.fields.get("in_step") is True
        ranks = None if rank is None else {client: rank}
        travel = Travel(work.plan, work.engine.layout, number, ranks, drawn=True)
        message, keys = request.body, None
        schema = work.engine.layout.schema
        if work.channel.kind != "none":
            keys = self._end(client, request).keys(number, request.mapping("seal"))
            message = keys.open(number, schema, message)
        broadcast = self._memory.receive(
            message,
            round_number=number,
            part=travel.down(client, in_step),
            server=self._server_layout(),
            in_step=in_step,
            client=client,
            rank=rank,
        )
        faults = Faults(work={client: self._part_of_work(request)} if "work" in request.fields else {})
        work.store.rewind(number)
        streams = work.streams.at("federation", "round", number)
        began = time.perf_counter()
        [update] = work.engine.train(work.plan, broadcast, [client], faults, streams)
        self.training_seconds = time.perf_counter() - began
        if work.plan.protocol.reveals == "sum":
            offer = self._sums.keep(update, broadcast.layout.schema)
            return request.reply(OFFER, body=offer.to_bytes())
        content = update.to_bytes()
        names = list(update.delta)
        shown = [*names[:4], *(["..."] if len(names) > 4 else []), *update.auxiliary]
        told = f"{', '.join(shown)}; the number of examples, the mean training loss and accuracy"
        self._tell(client, told, len(content))
        return request.reply(UPDATE, body=self._sealed(keys, number, schema, content))

    def _phase(self, request: Envelope) -> Envelope:
        client, number = self._numbers(request)
        reply = self._sums.reply(client, number, request)
        if request.text("phase") == self._work.plan.protocol.contributes:
            what = "the update behind a sum protocol (this message and smaller ones); the number of examples"
            self._tell(client, what, len(reply))
        return request.reply(PHASE, body=reply)

    @staticmethod
    def _sealed(keys: ClientKeys | None, number: int, schema: str, content: bytes) -> bytes:
        return content if keys is None else keys.seal(number, schema, content)

    def _server_layout(self) -> Layout:
        """Returns the names and shapes of the vectors that the algorithm sends to clients."""
        method = self._work.plan.client.algorithm
        vectors = method.server_init(self._work.initial)
        return Layout.of({name: v for name, v in vectors.items() if name not in method.private})

    @staticmethod
    def _part_of_work(request: Envelope) -> float:
        part = request.fields["work"]
        if not isinstance(part, float) or not 0 < part <= 1:
            raise UpdateRefusedError(f"the header's field 'work' is {part!r}")
        return part

    def _numbers(self, request: Envelope) -> tuple[int, int]:
        """Returns this client's number and the round; a client has one number for good."""
        client, number = request.number("client"), request.number("round")
        if number >= self._work.plan.federation.rounds:
            raise UpdateRefusedError(f"the experiment has no round {number + 1}")
        known = self._work.partition
        if known is None:
            known = self._member().get("client")
            if known is None:
                self._remember(client=client)
                known = client
        if client != known:
            raise UpdateRefusedError(f"the message is for client {client}, and this is client {known}")
        return client, number

    def _end(self, client: int, request: Envelope) -> ClientEnd:
        """Returns this end of the channel; the server's identity is remembered and must not change."""
        given = request.text("server")
        known = self._member().get("server")
        if known is None:
            self._remember(server=given)
        elif given != known:
            raise UpdateRefusedError("the server's identity is not the one that this client joined")
        channel = self._work.channel
        try:
            server = PublicIdentity(channel.identity, bytes.fromhex(given))
        except ValueError as error:
            raise UpdateRefusedError("the server's identity is malformed") from error
        return ClientEnd(channel, client, self._identity, server, self._folder, self._fetch)

    def _member(self) -> dict[str, Any]:
        path = self._folder / MEMBER
        if not path.exists():
            write_atomic(path, json.dumps({"member": secrets.token_hex(16)}))
        found = json.loads(path.read_text())
        assert isinstance(found, dict)
        return found

    def _remember(self, **values: Any) -> None:
        write_atomic(self._folder / MEMBER, json.dumps({**self._member(), **values}))

    def _tell(self, client: int, what: str, size: int) -> None:
        """Says once what leaves this machine."""
        if self._told:
            return
        self._told = True
        self._say(
            f"what leaves this machine each round, as client {client}: {what}; {size} bytes. "
            "The data stays here."
        )
