"""From a configuration and data to a model, and from a run's folder back to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.models.adapted import AdaptedModel
from qfedfm.models.adapters import NoAdapterConfig
from qfedfm.models.adapters.insert import InsertedAdapter
from qfedfm.models.backbones.source import VIT, Source, find
from qfedfm.models.backbones.stored import Progress, cache_path, pooled_features
from qfedfm.models.backbones.transformer import Transformer
from qfedfm.models.config import ModelConfig
from qfedfm.models.description import Description
from qfedfm.models.frozen import FrozenModel
from qfedfm.models.heads.projected import OUTPUT_SCALE, ProjectedHead
from qfedfm.models.heads.quantum import CircuitCore
from qfedfm.models.model import HEAD
from qfedfm.models.parts import BACKBONE_FOLDER
from qfedfm.models.precision import resolve_precision

if TYPE_CHECKING:
    from qfedfm.data import FederatedData


def build(
    config: ModelConfig,
    data: FederatedData,
    *,
    max_length: int,
    device: str,
    streams: Streams,
    progress: Progress | None = None,
) -> FrozenModel | AdaptedModel:
    """Returns the model for ``data``; what its frozen part computes is computed here, or found in the cache.

    Args:
        config: The model section.
        data: Texts, images or features, with labels.
        max_length: Where texts are cut, tokens.
        device: ``cpu`` or ``cuda``.
        streams: Where every random start is drawn from.
        progress: Called with samples encoded and their number.

    Raises:
        RequestError: If backbone, adapter and data do not fit together.
    """
    precision = resolve_precision(config.precision, device)
    source = _source(config, data, streams)
    description = Description(
        config=config,
        modality=data.modality,
        shape=tuple(data.inputs.shape[1:]) if isinstance(data.inputs, np.ndarray) else (),
        label_names=data.label_names,
        max_length=max_length,
        precision="bfloat16" if precision == "bfloat16" else "float32",
        backbone_hash=source.hash if source is not None else "",
    )
    model, features = None, None
    if source is None:
        features = np.asanyarray(data.inputs)
    elif isinstance(config.adapter, NoAdapterConfig):
        path = cache_path(
            source, data.inputs, "pooled", max_length=max_length, precision=precision, device=device
        )
        features = pooled_features(
            path, lambda: _open(source, description, device), data.inputs, max_length, progress
        )
    model = _assemble(description, source, features, device=device, streams=streams)
    if isinstance(model, AdaptedModel):
        model.store(data.inputs, progress)
    return model


def _open(source: Source, description: Description, device: str) -> Transformer:
    images = description.modality == "image"
    return Transformer(
        source,
        precision=description.precision,
        device=device,
        max_length=description.max_length,
        images=images,
    )


def _assemble(
    description: Description,
    source: Source | None,
    features: np.ndarray | None,
    *,
    device: str,
    streams: Streams,
    **execution: Any,
) -> FrozenModel | AdaptedModel:
    config, classes = description.config, len(description.label_names)
    constants = streams.at("head")
    if isinstance(config.adapter, NoAdapterConfig) or source is None:
        if source is None:
            width = description.shape[0]
        elif features is not None:
            width = features.shape[1]
        else:
            width = source.hidden_size
        head = config.head.build(width, classes, constants, device=device, **execution)
        opener = None if source is None else (lambda: _open(source, description, device))
        return FrozenModel(description, head, features, opener, device=device, streams=streams, source=source)
    # A circuit too large for memory is refused before the backbone is loaded.
    head = config.head.build(source.hidden_size, classes, constants, device=device, **execution)
    backbone = _open(source, description, device)
    adapter = InsertedAdapter(config.adapter, backbone, streams.at("adapter"))
    return AdaptedModel(description, backbone, adapter, head, streams=streams, source=source)


def _source(config: ModelConfig, data: FederatedData, streams: Streams) -> Source | None:
    """Returns the backbone's files, or None for features.

    Raises:
        RequestError: If the backbone does not read this kind of data.
    """
    if data.modality == "features":
        if not isinstance(config.adapter, NoAdapterConfig):
            raise RequestError(
                f"model.adapter is {config.adapter.kind}, but these data are features and no backbone runs; "
                "set model.adapter to {kind: none}"
            )
        return None
    if data.modality == "image":
        if config.backbone != VIT:
            raise RequestError(
                f"model.backbone is {config.backbone!r}, but these data are images; set it to vit"
            )
        from qfedfm.models.backbones.vit import pretrained

        return pretrained(data, streams)
    return find(config.backbone)


@dataclass(frozen=True)
class HeadInputs:
    """A trained head taken apart around its circuit: ``logits = values @ readout.T + bias``.

    Attributes:
        circuit: The circuit.
        angles: Its inputs, (N, q), radians.
        weights: Its weights, (w,), radians.
        readout: What its expectation values are multiplied with, (C, o).
        bias: (C,).
    """

    circuit: Circuit
    angles: np.ndarray
    weights: np.ndarray
    readout: np.ndarray
    bias: np.ndarray


class TrainedModel:
    """A model with its trained numbers, ready to predict.

    Args:
        model: The model.
        vector: Its trained numbers, (d,).
    """

    def __init__(self, model: FrozenModel | AdaptedModel, vector: Tensor) -> None:
        self.model, self.vector = model, vector
        self.label_names = model.description.label_names

    def logits(self, inputs: Sequence[str] | np.ndarray) -> np.ndarray:
        """Returns (N, C) float32 logits of texts, images (N, H, W) or features (N, D)."""
        found = self.model.predict_inputs(self.vector, inputs).numpy()
        return np.asarray(found)

    def head_inputs(self, inputs: Sequence[str] | np.ndarray) -> HeadInputs:
        """Returns what the head's circuit takes and what follows it, for running the circuit elsewhere.

        Args:
            inputs: N texts, images or features.

        Raises:
            RequestError: The head has no circuit.
        """
        head = self.model.head
        if not isinstance(head, ProjectedHead) or not isinstance(head.core, CircuitCore):
            raise RequestError(f"this head is {self.model.description.config.head.kind} and has no circuit")
        with torch.no_grad():
            params = {
                name: tensor.cpu()
                for name, tensor in self.model.split(self.model.layout.view(self.vector), HEAD).items()
            }
            angles = head.angles(params, self.model.new_features(self.vector, inputs))
            weights = head.core.weights(params, head.constants, angles)
        return HeadInputs(
            head.core.circuit,
            angles.double().numpy(),
            weights.double().numpy(),
            (OUTPUT_SCALE * params["output.weight"]).double().numpy(),
            params["output.bias"].double().numpy(),
        )

    def predict_proba(self, inputs: Sequence[str] | np.ndarray) -> np.ndarray:
        """Returns (N, C) float32 probabilities; each row adds up to 1."""
        return np.asarray(torch.softmax(torch.from_numpy(self.logits(inputs)), dim=1).numpy())

    def predict(self, inputs: Sequence[str] | np.ndarray) -> list[tuple[str, float]]:
        """Returns the likeliest label and its probability per input."""
        probabilities = self.predict_proba(inputs)
        best = probabilities.argmax(1)
        return [(self.label_names[c], float(row[c])) for row, c in zip(probabilities, best, strict=True)]


def load_model_from_folder(
    folder: Path,
    config: ModelConfig | None = None,
    *,
    device: str = "cpu",
    executor: str | None = None,
    shots: int | None = None,
    generator: torch.Generator | None = None,
) -> TrainedModel:
    """Returns the model that a run saved; the training data is not needed.

    Args:
        folder: The run's folder, with ``model.json`` and ``head.safetensors`` (and ``adapter/``).
        config: In place of the model section in ``model.json``, for example to name a backbone's new folder.
        device: ``cpu`` or ``cuda``.
        executor: What runs the circuit, in place of what the run used.
        shots: Measurements per expectation value; None for exact values.
        generator: Draws the measurements.

    Raises:
        RequestError: If a file is missing or damaged, or the backbone is not the one of the run.
    """
    folder = Path(folder)
    description = Description.read(folder)
    if config is not None:
        description = description.model_copy(update={"config": config})
    source: Source | None = None
    if description.modality == "image":
        source = Source(VIT, folder / BACKBONE_FOLDER)
        if not (source.folder / "config.json").is_file():
            raise RequestError(f"{folder} has no {BACKBONE_FOLDER}/; name the folder of a complete run")
    elif description.modality == "text":
        source = find(description.config.backbone)
    if source is not None and source.hash != description.backbone_hash:
        raise RequestError(
            f"the weights of {source.name} are not those that the model in {folder} was trained on "
            f"(hash {source.hash[:12]}, expected {description.backbone_hash[:12]})"
        )
    execution: dict[str, Any] = {"shots": shots, "generator": generator}
    if executor is not None:
        execution["executor"] = executor
    model = _assemble(description, source, None, device=device, streams=Streams(0), **execution)
    if model.circuit is None and (executor is not None or shots is not None):
        raise RequestError(
            f"executor and shots need a head with a circuit; this head is {description.config.head.kind}"
        )
    return TrainedModel(model, model.load(folder))
