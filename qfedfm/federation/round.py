"""One federated round: choose, train, combine, record.

The round is a function of the state; only the engine has effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qfedfm.core.metrics import Metrics
from qfedfm.federation.admission import admit
from qfedfm.federation.faults import draw_faults
from qfedfm.federation.messages import Broadcast, ByteCounter
from qfedfm.federation.plan import Plan
from qfedfm.federation.state import RoundRecord, State

if TYPE_CHECKING:
    from qfedfm.federation.engines import Engine


def run_round(state: State, plan: Plan, engine: Engine, counter: ByteCounter) -> tuple[State, RoundRecord]:
    """Runs the round after ``state.round``.

    Args:
        state: Where the federation stands.
        plan: What a round does.
        engine: Who trains.
        counter: Sizes of messages.

    Returns:
        The next state and the round's record. If no update is admitted the model stays as it is.
    """
    rng = state.rng.at("round", state.round)
    federation = plan.federation
    cohort = federation.sampler.sample(
        engine.sizes, plan.cohort_size(len(engine.sizes)), state.round, rng("cohort")
    )
    faults = draw_faults(federation.faults, cohort, rng("faults"))
    broadcast = Broadcast(state.round, state.model, engine.layout, state.algorithm)
    replies = engine.train(plan, broadcast, cohort, faults, rng)
    admitted, refused = admit(
        replies,
        layout=engine.layout,
        auxiliary=plan.auxiliary_layout(engine.layout.size),
        round_number=state.round,
        cohort=cohort,
    )
    model, server, aggregator, algorithm, norm = (
        state.model,
        state.server,
        state.aggregator,
        state.algorithm,
        0.0,
    )
    if admitted.clients:
        combined, aggregator = plan.aggregation.combine(dict(state.aggregator), admitted)
        for stage in reversed(plan.stages):
            combined = stage.on_server(combined, rng(f"server/{stage.kind}"))
        norm = float(combined.delta.norm())
        model, server = federation.server_optimizer.step(dict(state.server), state.model, combined.delta)
        algorithm = plan.client.algorithm.server_step(
            dict(state.algorithm), admitted.auxiliary, len(engine.sizes)
        )
    kept = {reply.client: reply.metrics for reply in replies if reply.client in set(admitted.clients)}
    train = Metrics.total(kept[client] for client in admitted.clients)
    record = RoundRecord(
        round=state.round + 1,
        cohort=tuple(cohort),
        participants=admitted.clients,
        dropped=faults.dropped,
        stragglers=tuple(sorted(faults.work)),
        refused=tuple(refused),
        examples=sum(admitted.examples),
        steps=int(train.sums.get("steps", 0)),
        train={name: mean for name, mean in train.means().items() if name != "steps"},
        client_loss={client: kept[client].means()["loss"] for client in admitted.clients},
        upload_bytes=sum(counter.upload(reply) for reply in replies),
        download_bytes=counter.download(broadcast) * len(cohort),
        update_norm=norm,
    )
    return (
        State(
            round=state.round + 1,
            model=model,
            rng=state.rng,
            server=server,
            aggregator=aggregator,
            algorithm=algorithm,
        ),
        record,
    )
