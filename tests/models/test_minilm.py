"""The packaged MiniLM on real sentences."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import Data

from qfedfm.core.random import Streams
from qfedfm.models import ModelConfig, build

SST2 = Path(__file__).parents[3] / "shared" / "data" / "sst2"


def model(data: Data, adapter: dict[str, Any], precision: str = "float32", head: str = "linear") -> Any:
    section = {"backbone": "minilm", "adapter": adapter, "head": {"kind": head}, "precision": precision}
    config = ModelConfig.model_validate(section)
    return build(config, data, max_length=64, device="cpu", streams=Streams(1))  # type: ignore[arg-type]


def test_minilm_knows_what_is_alike(own_cache: Path) -> None:
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Interest rates rose in March."]
    features = model(Data(texts), {"kind": "none"}).features(torch.arange(3))
    assert features.shape == (3, 384)
    torch.testing.assert_close(features.square().mean(1), torch.ones(3))
    cosine = features @ features.T / 384
    assert cosine[0, 1] > 0.5 > 0.2 > cosine[0, 2]


def sst2() -> tuple[Data, np.ndarray, np.ndarray]:
    texts, labels, sizes = [], [], []
    for name in ("train", "test"):
        lines = (SST2 / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
        texts += [line.split("\t")[0] for line in lines]
        labels += [int(line.split("\t")[1]) for line in lines]
        sizes.append(len(lines))
    return Data(texts, labels=np.array(labels)), np.arange(sizes[0]), np.arange(sizes[0], sum(sizes))


@pytest.mark.slow
@pytest.mark.skipif(not SST2.is_dir(), reason="needs SST-2 beside the repository")
def test_sst2_linear_on_frozen_features(fit: Callable[..., float]) -> None:
    data, train, test = sst2()
    assert fit(model(data, {"kind": "none"}, "auto"), data.labels, train, test, 1000) >= 0.79


@pytest.mark.slow
@pytest.mark.skipif(not SST2.is_dir(), reason="needs SST-2 beside the repository")
def test_sst2_lora_is_as_good_in_the_faster_precision(fit: Callable[..., float]) -> None:
    data, train, test = sst2()
    adapter = {"kind": "lora", "last_layers": 2}
    one, two = (fit(model(data, adapter, p), data.labels, train, test, 400) for p in ("float32", "auto"))
    assert one >= 0.83 and abs(one - two) <= 0.01
