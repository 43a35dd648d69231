"""Backbones of any architecture: loading, pooling, and going on from stored hidden states."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import Data, sentences, tiny

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.models.backbones.source import MINILM_SHA256, Source, find
from qfedfm.models.backbones.stored import encode
from qfedfm.models.backbones.texts import pack, pad, tokenise
from qfedfm.models.backbones.transformer import Transformer

ENCODERS = ["bert", "roberta", "distilbert", "modernbert"]
DECODERS = ["gpt2", "llama", "qwen2"]
TARGETS = {
    "bert": ["query", "value"],
    "roberta": ["query", "value"],
    "distilbert": ["q_lin", "v_lin"],
    "modernbert": ["Wqkv"],
    "gpt2": ["c_attn"],
    "llama": ["q_proj", "v_proj"],
    "qwen2": ["q_proj", "v_proj"],
    "albert": ["query", "value"],
}


def load(folder: str, precision: str = "float32") -> Transformer:
    return Transformer(find(folder), precision=precision, device="cpu", max_length=16)


@pytest.mark.parametrize("kind", ENCODERS + DECODERS)
def test_pooling_follows_the_architecture_and_ignores_padding(
    kind: str, tiny_folder: Callable[[str], str]
) -> None:
    backbone, texts = load(tiny_folder(kind)), sentences(9)
    assert backbone.pooling == ("last" if kind in DECODERS else "mean")
    together, alone = np.zeros((9, 32), np.float32), np.zeros((9, 32), np.float32)
    encode(backbone, texts, 16, together)
    for i, text in enumerate(texts):
        encode(backbone, [text], 16, alone[i : i + 1])
    np.testing.assert_allclose(together, alone, atol=2e-5)
    np.testing.assert_allclose((together**2).mean(1), 1, rtol=1e-4)
    ids = torch.tensor(tokenise(backbone.source, texts[:1], 16))
    with torch.no_grad():
        hidden = backbone.module(ids).last_hidden_state[0]
    expected = hidden[-1] if kind in DECODERS else hidden.mean(0)
    np.testing.assert_allclose(alone[0], expected / expected.square().mean().sqrt(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ENCODERS + DECODERS)
def test_training_from_stored_states_equals_the_whole_backbone(
    kind: str, precision: str, make: Callable[..., Any]
) -> None:
    adapter = {"kind": "lora", "rank": 2, "targets": TARGETS[kind], "last_layers": 2}
    model = make(kind, adapter=adapter, precision=precision)
    assert model.adapter.first_layer == 1 and model._stored._states is not None
    vector = model.initial()
    vector += 0.1 * torch.randn(vector.shape, generator=torch.Generator().manual_seed(1))
    leaves, index = model.leaves(vector[None]), torch.arange(24)[None]
    model.logits(leaves, index)[0].square().sum().backward()
    resumed = model.gather({n: leaf.grad for n, leaf in leaves.items()})
    states, model._stored._states = model._stored._states, None
    whole_leaves = model.leaves(vector[None])
    whole = model.logits(whole_leaves, index)
    whole[0].square().sum().backward()
    gradient = model.gather({n: leaf.grad for n, leaf in whole_leaves.items()})
    model._stored._states = states
    limit = 1e-4 if precision == "float32" else 0.1
    with torch.no_grad():
        assert (model.logits(leaves, index) - whole).abs().max() < limit * whole.abs().max()
    assert (resumed - gradient).norm() < limit * gradient.norm()
    assert (resumed != 0).float().mean() > 0.8


def test_the_layers_below_the_split_do_not_run_in_training(make: Callable[..., Any]) -> None:
    model = make(adapter={"kind": "lora", "last_layers": 1})
    calls = []
    for layer in model.backbone.layers:
        layer.attention.register_forward_hook(lambda *_: calls.append(1))
    model.logits(model.leaves(model.initial()[None]), torch.arange(4)[None])
    assert len(calls) == 1


def test_shared_layers_run_whole(make: Callable[..., Any]) -> None:
    model = make("albert", adapter={"kind": "lora", "targets": TARGETS["albert"]})
    assert model.backbone.layers is None and model.adapter.first_layer == 0
    assert model.logits(model.leaves(model.initial()[None]), torch.arange(3)[None]).shape == (1, 3, 2)
    with pytest.raises(RequestError, match="last_layers"):
        make("albert", adapter={"kind": "lora", "targets": ["query"], "last_layers": 1})


def test_a_backbone_that_does_not_go_on_runs_whole_with_a_warning(
    make: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    own_cache: Path,
) -> None:
    usual = make(adapter={"kind": "lora", "last_layers": 1})
    original = Transformer.prefix
    monkeypatch.setattr(Transformer, "prefix", lambda self, inputs: original(self, inputs) + 1)
    model = make(adapter={"kind": "lora", "last_layers": 1})
    assert "every step runs the whole backbone" in caplog.text
    leaves, index = model.leaves(model.initial()[None]), torch.arange(5)[None]
    torch.testing.assert_close(
        model.logits(leaves, index),
        usual.logits(usual.leaves(usual.initial()[None]), index),
        atol=1e-5,
        rtol=1e-5,
    )


def test_an_adapter_in_the_embeddings_means_no_prefix(make: Callable[..., Any]) -> None:
    model = make(adapter={"kind": "lora", "targets": ["word_embeddings", "query"]})
    assert model.adapter.first_layer == 0
    leaves = model.leaves((model.initial() + 0.01)[None])
    model.logits(leaves, torch.arange(4)[None]).square().sum().backward()
    assert all(leaf.grad is not None and leaf.grad.abs().sum() > 0 for leaf in leaves.values())


def test_a_text_without_tokens_still_has_features(tiny_folder: Callable[[str], str]) -> None:
    backbone, out = load(tiny_folder("gpt2")), np.zeros((2, 32), np.float32)
    encode(backbone, ["", "good film"], 16, out)
    assert np.isfinite(out).all()


def test_packing_and_padding() -> None:
    tokens, offsets = pack([[5, 6, 7], [8]])
    assert tokens.tolist() == [5, 6, 7, 8] and offsets.tolist() == [0, 3, 4]
    padded, lengths = pad([[5, 6, 7], [8]], 9, "cpu")
    assert padded.tolist() == [[5, 6, 7], [8, 9, 9]] and lengths == [3, 1]


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama"])
def test_texts_longer_than_the_positions_are_refused(kind: str, make: Callable[..., Any]) -> None:
    with pytest.raises(RequestError, match=r"data\.max_length is 41"):
        make(kind, max_length=41)
    if kind == "roberta":  # it reserves a position for padding
        with pytest.raises(RequestError, match=r"data\.max_length is 40"):
            make(kind, max_length=40)


@pytest.mark.parametrize(
    ("backbone", "sentence"),
    [
        ("no-such-organisation/no-such-model", "not in the local Hugging Face cache"),
        ("what is this?", "neither an existing folder nor a model id"),
        ("vit", "reads images"),
    ],
)
def test_unknown_backbones(backbone: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def offline(self: object, *args: object, **options: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", offline)
    with pytest.raises(RequestError, match=rf"model\.backbone.*{sentence}"):
        find(backbone)


def test_folders_that_are_no_backbone(tmp_path: Path, tiny_folder: Callable[[str], str]) -> None:
    with pytest.raises(RequestError, match=r"no config\.json"):
        find(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RequestError, match="no safetensors"):
        find(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(RequestError, match="cannot load"):
        load(str(tmp_path))


def test_a_folder_with_missing_weights_is_refused(tmp_path: Path, tiny_folder: Callable[[str], str]) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_folder("bert"), tmp_path / "less"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RequestError, match="no weights for"):
        load(str(folder))


def test_the_hash_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    one, two = tiny("bert", tmp_path / "one"), tiny("bert", tmp_path / "two")
    assert Source("a", one).hash == Source("b", two).hash
    (two / "config.json").write_text((two / "config.json").read_text() + " ")
    assert Source("a", one).hash != Source("b", two).hash


def test_sentence_transformers_folders_say_how_they_pool(tmp_path: Path) -> None:
    folder = tiny("bert", tmp_path / "cls")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert load(str(folder)).pooling == "first"


def test_minilm_is_the_packaged_one() -> None:
    source = find("minilm")
    assert source.hidden_size == 384 and len(source.hash) == 64
    assert len(MINILM_SHA256) == 64


def test_progress_is_reported(make: Callable[..., Any], own_cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    make(progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (24, 24)
    again: list[tuple[int, int]] = []
    make(progress=lambda done, total: again.append((done, total)))
    assert again == []


def test_features_need_no_backbone(make: Callable[..., Any]) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    data = Data(rows, modality="features")
    model = make(data=data, head={"kind": "quantum", "qubits": 2, "layers": 1})
    assert model.client_axis and model.backbone_hash == "" and model.lengths is None
    vectors = torch.stack([model.initial(), model.initial() + 0.1])
    leaves = model.leaves(vectors)
    logits = model.logits(leaves, torch.tensor([[0, 1, 2], [3, 4, 5]]))
    assert logits.shape == (2, 3, 2)
    torch.testing.assert_close(model.gather(leaves), vectors)
    torch.testing.assert_close(model.predict_inputs(vectors[1], rows[3:6]), logits[1].detach())
    with pytest.raises(RequestError, match=r"model\.adapter"):
        make(data=data, adapter={"kind": "lora"})
    with pytest.raises(RequestError, match="set it to vit"):
        make(data=Data(np.zeros((4, 8, 8), np.float32), modality="image"))


def test_memory_mapped_features_stay_on_disk(make: Callable[..., Any], tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    mapped = np.memmap(tmp_path / "rows", np.float32, "w+", shape=rows.shape)
    mapped[:] = rows
    index = torch.tensor([[4, 1], [7, 0]])
    one, two = (make(data=Data(r, modality="features")) for r in (rows, mapped))
    assert two._features is None
    leaves = one.leaves(one.initial().expand(2, -1))
    assert torch.equal(one.logits(leaves, index), two.logits(leaves, index))


def test_a_start_is_a_function_of_the_streams(make: Callable[..., Any]) -> None:
    before = torch.get_rng_state()
    adapter = {"kind": "lora", "last_layers": 1}
    one, two, other = (make(adapter=adapter, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.initial(), two.initial())
    assert not torch.equal(one.initial(), other.initial())
    assert Streams(1) == Streams(1)


def test_a_tokenizer_of_another_model_is_refused(
    make: Callable[..., Any], tmp_path: Path, tiny_folder: Callable[[str], str]
) -> None:
    import json
    import shutil

    folder = Path(shutil.copytree(tiny_folder("bert"), tmp_path / "mixed"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 6}))
    with pytest.raises(RequestError, match="more tokens than its model"):
        tokenise(find(str(folder)), sentences(4), 16)
