"""One experiment from file to report: the main job.

A run's folder is named by what defines the run; a complete run is never repeated, an interrupted one
is continued to the same bits, and a folder of another experiment is never written to.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import RequestError
from qfedfm.core.files import write_atomic
from qfedfm.core.random import Streams
from qfedfm.experiment.config import RESULTS_VERSION, Experiment
from qfedfm.experiment.folder import RunFolder
from qfedfm.experiment.identity import backbone_hash, run_identity
from qfedfm.experiment.job_book import job_book
from qfedfm.experiment.parts import Parts, make_engine, make_plan, seeded
from qfedfm.experiment.progress import Progress, SilentProgress
from qfedfm.experiment.rounds import run_rounds
from qfedfm.experiment.summary import clients_table, finish

if TYPE_CHECKING:
    from qfedfm.data import FederatedData
    from qfedfm.federation.engines.flower.engine import FlowerEngine
    from qfedfm.federation.engines.flower.transport import Transport
    from qfedfm.federation.engines.local import LocalEngine

_log = logging.getLogger(__name__)
CLIENTS_SCORED = 100
DEFAULT_FOLDER = Path("runs")


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
    transport: Transport | None = None,
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
        transport: Who delivers messages to clients on other machines, for engine flower.

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

    protocol = experiment.security.sum
    if verify and protocol.reveals == "sum":
        raise RequestError(
            f"--verify checks certificates by each client's factors, and security.sum {protocol.kind} hides "
            "them; leave one of the two out"
        )
    if experiment.federation.engine == "flower" and transport is None:
        raise RequestError(
            "federation.engine is flower: start the server with `qfedfm serve FILE` and each client with "
            "`qfedfm join`, or set federation.engine to local"
        )
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
        built = models.build(
            experiment.model,
            data,
            max_length=experiment.data.max_length,
            device=device,
            streams=streams.at("model"),
            progress=_encoding(show),
        )
        model = seeded(experiment, built, streams)
        show.note(_where(experiment, device, circuit=model.circuit is not None))
        _begin(folder, experiment, data, run_id, device)
        stack.enter_context(_log_file(folder.path / "log.txt"))
        store = ClientStore(folder.store)
        stack.callback(store.close)
        engine: LocalEngine | FlowerEngine
        if experiment.federation.engine == "flower":
            from qfedfm.experiment.machines.server import flower_engine

            assert transport is not None
            engine = flower_engine(experiment, data, model, folder, transport, show.note)
        else:
            engine = make_engine(experiment, data, model, store)
        personal = Personal(plan, engine, range(min(len(data.clients), CLIENTS_SCORED)))
        parts = Parts(experiment, data, model, plan, streams, device, run_id, store, engine, personal, verify)
        stack.enter_context(job_book(experiment, folder.path))
        finish(parts, folder, run_rounds(parts, folder, show, after_round))
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
    folder.write_json("clients.json", clients_table(data))


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
