"""Peer: fine-tuning MiniLM with LoRA as a PEFT user writes it, on one client's texts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class PeftLoop:
    """AutoModel, get_peft_model, mean pooling, a linear head, AdamW.

    Args:
        classes: Number of classes.
        max_length: Tokens a text is cut to.
    """

    def __init__(self, classes: int, max_length: int) -> None:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModel, AutoTokenizer

        from qfedfm.models.backbones.source import find

        folder = str(find("minilm").folder)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._length = max_length
        base = AutoModel.from_pretrained(folder)
        layers = base.config.num_hidden_layers
        config = LoraConfig(
            r=8,
            lora_alpha=16,
            target_modules=["query", "value"],
            layers_to_transform=[layers - 2, layers - 1],
            layers_pattern="layer",
        )
        self.model: Any = get_peft_model(base, config)
        self.head = torch.nn.Linear(base.config.hidden_size, classes)
        self._texts: dict[str, list[list[int]]] = {}

    def tokenise(self, train: Sequence[str], test: Sequence[str]) -> None:
        """Tokenises once, beforehand, which is not timed."""
        for name, texts in (("train", train), ("test", test)):
            found = self._tokenizer(list(texts), truncation=True, max_length=self._length)
            self._texts[name] = found["input_ids"]

    def reset(self, tensors: Mapping[str, Tensor]) -> None:
        """Copies initial weights (names of a run's model) into adapters and head."""
        import torch

        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    short = name.removeprefix("base_model.model.").replace(".default", "")
                    found = [
                        t
                        for n, t in tensors.items()
                        if n.startswith("adapter/") and short.startswith(_core(n))
                    ]
                    assert len(found) == 1, (name, list(tensors))
                    parameter.copy_(found[0])
            self.head.weight.copy_(tensors["head/output.weight"])
            self.head.bias.copy_(tensors["head/output.bias"])

    def train(
        self, labels: np.ndarray, steps: int, batch: int, rate: float, rng: np.random.Generator
    ) -> float:
        """Takes ``steps`` steps over shuffled batches; returns the seconds."""
        import torch

        self.model.eval()  # no dropout, as in the run that this is measured against
        parameters = [p for p in self.model.parameters() if p.requires_grad] + list(self.head.parameters())
        optimizer = torch.optim.AdamW(parameters, lr=rate)
        y = torch.from_numpy(np.asarray(labels))
        began = time.perf_counter()
        order = rng.permutation(len(labels))
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(self._logits("train", chosen), y[chosen])
            torch.autograd.backward(loss)
            optimizer.step()
        return time.perf_counter() - began

    def accuracy(self, labels: np.ndarray) -> float:
        """Returns the accuracy on the test texts."""
        import torch

        right = 0
        with torch.no_grad():
            for first in range(0, len(labels), 64):
                chosen = np.arange(first, min(first + 64, len(labels)))
                right += int((self._logits("test", chosen).argmax(1).numpy() == labels[chosen]).sum())
        return right / len(labels)

    def _logits(self, part: str, chosen: np.ndarray) -> Tensor:
        batch = self._tokenizer.pad(
            {"input_ids": [self._texts[part][i] for i in chosen]}, return_tensors="pt"
        )
        hidden = self.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        pooled: Tensor = (hidden * mask).sum(1) / mask.sum(1)
        # Features of root mean square 1, as in the run that this is measured against: one rate fits both.
        pooled = pooled * pooled.shape[1] ** 0.5 / pooled.norm(dim=1, keepdim=True)
        logits: Tensor = self.head(pooled)
        return logits


def _core(name: str) -> str:
    return name.removeprefix("adapter/").removesuffix(".weight")
