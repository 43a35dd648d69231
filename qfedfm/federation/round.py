"""One federated round: choose, train, combine, record.

The round is a function of the state; only the engine has effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qfedfm.aggregation import Cohort, Combined
from qfedfm.aggregation.certificate import certify, verify
from qfedfm.aggregation.frozen import accumulate
from qfedfm.aggregation.layers import ADAPTER, lora_layers
from qfedfm.federation.faults import draw_faults
from qfedfm.federation.gathering import gather
from qfedfm.federation.messages import Broadcast, ByteCounter
from qfedfm.federation.plan import Plan
from qfedfm.federation.sampling import BalancedSampler
from qfedfm.federation.state import RoundRecord, State
from qfedfm.federation.travel import Travel

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.federation.engines import Engine


def run_round(
    state: State,
    plan: Plan,
    engine: Engine,
    counter: ByteCounter,
    *,
    score: Callable[[Tensor], float] | None = None,
    verified: bool = False,
) -> tuple[State, RoundRecord]:
    """Runs the round after ``state.round``.

    Args:
        state: Where the federation stands.
        plan: What a round does.
        engine: Who trains.
        counter: Sizes of messages.
        score: Scores a global model on the server's validation data, for rules that choose.
        verified: Whether to form dense matrices and check the certificate of exactness by them.

    Returns:
        The next state and the round's record. If no update is admitted the model stays as it is.
    """
    rng = state.rng.at("round", state.round)
    federation = plan.federation
    chosen = engine.sizes, plan.cohort_size(len(engine.sizes)), state.round, rng("cohort")
    sampler = federation.sampler
    if isinstance(sampler, BalancedSampler):
        cohort = sampler.sample(*chosen, engine.class_counts)
    else:
        cohort = sampler.sample(*chosen)
    faults = draw_faults(federation.faults, cohort, rng("faults"))
    method = plan.client.algorithm
    ranks = plan.ranks(state, cohort)
    travel = Travel(plan, engine.layout, state.round, ranks)
    sent = {name: vector for name, vector in state.algorithm.items() if name not in method.private}
    reached = frozenset(state.reached)
    broadcast = Broadcast(
        state.round, state.model, engine.layout, sent, state.frozen, state.latest, ranks, reached
    )
    gathered = gather(plan, engine, broadcast, travel, cohort, faults, rng, counter)
    admitted = gathered.cohort
    model, server, aggregator, algorithm, norm = (
        state.model,
        state.server,
        state.aggregator,
        state.algorithm,
        0.0,
    )
    frozen, latest = state.frozen, dict[str, "Tensor"]()
    layers: dict[str, dict[str, Any]] = {}
    if admitted.clients:
        admitted = replace(
            admitted,
            start=state.model,
            ranks=None if ranks is None else tuple(ranks[client] for client in admitted.clients),
            scale=plan.adapter.scale if plan.adapter is not None else 1.0,
            round=state.round,
            streams=rng.at("aggregation"),
            score=score,
        )
        p_K = plan.aggregation.weights(admitted)
        if gathered.individuals:
            admitted = method.on_cohort(admitted, p_K)
        combined, aggregator = plan.aggregation.combine(dict(state.aggregator), admitted)
        if gathered.individuals:
            layers = _layers(plan, admitted, combined, p_K, verified)
        for stage in reversed(plan.stages):
            combined = stage.on_server(combined, rng(f"server/{stage.kind}"))
        whole = replace(admitted, clients=gathered.participants)
        combined, algorithm = method.move(combined, whole, dict(state.algorithm), len(engine.sizes))
        norm = float(combined.delta.norm())
        model, server = federation.server_optimizer.step(dict(state.server), state.model, combined.delta)
        model = method.settle(model)
        if combined.frozen:
            latest = accumulate({}, combined.frozen)
            frozen = accumulate(state.frozen, combined.frozen)
    sent_bytes = gathered.broadcast_bytes
    if sent_bytes is None:
        sent_bytes = _download_bytes(broadcast, travel, cohort, counter)
    train = gathered.metrics
    record = RoundRecord(
        round=state.round + 1,
        cohort=tuple(cohort),
        participants=gathered.participants,
        dropped=faults.dropped,
        stragglers=tuple(sorted(faults.work)),
        refused=tuple(gathered.refused),
        examples=gathered.examples,
        steps=int(train.sums.get("steps", 0)),
        train={name: mean for name, mean in train.means().items() if name != "steps"},
        client_loss=gathered.client_loss,
        upload_bytes=gathered.upload_bytes,
        download_bytes=sent_bytes + gathered.download_bytes,
        update_norm=norm,
        layers=_with_bytes(layers, broadcast, travel, cohort),
        sum=gathered.sum,
    )
    return (
        State(
            round=state.round + 1,
            model=model,
            rng=state.rng,
            server=server,
            aggregator=aggregator,
            algorithm=algorithm,
            frozen=frozen,
            latest=latest,
            reached=tuple(cohort),
        ),
        record,
    )


def _layers(
    plan: Plan, cohort: Cohort, combined: Combined, p_K: Tensor, verified: bool
) -> dict[str, dict[str, Any]]:
    """Returns the certificate of every LoRA layer; none where a client keeps a factor to itself."""
    if plan.adapter is None or plan.adapter.dora:
        return {}
    layers = lora_layers(cohort.layout)
    if any(plan.keeps(name) for layer in layers for name in (layer.down, layer.up)):
        return {}
    found = certify(cohort, combined, p_K)
    if verified:
        verify(cohort, combined, p_K, found)
    return {entry.module: entry.plain() for entry in found}


def _download_bytes(broadcast: Broadcast, travel: Travel, cohort: Sequence[int], counter: ByteCounter) -> int:
    """Returns the bytes sent to the cohort; clients that receive the same tensors are measured once."""
    sizes: dict[tuple[str, bool], int] = {}
    total = 0
    for client in cohort:
        known = client in broadcast.reached
        layout = travel.down(client, known)
        if (layout.schema, known) not in sizes:
            sizes[layout.schema, known] = counter.download(broadcast, layout, in_step=known)
        total += sizes[layout.schema, known]
    return total


def _with_bytes(
    layers: Mapping[str, Mapping[str, Any]],
    broadcast: Broadcast,
    travel: Travel,
    cohort: Sequence[int],
) -> dict[str, dict[str, Any]]:
    """Returns the layers with the bytes of their tensors, all clients together, before stages pack them."""
    result = {name: dict(found) for name, found in layers.items()}
    for found in result.values():
        found |= {"upload_bytes": 0, "download_bytes": 0}
    names = {name: f"{ADAPTER}{name}." for name in result}
    for client in cohort if result else ():
        known = client in broadcast.reached
        changes = broadcast.latest if known else broadcast.frozen
        for key, layout in (("upload", travel.up(client)), ("download", travel.down(client, known))):
            for module, prefix in names.items():
                result[module][f"{key}_bytes"] += 4 * layout.subset(prefix).size
        for name, tensor in changes.items():
            module = name.rpartition("|")[0]
            if module in result:
                result[module]["download_bytes"] += 4 * tensor.numel()
    return result
