"""Putting PEFT adapters into a frozen transformer, and running them with tensors of our own.

The modules are PEFT's and the saved folder is PEFT's; only two things differ while training: the adapter's
tensors are handed in (so that one model serves every client), and a plain LoRA layer runs in one fused
product instead of PEFT's general path.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from qfedfm.core.errors import RequestError
from qfedfm.core.files import placing, write_atomic
from qfedfm.core.tensors import Layout
from qfedfm.models.adapters.folded import FoldedWeights, save_weights

if TYPE_CHECKING:
    from qfedfm.core.random import Streams
    from qfedfm.models.adapters.placed import PlacedAdapter
    from qfedfm.models.backbones.transformer import Transformer

_ROOT = "base_model.model."
_ADAPTER = ".default"


class InsertedAdapter:
    """Adapters of one PEFT kind in a transformer.

    Args:
        config: Kind and places.
        backbone: What they are put into; its modules are wrapped in place.
        streams: Where random starts are drawn from.

    Attributes:
        layout: The trained tensors by module, without the ``adapter/`` prefix they carry in a model.
        first_layer: The first adapted layer; 0 if an adapter lies outside the list of layers.

    Raises:
        RequestError: If a target does not exist or there are fewer layers than asked for.
    """

    def __init__(self, config: PlacedAdapter, backbone: Transformer, streams: Streams) -> None:
        modules, self.first_layer = place(config, backbone)
        self._config = config.peft(modules)
        self._config.base_model_name_or_path = backbone.source.name
        if hasattr(self._config, "fan_in_fan_out"):
            kinds = {type(backbone.module.get_submodule(name)).__name__ for name in modules}
            self._config.fan_in_fan_out = kinds == {"Conv1D"}  # GPT-2 stores its weights transposed
        self.peft = _insert(backbone.module, self._config, streams)
        self._slots: dict[str, tuple[nn.Module, str]] = {}
        self._saved: dict[str, str] = {}
        initial: dict[str, Tensor] = {}
        for name, parameter in self.peft.named_parameters():
            if not parameter.requires_grad:
                continue
            short = name.removeprefix(_ROOT).replace(f"{_ADAPTER}.weight", "").replace(_ADAPTER, "")
            owner, _, attribute = name.rpartition(".")
            self._slots[short] = (self.peft.get_submodule(owner), attribute)
            self._saved[short] = name.replace(_ADAPTER, "")
            initial[short] = parameter.detach().float().clone()
            parameter.requires_grad_(False)
        self.layout = Layout.of(initial)
        self._initial = {name: _lora_start(name, tensor, streams) for name, tensor in initial.items()}
        self._scale: float | None = None
        self._cast: set[str] = set()
        self._dropouts: list[SeededDropout] = []
        for name, module in list(self.peft.named_modules()):
            self._prepare(name.removeprefix(_ROOT), module)
        self._dtype = backbone.dtype
        self.peft.to(backbone.device)
        self.folded = FoldedWeights(self.peft, _ROOT)

    def _prepare(self, name: str, module: nn.Module) -> None:
        """Gives a plain LoRA layer its fused forward and every LoRA layer its seeded dropout."""
        from peft.tuners.lora.layer import Linear, LoraLayer

        if not isinstance(module, LoraLayer):
            return
        self._scale = float(module.scaling["default"])
        rank, sides = int(module.r["default"]), (module.in_features, module.out_features)
        if rank > min(sides):
            raise RequestError(
                f"model.adapter.rank is {rank}, above the size of {name}, which is {sides[1]} by {sides[0]}; "
                f"use at most {min(sides)}"
            )
        rate = float(getattr(module.lora_dropout["default"], "p", 0.0))
        dropout = None
        if rate:
            dropout = SeededDropout(rate)
            module.lora_dropout["default"] = dropout
            self._dropouts.append(dropout)
        if type(module) is Linear and "default" not in module.lora_variant:
            fuse(module, dropout)
            self._cast |= {f"{name}.lora_A", f"{name}.lora_B"}

    def initial(self) -> dict[str, Tensor]:
        """Returns the tensors before training."""
        return dict(self._initial)

    def reseed(self, generator: torch.Generator) -> None:
        """Gives dropout its generator; it drops while gradients are recorded."""
        for dropout in self._dropouts:
            dropout.generator = generator

    @contextmanager
    def using(self, tensors: Mapping[str, Tensor]) -> Iterator[None]:
        """Runs the body with ``tensors`` (named as in the layout) in the adapter's places."""
        before = {}
        try:
            for name, (module, attribute) in self._slots.items():
                tensor = tensors[name]
                before[name] = module._parameters[attribute]
                module._parameters[attribute] = tensor.to(self._dtype) if name in self._cast else tensor  # type: ignore[assignment]
            yield
        finally:
            for name, value in before.items():
                module, attribute = self._slots[name]
                module._parameters[attribute] = value

    def save(self, tensors: Mapping[str, Tensor], folder: Path) -> None:
        """Writes PEFT's folder: ``adapter_model.safetensors`` and ``adapter_config.json``."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        config, weights = self._config, dict[str, Tensor]()
        if self.folded.changes and self._scale is not None:
            tensors, config, weights = self.folded.extended(tensors, config, self._scale)
        save_weights(weights, folder)
        named = {self._saved[n]: t.detach().float().cpu().contiguous().clone() for n, t in tensors.items()}
        with placing(folder / "adapter_model.safetensors") as temporary:
            save_file(named, temporary, metadata={"format": "pt"})
        training = config.inference_mode
        config.inference_mode = True
        try:
            config.save_pretrained(str(folder))
        finally:
            config.inference_mode = training
        # PEFT keeps the modules as a set, whose order changes from run to run.
        path = folder / "adapter_config.json"
        written = json.loads(path.read_text(encoding="utf-8"))
        written["target_modules"] = sorted(written["target_modules"])
        write_atomic(path, json.dumps(written, indent=2, sort_keys=True) + "\n")

    def load(self, folder: Path) -> dict[str, Tensor]:
        """Returns the tensors of a folder that :meth:`save` wrote, and folds its changes of weights."""
        from safetensors.torch import load_file

        path = folder / "adapter_model.safetensors"
        if not path.is_file():
            raise RequestError(f"{folder} has no adapter_model.safetensors")
        stored = load_file(path)
        if set(stored) != set(self._saved.values()):
            raise RequestError(f"the adapter in {folder} is not of the kind and places its model.json says")
        found = {name: stored[saved] for name, saved in self._saved.items()}
        if self._scale is None:
            return found
        return self.folded.taken_back(found, int(self._config.r), self._scale, folder)


def place(config: PlacedAdapter, backbone: Transformer) -> tuple[list[str], int]:
    """Returns the full names of the adapted modules and the first adapted layer.

    Raises:
        RequestError: If a target does not exist or there are fewer layers than asked for.
    """
    names = [name for name, _ in backbone.module.named_modules() if name]
    inner = f"{backbone.layers_name}."
    count = len(backbone.layers) if backbone.layers is not None else 0
    if config.last_layers is not None:
        if not count:
            raise RequestError(
                f"model.adapter.last_layers: the layers of {backbone.source.name} are not a list; "
                "leave it out"
            )
        if config.last_layers > count:
            raise RequestError(
                f"model.adapter.last_layers is {config.last_layers}, but {backbone.source.name} has "
                f"{count} layers"
            )
    chosen: dict[str, int | None] = {}
    for target in config.targets:
        ends = [name for name in names if name == target or name.endswith(f".{target}")]
        if not ends:
            raise RequestError(
                f"model.adapter.targets: {backbone.source.name} has no module {target!r}; "
                f"it has {', '.join(_endings(backbone))}"
            )
        for name in ends:
            layer = None
            if count and name.startswith(inner):
                layer = int(name.removeprefix(inner).split(".")[0])
            if config.last_layers is None or (layer is not None and layer >= count - config.last_layers):
                chosen[name] = layer
    if not chosen:
        raise RequestError(
            f"model.adapter: no module named {', '.join(config.targets)} lies in the last "
            f"{config.last_layers} layers of {backbone.source.name}"
        )
    layers = [layer for layer in chosen.values() if layer is not None]
    first = 0 if len(layers) < len(chosen) else min(layers)
    return [name for name in names if name in chosen], first


def _endings(backbone: Transformer) -> list[str]:
    """Returns the last names of the modules that can carry an adapter, in order of appearance."""
    kinds = ("Linear", "Conv1D", "Embedding", "Conv2d")
    found = (name for name, m in backbone.module.named_modules() if type(m).__name__ in kinds)
    return list(dict.fromkeys(name.rpartition(".")[2] for name in found))


def _insert(module: nn.Module, config: Any, streams: Streams) -> nn.Module:
    """Wraps ``module``; what PEFT draws comes from our stream, and the global generator is left as it was."""
    from peft import get_peft_model

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # PEFT asks transformers under a name that transformers is about to drop.
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        torch.set_rng_state(streams.torch("adapter").get_state())
        try:
            wrapped: nn.Module = get_peft_model(module, config)
        except ValueError as error:
            first = str(error).strip().splitlines()[0]
            raise RequestError(f"model.adapter cannot be put into this backbone: {first}") from error
    return wrapped.eval()


def _lora_start(name: str, tensor: Tensor, streams: Streams) -> Tensor:
    """Returns LoRA's A uniform in ±1/√fan-in and its B zero, and any other tensor as it is."""
    if name.endswith(".lora_A"):
        generator = streams.torch(name)
        return (torch.rand(tensor.shape, generator=generator) * 2 - 1) / math.sqrt(tensor[0].numel())
    return torch.zeros_like(tensor) if name.endswith(".lora_B") else tensor


def fuse(module: Any, dropout: nn.Module | None) -> None:
    """Gives a plain LoRA layer a forward of three products, the last one added in place of a sum."""
    linear = torch.nn.functional.linear
    base, scaling = module.base_layer, float(module.scaling["default"])
    down, up = module.lora_A["default"], module.lora_B["default"]

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        result = base(x)
        inner = linear(x if dropout is None else dropout(x), down.weight)
        added = torch.addmm(result.flatten(0, -2), inner.flatten(0, -2), up.weight.T, alpha=scaling)
        return added.view(result.shape)

    module.forward = forward


class SeededDropout(nn.Module):
    """Dropout from a given generator, active while gradients are recorded.

    Args:
        rate: Probability that a number is dropped; the others are scaled up.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.p = rate
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Returns ``x``, dropped and rescaled in training.

        Raises:
            ValueError: If gradients are recorded and there is no generator.
        """
        if not torch.is_grad_enabled():
            return x
        if self.generator is None:
            raise ValueError("training with dropout needs a generator: call the model's reseed first")
        kept = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * kept.div_(1 - self.p)
