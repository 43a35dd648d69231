"""Images end to end: pretrained on the public part only, cached, saved with the run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import Data

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.models import ModelConfig, build, load_model_from_folder
from qfedfm.models.backbones import vit

LORA = {"kind": "lora", "targets": ["q_proj", "v_proj"], "last_layers": 2}


def images(count: int = 60) -> Data:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    pictures = (rng.random((count, 8, 8)) * 0.5).astype(np.float32)
    pictures[labels == 1, 2:6, 2:6] += 0.5
    return Data(pictures, modality="image", labels=labels, public=np.arange(20))


def model(data: Data, adapter: dict[str, Any], seed: int = 3) -> Any:
    config = ModelConfig.model_validate({"backbone": "vit", "adapter": adapter, "precision": "float32"})
    return build(config, data, max_length=64, device="cpu", streams=Streams(seed))  # type: ignore[arg-type]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Path:
    monkeypatch.setattr(vit, "_EPOCHS", 3)
    return own_cache.parent / "vit"


@pytest.mark.parametrize("adapter", [{"kind": "none"}, LORA], ids=["none", "lora"])
def test_images_train_and_load_without_data_or_cache(
    adapter: dict[str, Any], short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = images()
    before = torch.get_rng_state()
    built = model(data, adapter)
    assert torch.equal(before, torch.get_rng_state())
    assert built.lengths is None
    vector = built.initial() + 0.02
    leaves = built.leaves(vector[None])
    logits = built.logits(leaves, torch.arange(60)[None])[0]
    logits.sum().backward()
    assert all(leaf.grad is not None for leaf in leaves.values())
    built.save(vector, tmp_path / "run")
    monkeypatch.setenv("QFEDFM_CACHE", str(tmp_path / "elsewhere"))
    loaded = load_model_from_folder(tmp_path / "run")
    np.testing.assert_allclose(loaded.logits(data.inputs), logits.detach().numpy(), atol=1e-4)


def test_pretraining_is_seeded_cached_and_made_again_if_damaged(short: Path) -> None:
    data = images()
    first = model(data, {"kind": "none"}).backbone_hash
    (folder,) = short.iterdir()
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    assert model(data, {"kind": "none"}).backbone_hash == first
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-3])
    assert model(data, {"kind": "none"}).backbone_hash == first
    assert (folder / "model.safetensors").read_bytes() == content
    assert model(data, {"kind": "none"}, seed=4).backbone_hash != first
    assert len(list(short.iterdir())) == 2


def test_only_the_public_part_is_looked_at(short: Path) -> None:
    data = images()
    first = model(data, {"kind": "none"}).backbone_hash
    pictures = np.array(data.inputs)
    pictures[20:] = 0
    private = Data(pictures, modality="image", labels=data.labels, public=data.public)
    assert model(private, {"kind": "none"}).backbone_hash == first


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RequestError, match="public part"):
        model(Data(np.zeros((4, 8, 8), np.float32), modality="image", labels=np.zeros(4)), {"kind": "none"})
    odd = Data(np.zeros((4, 8, 6), np.float32), modality="image", labels=np.zeros(4), public=np.arange(2))
    with pytest.raises(RequestError, match="square"):
        model(odd, {"kind": "none"})


@pytest.mark.slow
def test_digits_features_are_better_than_pixels(own_cache: Path, fit: Callable[..., float]) -> None:
    from qfedfm.data import DataConfig, load

    data = load(DataConfig.model_validate({"source": "digits"}), Streams(7))
    rows = np.concatenate([data.clients.train(k) for k in range(len(data.clients))])
    assert fit(model(data, {"kind": "none"}), data.labels, rows, data.test, 400, lr=3e-3) >= 0.92  # type: ignore[arg-type]
