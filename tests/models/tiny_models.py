"""Tiny backbones and data, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

WORDS = (
    "the a film story is was not very good bad dull bright long short and of with music plot actor".split()
)


@dataclass(frozen=True)
class Data:
    """As much of ``FederatedData`` as a model needs."""

    inputs: Sequence[str] | np.ndarray
    modality: str = "text"
    label_names: tuple[str, ...] = ("bad", "good")
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    public: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def sentences(count: int, seed: int = 0, longest: int = 12) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, int(rng.integers(1, longest)))) for _ in range(count)]


def save_tokenizer(folder: Path, *, special: bool, **names: str) -> None:
    """Writes a tokenizer of whole words; ``special`` adds [CLS] and [SEP]."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", **names)
    fast.save_pretrained(folder)


def tiny(kind: str, folder: Path, layers: int = 3) -> Path:
    """Saves a random model of an architecture with its tokenizer and returns the folder."""
    import torch
    import transformers

    vocabulary, width = 64, 32
    usual: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 40,
    }
    if kind == "bert":
        config = transformers.BertConfig(**usual)
    elif kind == "roberta":
        config = transformers.RobertaConfig(**usual, pad_token_id=0)
    elif kind == "distilbert":
        config = transformers.DistilBertConfig(
            vocab_size=vocabulary,
            dim=width,
            n_layers=layers,
            n_heads=4,
            hidden_dim=64,
            max_position_embeddings=40,
        )
    elif kind == "albert":
        config = transformers.AlbertConfig(**usual, embedding_size=16)
    elif kind == "modernbert":
        config = transformers.ModernBertConfig(
            **usual, pad_token_id=0, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2
        )
    elif kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=vocabulary,
            n_embd=width,
            n_layer=layers,
            n_head=4,
            n_positions=40,
            bos_token_id=1,
            eos_token_id=2,
        )
    elif kind == "llama":
        config = transformers.LlamaConfig(**usual, num_key_value_heads=2)
    elif kind == "qwen2":
        config = transformers.Qwen2Config(**usual, num_key_value_heads=2)
    else:
        raise AssertionError(kind)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(5).get_state())
        model = transformers.AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(5.0)  # the usual start is so small that a wrong mask would not be seen
    from qfedfm.models.backbones.transformer import quiet

    with quiet():
        model.save_pretrained(folder)
    decoder = kind in ("gpt2", "llama", "qwen2")
    names = {} if decoder else {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    save_tokenizer(folder, special=not decoder, **names)
    return folder
