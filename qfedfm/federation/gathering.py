"""What the server has of a round before it combines: each update, or behind a sum protocol their mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from qfedfm.aggregation.cohort import Cohort
from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.metrics import Metrics
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.federation.admission import admit, admit_offers
from qfedfm.federation.engines import RemoteEngine, SumEngine
from qfedfm.federation.stages.chain import unpack
from qfedfm.federation.travel import whole_of
from qfedfm.security.summation import Job, Sum, SumAbortedError, run_sum

if TYPE_CHECKING:
    from qfedfm.federation.engines import Engine
    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast, ByteCounter
    from qfedfm.federation.plan import Plan
    from qfedfm.federation.travel import Travel


@dataclass(frozen=True)
class Gathered:
    """One round's updates as far as the server knows them.

    Args:
        cohort: What the rule combines: a row for each participant, or one row, their mean.
        participants: Whose updates are in it, ascending.
        refused: ``(client, reason)`` for each refused update.
        examples: Training examples that the participants hold.
        metrics: What the participants measured, all together.
        client_loss: Mean training loss per participant, where the server knows it.
        upload_bytes: Bytes that clients sent.
        download_bytes: Bytes that the server sent beside the broadcast.
        sum: What is recorded of a sum protocol.
        broadcast_bytes: Bytes of the broadcasts where the engine measures them, else None.
    """

    cohort: Cohort
    participants: tuple[int, ...]
    refused: Sequence[tuple[int, str]]
    examples: int
    metrics: Metrics
    client_loss: Mapping[int, float]
    upload_bytes: int
    download_bytes: int = 0
    sum: Mapping[str, Any] = field(default_factory=dict)
    broadcast_bytes: int | None = None

    @property
    def individuals(self) -> bool:
        """Whether the cohort has a row for each participant."""
        return not self.sum


def gather(
    plan: Plan,
    engine: Engine,
    broadcast: Broadcast,
    travel: Travel,
    cohort: Sequence[int],
    faults: Faults,
    rng: Streams,
    counter: ByteCounter,
) -> Gathered:
    """Lets clients train and returns what the server then has.

    Args:
        plan: What a round does.
        engine: Who trains; one with ``offers`` and ``exchange`` where the plan's protocol hides updates.
        broadcast: What the clients were sent.
        travel: What travels up.
        cohort: Who is asked.
        faults: What goes wrong.
        rng: The round's streams.
        counter: Sizes of messages.
    """
    found = _gather(plan, engine, broadcast, travel, cohort, faults, rng, counter)
    if not isinstance(engine, RemoteEngine):
        return found
    refused = sorted([*found.refused, *engine.refused()])
    return replace(found, refused=refused, broadcast_bytes=engine.broadcast_bytes)


def _gather(
    plan: Plan,
    engine: Engine,
    broadcast: Broadcast,
    travel: Travel,
    cohort: Sequence[int],
    faults: Faults,
    rng: Streams,
    counter: ByteCounter,
) -> Gathered:
    if plan.protocol.reveals == "sum":
        return _sum(plan, cast("SumEngine", engine), broadcast, travel, cohort, faults, rng)
    replies = engine.train(plan, broadcast, cohort, faults, rng)
    unpacked, broken = _unpack(plan, replies, travel, set(cohort))
    admitted, refused = admit(
        unpacked,
        layout=engine.layout,
        auxiliary=plan.auxiliary_layout(engine.layout),
        round_number=broadcast.round,
        cohort=cohort,
        expected=travel.up,
    )
    kept = {reply.client: reply.metrics for reply in replies if reply.client in set(admitted.clients)}
    return Gathered(
        admitted,
        admitted.clients,
        sorted([*refused, *broken]),
        sum(admitted.examples),
        Metrics.total(kept[client] for client in admitted.clients),
        {client: kept[client].means()["loss"] for client in admitted.clients},
        sum(counter.upload(reply) for reply in replies),
    )


def _unpack(
    plan: Plan, replies: Sequence[Update], travel: Travel, asked: set[int]
) -> tuple[list[Update], list[tuple[int, str]]]:
    """Returns the replies unpacked, and ``(client, reason)`` of broken ones."""
    good: list[Update] = []
    broken: list[tuple[int, str]] = []
    for reply in replies:
        if reply.client not in asked:
            good.append(reply)  # refused when it is admitted
            continue
        try:
            layout = travel.up(reply.client)
            good.append(unpack(plan.stages, plan.client.algorithm.unpack(reply, layout), layout))
        except UpdateRefusedError as error:
            broken.append((reply.client, str(error)))
    return good, broken


def _sum(
    plan: Plan,
    engine: SumEngine,
    broadcast: Broadcast,
    travel: Travel,
    cohort: Sequence[int],
    faults: Faults,
    rng: Streams,
) -> Gathered:
    """Admits by header and runs the protocol; an aborted sum leaves the round without participants."""
    protocol = plan.protocol
    offers = engine.offers(plan, broadcast, cohort, faults, rng)
    # Rules that need only a sum let all clients send the same tensors.
    layout = travel.up(cohort[0])
    admitted, refused = admit_offers(offers, layout.schema, broadcast.round, cohort)
    sent = sum(len(offer.to_bytes()) for offer in offers)
    shares = {
        offer.client: offer.examples if plan.aggregation.weighting == "examples" else 1 for offer in admitted
    }
    whole = sum(shares.values())
    job = Job(
        round=broadcast.round,
        clients=tuple(sorted(shares)),
        weights={client: count / whole for client, count in shares.items()},
        size=layout.size,
        schema=layout.schema,
        asked=len(cohort),
    )
    examples = {offer.client: offer.examples for offer in admitted}
    try:
        total = run_sum(protocol, engine.begin(job), engine.exchange)
    except SumAbortedError as error:
        record = {"kind": protocol.kind, "aborted": str(error), **error.cost.plain()}
        record |= engine.record(broadcast.round)
        nobody = _row(plan, engine, broadcast, layout, None, 0)
        sent += error.cost.upload_bytes
        return Gathered(nobody, (), refused, 0, Metrics(), {}, sent, error.cost.download_bytes, record)
    audit = engine.audit(total.clients)
    record = {"kind": protocol.kind, **total.cost.plain(), **engine.record(broadcast.round)}
    if total.notes:
        record["notes"] = dict(total.notes)
    if audit is not None:
        record |= _errors(total, audit.mean)
        record["clipped"] = audit.clipped
    held = sum(examples[client] for client in total.clients)
    return Gathered(
        _row(plan, engine, broadcast, layout, total, held),
        total.clients,
        refused,
        held,
        audit.metrics if audit is not None else Metrics(),
        {},
        sent + total.cost.upload_bytes,
        total.cost.download_bytes,
        record,
    )


def _row(
    plan: Plan, engine: SumEngine, broadcast: Broadcast, part: Layout, total: Sum | None, examples: int
) -> Cohort:
    """Returns the cohort of one row that a rule combines: the mean of a sum; none of no sum."""
    import torch

    device = broadcast.model.device
    auxiliary = plan.auxiliary_layout(engine.layout)
    if total is None:
        empty = torch.zeros(0, engine.layout.size, device=device)
        return Cohort((), empty, (), engine.layout, dict(auxiliary.view(torch.zeros(0, auxiliary.size))))
    mean = torch.from_numpy(total.mean.astype(np.float32)).to(device)
    row = whole_of(mean, part, engine.layout)
    return Cohort(total.clients[:1], row.unsqueeze(0), (examples,), engine.layout)


def _errors(total: Sum, mean: np.ndarray) -> dict[str, float]:
    """Returns the root mean square error of the mean, and relative to the mean's own root mean square."""
    error = math.sqrt(float(np.mean((total.mean - mean) ** 2)))
    size = math.sqrt(float(np.mean(mean**2)))
    return {"rmse": error, "relative_rmse": error / size if size > 0 else 0.0}
