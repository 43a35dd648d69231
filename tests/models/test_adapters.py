"""Adapters are PEFT's: same numbers, same files; only their tensors are ours."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import sentences

from qfedfm.core.errors import RequestError
from qfedfm.models.model import HEAD

KINDS: list[dict[str, Any]] = [
    {"kind": "lora", "rank": 3, "alpha": 5},
    {"kind": "lora", "rank": 4, "rslora": True},
    {"kind": "lora", "rank": 2, "dora": True},
    {"kind": "ia3"},
    {"kind": "loha", "options": {"r": 2}},
    {"kind": "lokr", "options": {"r": 2}},
    {"kind": "oft", "options": {"oft_block_size": 8}},
    {"kind": "hra", "options": {"r": 2}},
]


def moved(model: Any, size: float = 0.05) -> torch.Tensor:
    vector: torch.Tensor = model.initial()
    return vector + size * torch.randn(vector.shape, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("adapter", KINDS, ids=lambda a: "-".join(map(str, a)) + str(a["kind"]))
def test_the_saved_folder_gives_peft_the_same_logits(
    adapter: dict[str, Any], make: Callable[..., Any], tiny_folder: Callable[[str], str], tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModel, AutoTokenizer

    from qfedfm.models.backbones.transformer import quiet

    model = make(adapter=adapter | {"last_layers": 2})
    vector = moved(model)
    leaves = model.leaves(vector[None])
    logits = model.logits(leaves, torch.arange(24)[None])[0]
    torch.nn.functional.cross_entropy(logits, torch.arange(24) % 2).backward()
    assert all(leaf.grad is not None and leaf.grad.abs().max() > 0 for leaf in leaves.values())

    model.save(vector, tmp_path)
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
        base = AutoModel.from_pretrained(tiny_folder("bert")).eval()
        peft = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    batch = AutoTokenizer.from_pretrained(tiny_folder("bert"))(
        sentences(24), padding=True, truncation=True, max_length=16, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = peft(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None].float()
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        pooled = pooled / pooled.square().mean(1, keepdim=True).sqrt()
        expected = model.head.logits(model.split(model.layout.view(vector), HEAD), pooled)
    torch.testing.assert_close(logits.detach(), expected, rtol=1e-4, atol=1e-4)


def test_names_and_files_say_nothing_of_this_machine(
    make: Callable[..., Any], tiny_folder: Callable[[str], str], tmp_path: Path
) -> None:
    model = make(adapter={"kind": "lora", "last_layers": 1})
    assert model.layout.names == (
        "adapter/encoder.layer.2.attention.self.query.lora_A",
        "adapter/encoder.layer.2.attention.self.query.lora_B",
        "adapter/encoder.layer.2.attention.self.value.lora_A",
        "adapter/encoder.layer.2.attention.self.value.lora_B",
        "head/output.weight",
        "head/output.bias",
    )
    model.save(model.initial(), tmp_path)
    assert sorted(p.name for p in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    text = (tmp_path / "adapter" / "adapter_config.json").read_text()
    assert json.loads(text)["base_model_name_or_path"] == "tiny-bert0" or "/" not in text
    assert tiny_folder("bert") not in text
    first = {p.name: p.read_bytes() for p in (tmp_path / "adapter").iterdir()}
    model.save(model.initial(), tmp_path)
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "adapter").iterdir()}


def test_lora_starts_with_our_a_and_no_b(make: Callable[..., Any]) -> None:
    model = make(adapter={"kind": "lora", "last_layers": 1, "rank": 4})
    view = model.layout.view(model.initial())
    for name in model.layout.names:
        if name.endswith("lora_B"):
            assert not view[name].any()
        if name.endswith("lora_A"):
            assert view[name].abs().max() <= 32**-0.5 and view[name].std() > 0.05


def test_a_target_that_ends_in_dense_leaves_the_unused_pooler_alone(make: Callable[..., Any]) -> None:
    model = make(adapter={"kind": "lora", "targets": ["dense"], "last_layers": 1})
    assert not any("pooler" in name for name in model.layout.names)
    everywhere = make(adapter={"kind": "lora", "targets": ["dense"]})
    assert not any("pooler" in name for name in everywhere.layout.names)


def test_one_client_at_a_time(make: Callable[..., Any]) -> None:
    model = make(adapter={"kind": "lora"})
    assert not model.client_axis
    with pytest.raises(ValueError, match="one client at a time"):
        model.leaves(model.initial().expand(2, -1))
    vector = moved(model)
    leaves = model.leaves(vector[None])
    assert model.gather(leaves).shape == (1, model.trainable_parameters)
    assert torch.equal(model.gather(leaves)[0], vector)
    assert model.lengths is not None and model.lengths.shape == (24,)


def test_dropout_follows_its_generator_only(make: Callable[..., Any]) -> None:
    model = make(adapter={"kind": "lora", "dropout": 0.5})
    vector, index = moved(model), torch.arange(8)[None]
    leaves = model.leaves(vector[None])
    with pytest.raises(ValueError, match="reseed"):
        model.logits(leaves, index)

    def trained(seed: int) -> torch.Tensor:
        model.reseed(torch.Generator().manual_seed(seed))
        logits: torch.Tensor = model.logits(leaves, index).detach()
        return logits

    before = torch.get_rng_state()
    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))
    assert torch.equal(before, torch.get_rng_state())
    with torch.no_grad():
        assert torch.equal(model.logits(leaves, index), model.logits(leaves, index))
    plain = make(adapter={"kind": "lora"})
    with torch.no_grad():
        torch.testing.assert_close(model.logits(leaves, index), plain.logits(leaves, index))


@pytest.mark.parametrize(
    ("adapter", "sentence"),
    [
        ({"kind": "lora", "targets": ["querry"]}, r"targets.*'querry'.*query, key, value, dense"),
        ({"kind": "lora", "last_layers": 4}, r"last_layers is 4, but .* has 3 layers"),
        (
            {"kind": "lora", "targets": ["word_embeddings"], "last_layers": 1},
            r"no module named word_embeddings",
        ),
        ({"kind": "lora", "targets": ["LayerNorm"]}, r"cannot be put"),
        ({"kind": "loha", "options": {"nonsense": 1}}, r"adapter\.options"),
    ],
)
def test_impossible_adapters_are_refused(
    adapter: dict[str, Any], sentence: str, make: Callable[..., Any]
) -> None:
    with pytest.raises(RequestError, match=sentence):
        make(adapter=adapter)


def test_gradients_reach_float32_masters_from_bfloat16(make: Callable[..., Any]) -> None:
    model = make(adapter={"kind": "lora", "last_layers": 2}, precision="bfloat16")
    assert next(model.backbone.module.parameters()).dtype == torch.bfloat16
    leaves = model.leaves(moved(model)[None])
    logits = model.logits(leaves, torch.arange(6)[None])
    assert logits.dtype == torch.float32
    logits.sum().backward()
    assert all(leaf.grad is not None and leaf.grad.dtype == torch.float32 for leaf in leaves.values())
