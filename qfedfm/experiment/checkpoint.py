"""Checkpoints: one file a round, placed in one step, its hash in its name, the last two kept.

The file is safetensors with a typed header. It holds everything that the next round depends on; random
streams carry no state. A checkpoint that does not match its hash, does not parse or belongs to another
run is passed over with a warning, never used.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from qfedfm.core.errors import CheckpointError
from qfedfm.core.files import write_atomic
from qfedfm.core.random import Streams
from qfedfm.federation.state import State

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "qfedfm-checkpoint-2"
KEPT = 2
GROUPS = ("server", "aggregator", "algorithm", "frozen", "latest")
_NAME = re.compile(r"^round-(\d{6})-([0-9a-f]{64})\.safetensors$")
_log = logging.getLogger(__name__)


def save(folder: Path, state: State, run_id: str) -> Path:
    """Writes ``state`` and removes all but the last two checkpoints; returns the file."""
    import torch
    from safetensors.torch import save as to_bytes

    tensors: dict[str, Tensor] = {"model": state.model.cpu().contiguous()}
    tensors["reached"] = torch.tensor(state.reached, dtype=torch.int64)
    for group in GROUPS:
        for name, tensor in getattr(state, group).items():
            tensors[f"{group}/{name}"] = tensor.cpu().contiguous()
    content = to_bytes(tensors, metadata={"format": FORMAT, "run_id": run_id, "round": str(state.round)})
    path = folder / f"round-{state.round:06d}-{hashlib.sha256(content).hexdigest()}.safetensors"
    write_atomic(path, content)
    for old in _found(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load(folder: Path, run_id: str, rng: Streams, device: str) -> State | None:
    """Returns the newest good state, or None where there is none.

    Args:
        folder: The checkpoint folder.
        run_id: The run that the state must belong to.
        rng: The run's streams.
        device: Where the tensors go.
    """
    for path in _found(folder):
        try:
            return _read(path, run_id, rng, device)
        except CheckpointError as error:
            _log.warning("%s: %s; falling back to the checkpoint before it", path.name, error)
    return None


def _found(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.match(path.name)), reverse=True)


def _read(path: Path, run_id: str, rng: Streams, device: str) -> State:
    import json

    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    name = _NAME.match(path.name)
    assert name is not None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error.strerror})") from error
    if hashlib.sha256(content).hexdigest() != name[2]:
        raise CheckpointError("its content does not match its hash")
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        tensors = from_bytes(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"it does not parse: {error}") from error
    if header.get("format") != FORMAT or header.get("run_id") != run_id:
        raise CheckpointError("it belongs to another run or format")
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    for key, tensor in tensors.items():
        group, _, rest = key.partition("/")
        if group in groups:
            groups[group][rest] = tensor.to(device)
    return State(
        round=int(header["round"]),
        model=tensors["model"].to(device),
        rng=rng,
        reached=tuple(tensors["reached"].tolist()),
        **groups,
    )
