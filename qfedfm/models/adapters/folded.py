"""Changes of frozen weights under an adapter: applied to modules, saved as extra LoRA rank, read back.

In float32 the module's weight is replaced by ``W0 + change``. In bfloat16 that sum would round away what is
small beside W0, so a changed module keeps its sum in float32 and casts its output.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qfedfm.core.changes import DENSE, DOWN, UP, Changes, changed_modules, dense_change, factors_of
from qfedfm.core.files import placing

WEIGHTS = "base_weights.safetensors"


class FoldedWeights:
    """The changed weights of one adapted backbone.

    Args:
        peft: The wrapped backbone.
        root: What stands before a module's name in it.
    """

    def __init__(self, peft: nn.Module, root: str) -> None:
        self._peft, self._root = peft, root
        self._original: dict[str, Tensor] = {}
        self.changes: Changes = {}

    def _base(self, module: str) -> Any:
        return self._peft.get_submodule(self._root + module).base_layer

    def _turned(self, module: str, change: Tensor) -> Tensor:
        """Returns a change (out, in) as the module stores its weight."""
        kept = type(self._base(module)).__name__ in ("Conv1D", "Embedding")
        return change.mT if kept else change

    def fold(self, changes: Changes) -> None:
        """Makes ``changes`` all that the frozen weights differ by from those of the files."""
        if changes is self.changes:
            return
        for module in changed_modules(self.changes):
            if module not in changed_modules(changes):
                base = self._base(module)
                base.weight = nn.Parameter(self._original[module], requires_grad=False)
                base.__dict__.pop("forward", None)
        for module in changed_modules(changes):
            base = self._base(module)
            original = self._original.setdefault(module, base.weight.detach())
            summed = original.double() + self._turned(module, dense_change(changes, module)).to(
                original.device
            )
            base.weight = nn.Parameter(summed.float(), requires_grad=False)
            if original.dtype != torch.float32:
                base.forward = _in_float32(base, original.dtype)
        self.changes = changes

    def extended(
        self, tensors: Mapping[str, Tensor], config: Any, scale: float
    ) -> tuple[dict[str, Tensor], Any, dict[str, Tensor]]:
        """Returns what is saved: factors with the changes as extra rank, configuration, base weights.

        Args:
            tensors: The trained factors by their names in the layout.
            config: PEFT's configuration of them.
            scale: s of the adapter.

        Returns:
            The factors, ``W0 + s·[B | up/s][A; down]``; a configuration with the modules' ranks; and, for
            modules whose change is too large for factors, the changed weights by parameter name.
        """
        out, weights, ranks = dict(tensors), dict[str, Tensor](), dict[str, int]()
        for module in changed_modules(self.changes):
            pair = factors_of(self.changes, module)
            if pair is None:
                weights[f"{module}.weight"] = self._base(module).weight.detach().cpu().contiguous().clone()
                continue
            down, up = _names(tensors, module)
            out[up] = torch.cat([tensors[up].cpu(), pair[0].cpu() / scale], dim=1)
            out[down] = torch.cat([tensors[down].cpu(), pair[1].cpu()])
            ranks[module] = int(out[down].shape[0])
        if ranks:
            config = copy.deepcopy(config)
            config.use_rslora, config.lora_alpha = False, scale * config.r
            config.rank_pattern = ranks
            config.alpha_pattern = {module: scale * rank for module, rank in ranks.items()}
        return out, config, weights

    def taken_back(
        self, stored: Mapping[str, Tensor], rank: int, scale: float, folder: Path
    ) -> dict[str, Tensor]:
        """Returns the trained factors of what :meth:`extended` made, and folds the rest.

        Args:
            stored: The saved factors by their names in the layout.
            rank: r of the adapter.
            scale: s of the adapter.
            folder: Where changed base weights may lie.
        """
        from safetensors.torch import load_file

        out, changes = dict(stored), dict[str, Tensor]()
        for down in [name for name in stored if name.endswith("_A") and stored[name].shape[0] > rank]:
            up, module = down[:-1] + "B", down.rpartition(".")[0]
            changes[module + UP] = stored[up][:, rank:] * scale
            changes[module + DOWN] = stored[down][rank:].clone()
            out[up], out[down] = stored[up][:, :rank].clone(), stored[down][:rank].clone()
        if (folder / WEIGHTS).is_file():
            for name, weight in load_file(folder / WEIGHTS).items():
                module = name.removesuffix(".weight")
                original = self._original.get(module, self._base(module).weight.detach())
                changes[module + DENSE] = self._turned(module, weight - original.float().cpu())
        self.fold(changes)
        return out


def save_weights(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Writes changed base weights beside an adapter, or removes what an earlier save left."""
    from safetensors.torch import save_file

    path = folder / WEIGHTS
    if not weights:
        path.unlink(missing_ok=True)
        return
    with placing(path) as temporary:
        save_file(dict(weights), temporary, metadata={"format": "pt"})


def _names(tensors: Mapping[str, Tensor], module: str) -> tuple[str, str]:
    kind = "lora_embedding" if f"{module}.lora_embedding_A" in tensors else "lora"
    return f"{module}.{kind}_A", f"{module}.{kind}_B"


def _in_float32(base: Any, dtype: torch.dtype) -> Any:
    functional, name = nn.functional, type(base).__name__

    def forward(x: Tensor) -> Tensor:
        if name == "Embedding":
            return functional.embedding(x, base.weight, base.padding_idx).to(dtype)
        weight = base.weight.mT if name == "Conv1D" else base.weight
        bias = None if base.bias is None else base.bias.float()
        return functional.linear(x.float(), weight, bias).to(dtype)

    return forward
