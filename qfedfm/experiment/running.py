"""One experiment from file to report: the main job.

A run's folder is named by what defines the run; a complete run is never repeated, an interrupted one
is continued to the same bits, and a folder of another experiment is never written to.
"""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.errors import RequestError, RunError
from qfedfm.core.files import write_atomic
from qfedfm.core.random import Streams
from qfedfm.experiment import checkpoint
from qfedfm.experiment.config import RESULTS_VERSION, Experiment
from qfedfm.experiment.folder import RunFolder, append_line, keep_rounds
from qfedfm.experiment.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.data import FederatedData
    from qfedfm.experiment.personal import Personal
    from qfedfm.federation.config import FederationConfig
    from qfedfm.federation.engines.local import LocalEngine
    from qfedfm.federation.engines.sealed import SealedEngine
    from qfedfm.federation.plan import Plan
    from qfedfm.federation.state import State
    from qfedfm.federation.store import ClientStore
    from qfedfm.models import Model

_log = logging.getLogger(__name__)
CLIENTS_SCORED = 100
DEFAULT_FOLDER = Path("runs")


class InterruptedRunError(RunError):
    """The run was stopped after a round and can be resumed."""

    exit_code = 130


@dataclass(frozen=True)
class Parts:
    """What a run is made of once data and model are there."""

    experiment: Experiment
    data: FederatedData
    model: Model
    plan: Plan
    streams: Streams
    device: str
    run_id: str


def resolve(experiment: Experiment) -> tuple[Experiment, str]:
    """Returns the experiment with ``auto`` resolved, and the device."""
    from qfedfm.models import resolve_precision

    device = experiment.device
    if device != "cpu":
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise RequestError("device is cuda but torch finds no CUDA device; use cpu or auto")
        device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = resolve_precision(experiment.model.precision, device)
    head = experiment.model.head.resolved(device)
    model = experiment.model.model_copy(update={"precision": precision, "head": head})
    return experiment.model_copy(update={"model": model, "device": device}), device


def config_hash(experiment: Experiment) -> str:
    """Returns the hash of all options that results depend on, 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(experiment.defining(), sort_keys=True).encode()).hexdigest()


def run_identity(experiment: Experiment, data: FederatedData, backbone_hash: str) -> str:
    """Returns the run id: options, data, backbone weights and the package's results version."""
    parts = [config_hash(experiment), data.fingerprint, backbone_hash, str(RESULTS_VERSION)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def backbone_hash(experiment: Experiment, data: FederatedData) -> str:
    """Returns the hash of the backbone's weights, or ``""`` where data and seed determine them."""
    if data.modality != "text":
        return ""
    from qfedfm.models.backbones.source import find

    return find(experiment.model.backbone).hash


def run_experiment(
    experiment: Experiment,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    report: bool = True,
    root: str | Path = DEFAULT_FOLDER,
    after_round: Callable[[dict[str, Any]], None] | None = None,
    verify: bool = False,
) -> Path:
    """Runs an experiment, or returns the folder of the same run if it is complete.

    Args:
        experiment: What to run.
        out: The run's folder; by default ``<root>/<name>-<first 8 of the run id>``.
        resume: Continue an interrupted run.
        force: Start over, whatever the folder holds of this experiment.
        progress: Where to show what happens; nothing by default.
        report: Whether to write ``report.html``.
        root: Where run folders go.
        after_round: Called with each round's record.
        verify: Whether to check each round's certificate of exactness by dense matrices.

    Returns:
        The run's folder.

    Raises:
        RequestError: If the request is wrong; nothing was written.
        InterruptedRunError: After Ctrl-C, when the round in flight is done and kept.
    """
    from qfedfm import data as data_room
    from qfedfm import models
    from qfedfm.experiment.personal import Personal
    from qfedfm.federation.store import ClientStore

    show = progress or SilentProgress()
    check_writable(Path(out) if out is not None else Path(root))
    experiment, device = resolve(experiment)
    streams = Streams(experiment.seed)
    with ExitStack() as stack:
        stack.enter_context(show)
        show.phase("reading data")
        data = data_room.load(experiment.data, streams.at("data"))
        plan = make_plan(experiment, data)
        run_id = run_identity(experiment, data, backbone_hash(experiment, data))
        folder = RunFolder(out if out is not None else Path(root) / f"{experiment.name}-{run_id[:8]}")
        if _ready(folder, run_id, resume=resume, force=force):
            return folder.path
        show.phase("building the model")
        model = models.build(
            experiment.model,
            data,
            max_length=experiment.data.max_length,
            device=device,
            streams=streams.at("model"),
            progress=_encoding(show),
        )
        show.note(_where(experiment, device, circuit=model.circuit is not None))
        _begin(folder, experiment, data, run_id, device)
        stack.enter_context(_log_file(folder.path / "log.txt"))
        parts = Parts(experiment, data, model, plan, streams, device, run_id)
        store = ClientStore(folder.store)
        stack.callback(store.close)
        engine = make_engine(parts, store)
        personal = Personal(plan, engine, range(min(len(data.clients), CLIENTS_SCORED)))
        state = _rounds(parts, folder, show, after_round, store, engine, personal, verify)
        _finish(parts, folder, state, personal)
        if report:
            from qfedfm.experiment.report import write_report

            show.phase("writing the report")
            write_report(folder.path)
    return folder.path


def _where(experiment: Experiment, device: str, *, circuit: bool) -> str:
    """Says what ``auto`` was resolved to."""
    import torch

    threads = torch.get_num_threads()
    place = device if device != "cpu" else f"cpu with {threads} thread{'' if threads == 1 else 's'}"
    words = f"on {place}, frozen weights in {experiment.model.precision}"
    executor = getattr(experiment.model.head, "executor", None)
    return f"{words}, circuit on executor {executor}" if circuit and executor else words


def make_plan(experiment: Experiment, data: FederatedData) -> Plan:
    """Returns the plan of a federation; refuses a cohort larger than the number of clients."""
    from qfedfm.federation.plan import Plan

    plan = Plan.of(
        experiment.federation,
        experiment.client,
        experiment.aggregation,
        experiment.stages,
        experiment.adapter(),
    )
    plan.cohort_size(len(data.clients))
    return plan


def check_writable(folder: Path) -> None:
    """Raises RequestError if ``folder`` could not be made or written to; leaves nothing behind."""
    import tempfile

    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise RequestError(
            f"{folder}: cannot be written to ({error.strerror}); choose another folder with --out"
        ) from error


def _ready(folder: RunFolder, run_id: str, *, resume: bool, force: bool) -> bool:
    """Returns whether the folder holds this run complete; refuses what must not be overwritten."""
    if not folder.path.exists() or not any(folder.path.iterdir()):
        return False
    try:
        found = json.loads((folder.path / "run.json").read_text())["run_id"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{folder.path}: is not empty and holds no run; choose another folder with --out"
        ) from error
    if found != run_id:
        raise RequestError(
            f"{folder.path}: holds a different experiment (run {found[:8]}, this one is {run_id[:8]}: "
            "other options, data, weights or package version); choose another folder with --out"
        )
    if force:
        _clear(folder)
        return False
    if folder.summary.exists():
        return True
    if not resume and any((folder.checkpoints).glob("round-*")):
        raise RequestError(
            f"{folder.path}: holds an interrupted run; add --resume to continue it or --force to start over"
        )
    return False


def _clear(folder: RunFolder) -> None:
    """Removes what a run of this experiment left, the summary first."""
    import shutil

    folder.summary.unlink(missing_ok=True)
    for entry in list(folder.path.iterdir()):
        if entry.name == "run.json":
            continue
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)


def _begin(folder: RunFolder, experiment: Experiment, data: FederatedData, run_id: str, device: str) -> None:
    import yaml

    from qfedfm.experiment.environment import describe

    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_json("run.json", {"run_id": run_id, "results_version": RESULTS_VERSION})
    write_atomic(folder.config, yaml.safe_dump(experiment.plain(), sort_keys=False, allow_unicode=True))
    folder.write_json("environment.json", describe(device))
    folder.write_json("clients.json", _clients(data))


def _clients(data: FederatedData) -> dict[str, Any]:
    table = data.clients.table(data.labels, len(data.label_names))
    return {
        "label_names": list(data.label_names),
        "table": np.asarray(table).tolist(),
        "sizes": np.asarray(data.clients.sizes).tolist(),
        "test_size": len(data.test),
        "duplicates": data.duplicates.plain(),
        "warnings": list(data.warnings),
    }


def make_engine(parts: Parts, store: ClientStore) -> LocalEngine:
    """Returns the engine that trains the run's clients, or the one client of the central baseline."""
    import torch

    from qfedfm.federation.engines.central import Pooled
    from qfedfm.federation.engines.local import LocalEngine

    central = parts.experiment.federation.engine == "central"
    clients = Pooled(parts.data.clients) if central else parts.data.clients
    labels = torch.from_numpy(np.asarray(parts.data.labels)).to(parts.device)
    return LocalEngine(parts.model, labels, clients, store)


def _rounds(
    parts: Parts,
    folder: RunFolder,
    show: Progress,
    after_round: Callable[[dict[str, Any]], None] | None,
    store: ClientStore,
    engine: LocalEngine,
    personal: Personal,
    verify: bool,
) -> State:
    from qfedfm.experiment.tracker import open_trackers
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
    store.rewind(state.round)
    federation = parts.experiment.federation
    sealed = _sealed(parts, engine, lines[-1] if lines else {})
    validation = parts.data.clients.validation_indices
    counter = ByteCounter()
    score = _score(parts, validation)
    parts.model.fold(state.frozen)
    trackers = open_trackers(parts.experiment.track, folder.path, state.round)
    try:
        if not folder.rounds.exists():
            append_line(folder.rounds, {"round": 0, **_measure(parts, personal, state.model, validation)})
            checkpoint.save(folder.checkpoints, state, parts.run_id)
        show.phase("training", federation.rounds, "rounds", state.round)
        with _stop_after_round() as stopped:
            spent = sum(line.get("upload_bytes", 0) + line.get("download_bytes", 0) for line in lines)
            while not _over(federation, state.round, spent):
                began = time.perf_counter()
                state, record = run_round(
                    state, parts.plan, sealed or engine, counter, score=score, verified=verify
                )
                parts.model.fold(state.frozen)
                trained = time.perf_counter()
                line = record.plain()
                if sealed is not None:
                    line |= sealed.end_round(state.round - 1)
                spent += record.upload_bytes + record.download_bytes
                over = _over(federation, state.round, spent)
                if state.round % federation.evaluate_every == 0 or over:
                    line |= _measure(parts, personal, state.model, validation)
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
                append_line(folder.timings, timing)
                for tracker in trackers:
                    tracker.round(line, timing)
                show.round(line)
                if after_round is not None:
                    after_round(line)
                if not record.participants:
                    _log.warning("round %d: no update was admitted; the model stays as it was", state.round)
                if stopped.is_set() and not over:
                    raise InterruptedRunError(
                        f"stopped after round {state.round} of {federation.rounds}; continue with --resume"
                    )
    finally:
        for tracker in trackers:
            tracker.close()
    return state


def _sealed(parts: Parts, engine: LocalEngine, last: dict[str, Any]) -> SealedEngine | None:
    """Returns the engine inside the experiment's channel, or null without one."""
    config = parts.experiment.security.channel
    if config.kind == "none":
        return None
    from qfedfm.federation.engines.sealed import SealedEngine
    from qfedfm.security.channel.rounds import Channel

    levels = {int(client): bits for client, bits in last.get("key_pool_bits", {}).items()}
    return SealedEngine(engine, Channel(config, parts.streams.at("channel"), levels))


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


def _measure(parts: Parts, personal: Personal, vector: Tensor, validation: np.ndarray) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, index in (("test", parts.data.test), ("validation", validation)):
        if len(index):
            loss, accuracy = personal.headline(parts.model, vector, parts.data.labels, index)
            found |= {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
    return found


def _finish(parts: Parts, folder: RunFolder, state: State, personal: Personal) -> None:
    from qfedfm.experiment.evaluation import logits_of
    from qfedfm.experiment.scores import score

    data, model = parts.data, parts.model
    logits = logits_of(model, state.model, data.test)
    scores = score(logits, data.labels[data.test], data.label_names, parts.streams.at("scores"))
    folder.write_json("scores.json", scores.plain())
    scored = personal.by_client(model, state.model, data)
    folder.write_json("clients.json", {**_clients(data), "accuracy": scored})
    model.save(state.model, folder.path)
    personal.save(state.model, folder.path)
    majority = int(np.bincount(data.labels[data.clients.train_indices]).argmax())
    rounds = keep_rounds(folder.rounds, state.round)
    timings = keep_rounds(folder.timings, state.round)
    last = rounds[-1]
    interval = scores.accuracy.interval
    folder.write_json(
        "summary.json",
        {
            "name": parts.experiment.name,
            "config_hash": config_hash(parts.experiment),
            "run_id": parts.run_id,
            "status": "complete",
            "seed": parts.experiment.seed,
            "rounds": state.round,
            "seconds": sum(timing["seconds"] for timing in timings),
            "test_accuracy": last["test_accuracy"],
            "test_accuracy_interval": list(interval) if interval else None,
            "test_loss": last["test_loss"],
            "test_macro_f1": scores.macro_f1.value,
            "validation_accuracy": last.get("validation_accuracy"),
            "validation_loss": last.get("validation_loss"),
            "client_accuracy": _client_accuracy(scored),
            "majority_accuracy": float((data.labels[data.test] == majority).mean()),
            "trainable_parameters": model.trainable_parameters,
            "quantum_parameters": model.quantum_parameters,
            "upload_bytes": sum(line.get("upload_bytes", 0) for line in rounds),
            "download_bytes": sum(line.get("download_bytes", 0) for line in rounds),
            "refused_updates": sum(len(line.get("refused", ())) for line in rounds),
            **_channel_totals(rounds),
            "local_steps": sum(line.get("steps", 0) for line in rounds),
            "classes": len(data.label_names),
            "clients": len(data.clients),
            "train_examples": int(data.clients.sizes.sum()),
            "test_examples": len(data.test),
            **_exactness(rounds, state),
        },
    )


def _channel_totals(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Returns what the channel spent over all rounds; nothing for a run without one."""
    names = ("key_bits_used", "key_wait_seconds", "channel_bytes")
    if not any(name in line for line in rounds for name in names):
        return {}
    return {name: sum(line.get(name, 0) for line in rounds) for name in names}


def _client_accuracy(scored: list[dict[str, Any]]) -> float | None:
    """Returns the mean over examples of :meth:`Personal.by_client`'s accuracies on validation parts."""
    if not scored or scored[0]["on"] != "validation":
        return None
    examples = sum(entry["examples"] for entry in scored)
    return float(sum(entry["accuracy"] * entry["examples"] for entry in scored) / examples)


def _exactness(rounds: list[dict[str, Any]], state: State) -> dict[str, Any]:
    """Returns the rule's largest error over rounds and layers, and the size of changed frozen weights."""
    errors = [found["error"] for line in rounds for found in line.get("layers", {}).values()]
    result: dict[str, Any] = {"aggregation_error": max(errors)} if errors else {}
    if state.frozen:
        ranks = [len(tensor) for name, tensor in state.frozen.items() if name.endswith("|down")]
        result["residual_rank"] = max(ranks, default=0)
        result["residual_dense_modules"] = sum(name.endswith("|dense") for name in state.frozen)
        result["residual_bytes"] = 4 * sum(tensor.numel() for tensor in state.frozen.values())
    return result


def _encoding(show: Progress) -> Callable[[int, int], None]:
    """Returns a callback that shows how many texts are encoded."""
    seen = 0

    def step(done: int, total: int) -> None:
        nonlocal seen
        if seen == 0:
            show.phase("encoding texts", total, "texts")
        show.advance(done - seen)
        seen = done

    return step


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


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Sends the package's log records to the run's log file as well."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("qfedfm")
    logger.addHandler(handler)
    try:
        yield
    except Exception:
        _log.debug("the run failed", exc_info=True)
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
