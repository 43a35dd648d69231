"""Tiny backbones, models on them, and a cache of the tests' own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import Data, sentences, tiny

from qfedfm.core.random import Streams
from qfedfm.models import ModelConfig, build


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Returns a function from an architecture to the folder of a tiny model of it."""
    made: dict[str, str] = {}

    def get(kind: str) -> str:
        if kind not in made:
            made[kind] = str(tiny(kind, tmp_path_factory.mktemp("backbones") / f"tiny-{kind}"))
        return made[kind]

    return get


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFEDFM_CACHE", str(session_cache))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives the test an empty cache and returns the folder of stored prefixes."""
    monkeypatch.setenv("QFEDFM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prefix"


@pytest.fixture
def make(tiny_folder: Callable[[str], str]) -> Callable[..., Any]:
    """Returns a function that builds a model on a tiny backbone."""

    def model(
        kind: str = "bert",
        *,
        adapter: dict[str, Any] | None = None,
        head: dict[str, Any] | None = None,
        precision: str = "float32",
        data: Data | None = None,
        seed: int = 3,
        **options: Any,
    ) -> Any:
        config = ModelConfig.model_validate(
            {
                "backbone": tiny_folder(kind),
                "adapter": adapter or {"kind": "none"},
                "head": head or {"kind": "linear"},
                "precision": precision,
            }
        )
        streams = Streams(seed).at("model")
        given = data if data is not None else Data(sentences(24))
        return build(config, given, **{"max_length": 16, "device": "cpu", "streams": streams} | options)  # type: ignore[arg-type]

    return model


@pytest.fixture
def fit() -> Callable[..., float]:
    """Returns a function that trains a model centrally and gives its test accuracy."""
    import numpy as np
    import torch

    def accuracy(
        model: Any, labels: Any, train: Any, test: Any, steps: int, lr: float = 1e-3, batch: int = 32
    ) -> float:
        target, rng = torch.from_numpy(np.asarray(labels, np.int64)), np.random.default_rng(0)
        leaves = model.leaves(model.initial()[None])
        optimizer = torch.optim.AdamW(leaves.values(), lr=lr)
        for _ in range(steps):
            rows = torch.from_numpy(rng.choice(train, batch, replace=False))
            loss = torch.nn.functional.cross_entropy(model.logits(leaves, rows[None])[0], target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        right = 0
        with torch.no_grad():
            for rows in torch.from_numpy(np.asarray(test)).split(128):
                right += int((model.logits(leaves, rows[None])[0].argmax(1) == target[rows]).sum())
        return right / len(test)

    return accuracy
