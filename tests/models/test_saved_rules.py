"""What a run under any LoRA rule saves: plain PEFT and our own loader give the logits of the run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from tiny_models import sentences

from qfedfm.aggregation import AggregationConfig
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.federation.compatibility import Adapter
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.messages import ByteCounter
from qfedfm.federation.plan import Plan
from qfedfm.federation.round import run_round
from qfedfm.federation.store import ClientStore
from qfedfm.models import load_model_from_folder
from qfedfm.models.model import HEAD

RULES = (
    "fedavg fedit ffa_lora rolora flora flexlora hetlora fedex_lora fedsvd lora_fair fedsa_lora best_rank "
    "soup"
).split()
FAST = ("fedit", "flora", "fedex_lora", "fedsvd", "best_rank")
"""The others save nothing of their own and run with the slow tests."""
TEXTS = 24


class Clients:
    sizes = np.array([10, 6, 8])

    def train(self, client: int) -> np.ndarray:
        return np.split(np.arange(TEXTS), np.cumsum(self.sizes)[:-1])[client]


def federated(model: Any, kind: str, adapter: dict[str, Any], **client: Any) -> Any:
    """Runs two rounds (one for a soup) and returns the last state, its changes folded."""
    rounds = 1 if kind == "soup" else 2
    scale = adapter.get("alpha", 16) / (adapter["rank"] ** (0.5 if adapter.get("rslora") else 1))
    plan = Plan.of(
        FederationConfig(rounds=rounds),
        ClientConfig(batch_size=6, optimizer={"kind": "adamw", "lr": 0.02}, **client),  # type: ignore[arg-type]
        TypeAdapter(AggregationConfig).validate_python({"kind": kind}),
        (),
        Adapter(adapter["rank"], scale),
    )
    engine = LocalEngine(model, torch.arange(TEXTS) % 2, Clients(), ClientStore())
    state = plan.initial_state(model.initial(), Streams(1))
    for _ in range(rounds):
        state, _ = run_round(state, plan, engine, ByteCounter(), verified=True)
    model.fold(state.frozen)
    return state


def logits(model: Any, vector: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.logits(model.leaves(vector[None]), torch.arange(TEXTS)[None])[0]
    return found


def by_peft(model: Any, vector: torch.Tensor, base: str, folder: Path) -> torch.Tensor:
    """The judge: transformers and PEFT alone, with the changed base weights if there are any."""
    from peft import PeftModel
    from transformers import AutoModel, AutoTokenizer

    from qfedfm.models.backbones.transformer import quiet

    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        module = AutoModel.from_pretrained(base).eval()
        weights = folder / "adapter" / "base_weights.safetensors"
        if weights.is_file():
            changed = load_file(weights)
            assert not module.load_state_dict(changed, strict=False).unexpected_keys
        peft = PeftModel.from_pretrained(module, str(folder / "adapter")).eval()
    batch = AutoTokenizer.from_pretrained(base)(
        sentences(TEXTS), padding=True, truncation=True, max_length=16, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = peft(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None].float()
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        pooled = pooled / pooled.square().mean(1, keepdim=True).sqrt()
        found: torch.Tensor = model.head.logits(model.split(model.layout.view(vector), HEAD), pooled)
    return found


@pytest.mark.parametrize(
    "kind", [kind if kind in FAST else pytest.param(kind, marks=pytest.mark.slow) for kind in RULES]
)
def test_peft_gives_the_logits_of_the_run(
    kind: str, make: Callable[..., Any], tiny_folder: Callable[[str], str], tmp_path: Path
) -> None:
    adapter = {"kind": "lora", "rank": 1, "alpha": 3, "last_layers": 1}
    model = make(adapter=adapter)
    state = federated(model, kind, adapter)
    in_run = logits(model, state.model)
    model.save(state.model, tmp_path)
    found = by_peft(model, state.model, tiny_folder("bert"), tmp_path)
    torch.testing.assert_close(found, in_run, rtol=0, atol=1e-5)
    loaded = load_model_from_folder(tmp_path)
    torch.testing.assert_close(torch.from_numpy(loaded.logits(sentences(TEXTS))), in_run, rtol=0, atol=1e-5)
    torch.testing.assert_close(loaded.vector, state.model, rtol=1e-6, atol=1e-7)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert bool(config["rank_pattern"]) == (kind in ("flora", "fedex_lora"))
    if kind == "fedex_lora":  # (K − 1)·r of each round's residual, on top of the adapter's 1
        assert 1 < max(config["rank_pattern"].values()) <= 1 + 2 * 2


@pytest.mark.parametrize(
    ("kind", "adapter"),
    [
        ("flora", {"rank": 4}),
        ("flora", {"rank": 1, "rslora": True}),
        ("fedex_lora", {"rank": 2, "rslora": True}),
        ("fedex_lora", {"rank": 8}),
    ],
    ids=lambda v: str(v),
)
def test_a_large_change_is_saved_as_base_weights_and_scales_are_kept(
    kind: str,
    adapter: dict[str, Any],
    make: Callable[..., Any],
    tiny_folder: Callable[[str], str],
    tmp_path: Path,
) -> None:
    options = {"kind": "lora", "last_layers": 1, **adapter}
    model = make(adapter=options)
    state = federated(model, kind, options)
    in_run = logits(model, state.model)
    model.save(state.model, tmp_path)
    large = any(name.endswith("|dense") for name in state.frozen)
    assert (tmp_path / "adapter" / "base_weights.safetensors").is_file() == large
    assert large == (adapter["rank"] > 2)
    found = by_peft(model, state.model, tiny_folder("bert"), tmp_path)
    torch.testing.assert_close(found, in_run, rtol=0, atol=1e-5)
    loaded = load_model_from_folder(tmp_path)
    torch.testing.assert_close(torch.from_numpy(loaded.logits(sentences(TEXTS))), in_run, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_other_architectures_store_weights_their_own_way(
    architecture: str, make: Callable[..., Any], tmp_path: Path
) -> None:
    targets = ["c_attn"] if architecture == "gpt2" else ["q_proj"]
    adapter = {"kind": "lora", "rank": 2, "targets": targets, "last_layers": 1}
    model = make(architecture, adapter=adapter)
    state = federated(model, "flora", adapter)
    unfolded = make(architecture, adapter=adapter)
    in_run = logits(model, state.model)
    assert (logits(unfolded, state.model) - in_run).abs().max() > 1e-4
    model.save(state.model, tmp_path)
    loaded = load_model_from_folder(tmp_path)
    torch.testing.assert_close(torch.from_numpy(loaded.logits(sentences(TEXTS))), in_run, rtol=0, atol=1e-4)


def test_small_changes_are_not_rounded_away_in_bfloat16(make: Callable[..., Any]) -> None:
    adapter = {"kind": "lora", "rank": 2, "last_layers": 1}
    model = make(adapter=adapter, precision="bfloat16")
    module = "encoder.layer.2.attention.self.query"
    small = {f"{module}|dense": torch.full((32, 32), 1e-5)}
    base = model.adapter.peft.get_submodule(f"base_model.model.{module}").base_layer
    before = base.weight.detach().clone()
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    plain = base(x)
    model.fold(small)
    assert base.weight.dtype == torch.float32 and base(x).dtype == torch.bfloat16
    torch.testing.assert_close(base.weight - before.float(), small[f"{module}|dense"], rtol=1e-2, atol=0)
    model.fold({})
    assert torch.equal(base.weight, before) and torch.equal(base(x), plain)


def test_folding_twice_does_not_add_up(make: Callable[..., Any]) -> None:
    model = make(adapter={"kind": "lora", "rank": 2, "last_layers": 1})
    module = "encoder.layer.2.attention.self.query"
    change = {f"{module}|up": torch.ones(32, 1), f"{module}|down": torch.ones(1, 32)}
    model.fold(change)
    once = logits(model, model.initial())
    model.fold(dict(change))
    assert torch.equal(once, logits(model, model.initial()))


def test_a_rank_above_the_layer_is_refused(make: Callable[..., Any]) -> None:
    with pytest.raises(RequestError, match=r"rank is 33, above the size of .*query, which is 32 by 32"):
        make(adapter={"kind": "lora", "rank": 33, "last_layers": 1})
    with pytest.raises(RequestError, match=r"last_layers is 4, but .* has 3 layers"):
        make(adapter={"kind": "lora", "last_layers": 4})
