"""The rounds of a run, each recorded and kept before the next begins."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.errors import RunError
from qfedfm.experiment import checkpoint
from qfedfm.experiment.folder import RunFolder, append_line, keep_rounds
from qfedfm.experiment.parts import Parts
from qfedfm.experiment.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.federation.config import FederationConfig
    from qfedfm.federation.engines import Engine
    from qfedfm.federation.state import State

_log = logging.getLogger(__name__)


class InterruptedRunError(RunError):
    """The run was stopped after a round and can be resumed."""

    exit_code = 130


def run_rounds(
    parts: Parts, folder: RunFolder, show: Progress, after_round: Callable[[dict[str, Any]], None] | None
) -> State:
    """Runs the rounds that are left and records each; returns the last state.

    Args:
        parts: What the run is made of.
        folder: Where it is recorded.
        show: Where to show what happens.
        after_round: Called with each round's record.

    Raises:
        InterruptedRunError: After Ctrl-C, when the round in flight is done and kept.
    """
    from qfedfm.experiment.tracker import open_trackers
    from qfedfm.federation.engines.flower.engine import FlowerEngine
    from qfedfm.federation.engines.sealed import SealedEngine
    from qfedfm.federation.engines.sealed_summing import SealedSummingEngine
    from qfedfm.federation.engines.summing import SummingEngine
    from qfedfm.federation.messages import ByteCounter
    from qfedfm.federation.round import run_round

    rng = parts.streams.at("federation")
    state = checkpoint.load(folder.checkpoints, parts.run_id, rng, parts.device)
    lines = keep_rounds(folder.rounds, state.round if state else -1)
    keep_rounds(folder.timings, state.round if state else -1)
    if state is None or [line["round"] for line in lines] != list(range(state.round + 1)):
        if state is not None:
            _log.warning("rounds.jsonl does not reach the checkpoint; starting over")
        lines = []
        for path in (folder.rounds, folder.timings):
            path.unlink(missing_ok=True)
        state = parts.plan.initial_state(parts.model.initial().to(parts.device), rng)
    parts.store.rewind(state.round)
    federation = parts.experiment.federation
    engine = _around(parts, lines[-1] if lines else {})
    validation = parts.data.clients.validation_indices
    counter = ByteCounter()
    score = _score(parts, validation)
    parts.model.fold(state.frozen)
    trackers = open_trackers(parts.experiment.track, folder.path, state.round)
    try:
        if not folder.rounds.exists():
            append_line(folder.rounds, {"round": 0, **_measure(parts, state.model, validation)})
            checkpoint.save(folder.checkpoints, state, parts.run_id)
        show.phase("training", federation.rounds, "rounds", state.round)
        with _stop_after_round() as stopped:
            spent = sum(line.get("upload_bytes", 0) + line.get("download_bytes", 0) for line in lines)
            while not _over(federation, state.round, spent):
                began = time.perf_counter()
                state, record = run_round(
                    state, parts.plan, engine, counter, score=score, verified=parts.verify
                )
                parts.model.fold(state.frozen)
                trained = time.perf_counter()
                line = record.plain()
                if isinstance(engine, SealedEngine | FlowerEngine):
                    line |= engine.end_round(state.round - 1)
                spent += record.upload_bytes + record.download_bytes
                over = _over(federation, state.round, spent)
                if state.round % federation.evaluate_every == 0 or over:
                    line |= _measure(parts, state.model, validation)
                evaluated = time.perf_counter()
                append_line(folder.rounds, line)
                checkpoint.save(folder.checkpoints, state, parts.run_id)
                ended = time.perf_counter()
                timing = {
                    "round": state.round,
                    "seconds": ended - began,
                    "train_seconds": trained - began,
                    "evaluate_seconds": evaluated - trained,
                    "checkpoint_seconds": ended - evaluated,
                }
                if isinstance(engine, FlowerEngine):
                    timing |= {f"{part}_seconds": spent for part, spent in engine.spent.seconds.items()}
                append_line(folder.timings, timing)
                for tracker in trackers:
                    tracker.round(line, timing)
                show.round(line)
                if after_round is not None:
                    after_round(line)
                if "aborted" in record.sum:
                    _log.warning(
                        "round %d: %s; the model stays as it was", state.round, record.sum["aborted"]
                    )
                elif not record.participants:
                    _log.warning("round %d: no update was admitted; the model stays as it was", state.round)
                if stopped.is_set() and not over:
                    raise InterruptedRunError(
                        f"stopped after round {state.round} of {federation.rounds}; continue with --resume"
                    )
    finally:
        for tracker in trackers:
            tracker.close()
        if isinstance(engine, SummingEngine | SealedSummingEngine | FlowerEngine):
            engine.close()
    return state


def _around(parts: Parts, last: dict[str, Any]) -> Engine:
    """Returns the engine behind the experiment's sum protocol and inside its channel, where it has them."""
    from qfedfm.federation.engines.flower.engine import FlowerEngine

    if isinstance(parts.engine, FlowerEngine):
        parts.engine.resume(last)
        return parts.engine
    protocol, config = parts.plan.protocol, parts.experiment.security.channel
    summing = None
    if protocol.reveals == "sum":
        from qfedfm.federation.engines.summing import SummingEngine

        summing = SummingEngine(parts.engine, protocol, parts.streams.at("sum"), last.get("sum"))
    if config.kind == "none":
        return summing or parts.engine
    from qfedfm.federation.engines.sealed import SealedEngine
    from qfedfm.federation.engines.sealed_summing import SealedSummingEngine
    from qfedfm.security.channel.rounds import Channel

    levels = {int(client): bits for client, bits in last.get("key_pool_bits", {}).items()}
    channel = Channel(config, parts.streams.at("channel"), levels)
    return SealedSummingEngine(summing, channel) if summing else SealedEngine(parts.engine, channel)


def _over(federation: FederationConfig, done: int, spent: int) -> bool:
    """Returns whether a run ends here, after ``done`` rounds and ``spent`` bytes."""
    return done >= federation.rounds or (
        federation.byte_budget is not None and spent >= federation.byte_budget
    )


def _score(parts: Parts, validation: np.ndarray) -> Callable[[Tensor], float] | None:
    """Returns the accuracy on validation data as a function of a global model, where there is such data."""
    from qfedfm.experiment.evaluation import headline, logits_of

    if not len(validation):
        return None
    return lambda vector: headline(logits_of(parts.model, vector, validation), parts.data.labels[validation])[
        1
    ]


def _measure(parts: Parts, vector: Tensor, validation: np.ndarray) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, index in (("test", parts.data.test), ("validation", validation)):
        if len(index):
            loss, accuracy = parts.personal.headline(parts.model, vector, parts.data.labels, index)
            found |= {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
    return found


@contextmanager
def _stop_after_round() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into an event; a second one stops at once."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def first(number: int, frame: Any) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, before)
        _log.warning("stopping after this round; press Ctrl-C again to stop at once")

    before = signal.signal(signal.SIGINT, first)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
