"""A small vision transformer for small images, pretrained on the data's public part.

Dosovitskiy et al., 2021, arXiv:2010.11929. A frozen random backbone would mean nothing, so it learns to
classify images that belong to no client and to no test set; what it learned lies in the cache under a hash
of these images, their labels, the seed and the options below. Shapes: N = images, H, W = their sides.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qfedfm.core.errors import RequestError
from qfedfm.core.files import cache_folder, sha256_file
from qfedfm.core.random import Streams
from qfedfm.models.backbones.source import VIT, Source
from qfedfm.models.backbones.texts import fingerprint, pixels
from qfedfm.models.backbones.transformer import quiet, unit_scale

if TYPE_CHECKING:
    from qfedfm.data import FederatedData

_LOGGER = logging.getLogger(__name__)
_VERSION = 1
_WIDTH, _LAYERS, _HEADS, _PATCH = 64, 4, 4, 4
_EPOCHS, _BATCH, _RATE, _NOISE = 40, 64, 3e-3, 0.2
_SUM = "sha256"


def pretrained(data: FederatedData, streams: Streams) -> Source:
    """Returns the backbone pretrained on ``data.public``, from the cache if it is there and whole.

    Raises:
        RequestError: If there is no public part, or the images are not square.
    """
    images = np.asarray(data.inputs)[data.public].astype(np.float32)
    labels = np.asarray(data.labels)[data.public]
    if len(images) == 0:
        raise RequestError(
            "model.backbone vit is pretrained on the data's public part, and these data have none"
        )
    if images.ndim != 3 or images.shape[1] != images.shape[2] or images.shape[1] % _PATCH:
        raise RequestError(
            f"model.backbone vit reads square images whose side is a multiple of {_PATCH}, "
            f"got {images.shape[1:]}"
        )
    options = [_VERSION, _WIDTH, _LAYERS, _HEADS, _PATCH, _EPOCHS, _BATCH, _RATE, _NOISE]
    key = [options, fingerprint(images), fingerprint(labels), streams.integer("vit")]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:40]
    folder = cache_folder("vit") / name
    if not _whole(folder):
        _place(folder, images, labels, streams.at("vit"))
    return Source(VIT, folder)


def _whole(folder: Path) -> bool:
    try:
        return (folder / _SUM).read_text() == sha256_file(folder / "model.safetensors")
    except OSError:
        return False


def _place(folder: Path, images: np.ndarray, labels: np.ndarray, streams: Streams) -> None:
    if folder.exists():
        _LOGGER.warning("the cached backbone %s is damaged and is trained again", folder.name[:12])
        shutil.rmtree(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".vit.") as made:
        model = _train(images, labels, streams)
        with quiet():
            model.save_pretrained(made)
        (Path(made) / _SUM).write_text(sha256_file(Path(made) / "model.safetensors"))
        os.chmod(made, 0o755)
        for file in Path(made).iterdir():
            file.chmod(0o644)
        try:
            os.rename(made, folder)
        except OSError:  # another process was faster; the content is the same
            if not _whole(folder):
                raise
        else:
            os.mkdir(made)


def _train(images: np.ndarray, labels: np.ndarray, streams: Streams) -> Any:
    """Returns a transformer trained to classify (N, H, W) images under a little noise."""
    from transformers import ViTConfig, ViTModel

    side = images.shape[1]
    config = ViTConfig(
        hidden_size=_WIDTH,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS,
        intermediate_size=2 * _WIDTH,
        image_size=side,
        patch_size=_PATCH,
        num_channels=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(streams.torch("start").get_state())
        model = ViTModel(config, add_pooling_layer=False)
        output = torch.nn.Linear(_WIDTH, int(labels.max()) + 1)
    x, y = pixels(images, "cpu"), torch.from_numpy(labels)
    parameters = [*model.parameters(), *output.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=0.05)
    steps = _EPOCHS * -(-len(x) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    generator = streams.torch("batches")
    model.train()
    for _ in range(_EPOCHS):
        for rows in torch.split(torch.randperm(len(x), generator=generator), _BATCH):
            noise = torch.randn(x[rows].shape, generator=generator)
            hidden = model(pixel_values=x[rows] + _NOISE * noise).last_hidden_state
            features = unit_scale(hidden.mean(1))
            loss = torch.nn.functional.cross_entropy(output(features), y[rows])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return model.eval()
