"""What models with and without adapters share: vectors and leaves, and the head's files.

Shapes: K = clients, d = trained numbers.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.changes import Changes
from qfedfm.core.errors import RequestError
from qfedfm.core.files import placing
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.models.backbones.source import VIT, Source
from qfedfm.models.description import Description
from qfedfm.models.heads import Head
from qfedfm.models.heads.projected import ProjectedHead
from qfedfm.models.model import ADAPTER, HEAD
from qfedfm.optim.circuits.landscape import CircuitView

_CONSTANT = "constant/"
HEAD_FILE, ADAPTER_FOLDER, BACKBONE_FOLDER = "head.safetensors", "adapter", "backbone"


class Parts:
    """A head, perhaps an adapter's tensors, and the one vector that holds what is trained.

    Args:
        description: What goes into ``model.json``.
        head: The head.
        adapter: The adapter's tensors; empty if there is none.
        device: Where tensors lie.
        streams: Where random starts are drawn from.
        source: The backbone's files, if there is one.
    """

    client_axis = True

    def __init__(
        self,
        description: Description,
        head: Head,
        adapter: Layout,
        *,
        device: str,
        streams: Streams,
        source: Source | None,
    ) -> None:
        self.description, self.head, self.device = description, head, device
        self.source, self._streams = source, streams
        self.precision, self.backbone_hash = description.precision, description.backbone_hash
        self.layout = Layout(
            tuple((ADAPTER + name, shape) for name, shape in adapter.entries)
            + tuple((HEAD + name, shape) for name, shape in head.layout.entries)
        )

    @property
    def trainable_parameters(self) -> int:
        """How many numbers are trained."""
        return self.layout.size

    @property
    def quantum_parameters(self) -> int:
        """How many of them are circuit weights."""
        return self.head.quantum_parameters

    @property
    def circuit(self) -> Circuit | None:
        """The circuit in the head, if there is one."""
        return self.head.circuit

    def initial(self) -> Tensor:
        """Returns the vector before training, (d,) float32, on the model's device."""
        drawn = {HEAD + name: tensor for name, tensor in self.head.initial(self._streams.at("head")).items()}
        drawn |= {ADAPTER + name: tensor for name, tensor in self.initial_adapter().items()}
        return self.layout.flatten(drawn).float().to(self.device)

    def initial_adapter(self) -> dict[str, Tensor]:
        """Returns the adapter's tensors before training."""
        return {}

    def leaves(self, vectors: Tensor) -> dict[str, Tensor]:
        """Returns tensors that require gradients from vectors (K, d)."""
        if not self.client_axis and vectors.shape[0] != 1:
            raise ValueError(
                f"a model with adapters trains one client at a time, got {vectors.shape[0]} vectors"
            )
        named = self.layout.view(vectors if self.client_axis else vectors[0])
        return {
            n: t.detach().to(self.device, copy=True).contiguous().requires_grad_(True)
            for n, t in named.items()
        }

    def gather(self, leaves: Mapping[str, Tensor]) -> Tensor:
        """Returns a detached copy of the leaves as vectors, (K, d)."""
        vector = self.layout.flatten({name: leaf.detach() for name, leaf in leaves.items()})
        return vector if self.client_axis else vector.unsqueeze(0)

    def features_of(self, leaves: Mapping[str, Tensor], index: Tensor) -> Tensor:
        """Returns features (K, B, D) of the samples ``index`` (K, B) under adapters as they are."""
        raise NotImplementedError

    def circuit_view(self, leaves: Mapping[str, Tensor], index: Tensor) -> CircuitView:
        """Returns the head's circuit on the samples ``index`` (K, B), for optimizers of its weights.

        Raises:
            RequestError: If the head has no circuit whose weights are trained.
        """
        if not isinstance(self.head, ProjectedHead):
            raise RequestError("this head has no circuit whose weights are trained; use {kind: quantum}")
        with torch.no_grad():
            features = self.features_of(leaves, index)
        params = self.split(leaves, HEAD)
        if not self.client_axis:
            params = {name: tensor.unsqueeze(0) for name, tensor in params.items()}
        return self.head.view(params, features)

    @contextmanager
    def sampling(self, shots: int | None, generator: torch.Generator | None) -> Iterator[None]:
        """Measures the circuit in the head with ``shots`` inside; None for exact values.

        Raises:
            RequestError: If shots are asked for and there is no circuit.
        """
        if isinstance(self.head, ProjectedHead):
            with self.head.sampling(shots, generator):
                yield
        elif shots is None:
            yield
        else:
            raise RequestError("shots need a head with a circuit; use model.head {kind: quantum}")

    def split(self, tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
        """Returns the tensors whose names begin with ``part``, without it."""
        return {name.removeprefix(part): tensor for name, tensor in tensors.items() if name.startswith(part)}

    def save_head(self, vector: Tensor, folder: Path) -> None:
        """Writes ``head.safetensors``, ``model.json`` and, for a backbone of our own, its files."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = self.split(self.layout.view(vector.detach().float().cpu()), HEAD)
        tensors = {HEAD + name: tensor.clone() for name, tensor in tensors.items()}
        tensors |= {_CONSTANT + name: tensor.cpu() for name, tensor in self.head.constants.items()}
        with placing(folder / HEAD_FILE) as temporary:
            save_file(tensors, temporary)
        if self.source is not None and self.source.name == VIT:
            target = folder / BACKBONE_FOLDER
            if self.source.folder.resolve() != target.resolve():
                shutil.copytree(self.source.folder, target, dirs_exist_ok=True)
        self.description.write(folder)

    def load_head(self, folder: Path) -> dict[str, Tensor]:
        """Returns the head's trained tensors of a folder and takes over its constants.

        Raises:
            RequestError: If the file is absent or of another head.
        """
        path = folder / HEAD_FILE
        try:
            tensors = load_file(path)
        except (OSError, ValueError, RuntimeError) as error:
            raise RequestError(f"{path} cannot be read; name the folder of a complete run") from error
        except Exception as error:  # safetensors' own error class
            raise RequestError(f"{path} is not a whole safetensors file") from error
        constants = self.split(tensors, _CONSTANT)
        trained = {name: tensor for name, tensor in tensors.items() if name.startswith(HEAD)}
        expected = {n: s for n, s in self.layout.entries if n.startswith(HEAD)}
        if {n: tuple(t.shape) for n, t in trained.items()} != expected or set(constants) != set(
            self.head.constants
        ):
            raise RequestError(f"{path} does not hold the head that its model.json describes")
        for name, tensor in constants.items():
            self.head.constants[name] = tensor.to(self.device)
        return trained

    def fold(self, changes: Changes) -> None:
        """Takes no changes: without adapters no rule moves frozen weights."""
        if changes:
            raise ValueError("a model without adapters has no frozen weights that could change")

    def reseed(self, generator: torch.Generator) -> None:
        """Does nothing: there is no dropout outside of adapters."""
