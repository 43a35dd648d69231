"""A frozen transformer: run whole, or from the input of one of its layers.

Shapes: B = batch, L = tokens of the longest text in it, D = hidden size.

The part below a layer never changes in training, so its output can be stored and fed back. This works
for any architecture whose layers are a list called one after the other: the real model runs, the layers
below pass their input through, and the first layer above receives the stored hidden states instead.
Embeddings are still looked up, so that masks, positions and rotary angles come out as always. Where an
architecture does not fit, :meth:`Transformer.layers` is empty and callers use the whole forward.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from qfedfm.core.errors import RequestError
from qfedfm.models.backbones.source import Source

Pooling = Literal["mean", "first", "last"]


class _Captured(Exception):
    """Carries the hidden states out of a forward that need not go on."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class Transformer:
    """A frozen backbone in evaluation mode.

    Args:
        source: Its files.
        precision: ``float32`` or ``bfloat16``, of the frozen weights.
        device: ``cpu`` or ``cuda``.
        max_length: The longest text there will be, tokens.
        images: Whether it reads images rather than token ids.

    Raises:
        RequestError: If the files are not a backbone that fits.
    """

    def __init__(
        self, source: Source, *, precision: str, device: str, max_length: int, images: bool = False
    ) -> None:
        self.source, self.device, self.images = source, device, images
        self.dtype = getattr(torch, precision)
        self.module: Any = _load(source, self.dtype)
        self._without_pooler()
        config = self.module.config
        self.hidden_size = int(config.hidden_size)
        self.pad = max(0, int(getattr(config, "pad_token_id", None) or 0))
        self.layers_name, self.layers = _layers(self.module)
        self.pooling: Pooling = "mean"
        self._split: int | None = None
        self._replay: Tensor | None = None
        self._capture = False
        self._tuples: dict[int, bool] = {}
        # On a CPU, the backward pass of torch's fused attention is many times slower in bfloat16 than the
        # plain products; in float32, and forward only, it is the faster of the two.
        self._plain_attention = device == "cpu" and self.dtype == torch.bfloat16
        if not images:
            self._require_length(max_length)
        self.module.to(device)
        if not images:
            self.pooling = self._find_pooling()

    def inputs(self, ids: Tensor, lengths: list[int]) -> dict[str, Tensor]:
        """Returns the model's arguments for token ids (B, L), padded on the right.

        The mask is left out where nothing is padded: attention is faster without.
        """
        if all(length == ids.shape[1] for length in lengths):
            return {"input_ids": ids}
        ends = torch.tensor(lengths, device=ids.device).unsqueeze(1)
        mask = (torch.arange(ids.shape[1], device=ids.device) < ends).long()
        return {"input_ids": ids, "attention_mask": mask}

    def hidden(self, inputs: Mapping[str, Tensor], start: Tensor | None = None) -> Tensor:
        """Returns the last hidden states (B, L, D).

        Args:
            inputs: The model's arguments.
            start: Stored inputs of the split layer (B, L, D), from which to go on; None runs everything.
        """
        self._replay = start
        attention = self.module.config._attn_implementation
        if self._plain_attention and torch.is_grad_enabled():
            self.module.config._attn_implementation = "eager"
        try:
            output = self.module(**inputs, **self._quiet)
        finally:
            self._replay = None
            self.module.config._attn_implementation = attention
        hidden: Tensor = output[0]
        return hidden

    @property
    def _quiet(self) -> dict[str, bool]:
        return {} if self.images else {"use_cache": False}

    def prefix(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Returns the input of the split layer, (B, L, D); layers above are not run."""
        self._capture = True
        try:
            self.module(**inputs, **self._quiet)
        except _Captured as captured:
            return captured.hidden
        finally:
            self._capture = False
        raise RequestError(
            f"model.backbone: the layers of {self.source.name} are not called one after the other"
        )

    def split(self, layer: int) -> None:
        """Prepares :meth:`prefix` and stored starts at the input of ``layer`` (once, above 0)."""
        assert self.layers is not None and self._split is None and 0 < layer < len(self.layers)
        self._split = layer
        for number in range(layer):
            self._pass_through(number)
        self.layers[layer].register_forward_pre_hook(self._substitute, with_kwargs=True)

    def _pass_through(self, number: int) -> None:
        assert self.layers is not None
        layer = self.layers[number]
        original = layer.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            if self._replay is None:
                output = original(*args, **kwargs)
                self._tuples[number] = isinstance(output, tuple)
                return output
            hidden = args[0] if args else kwargs["hidden_states"]
            return (hidden,) if self._tuples.get(number) else hidden

        layer.forward = forward

    def _substitute(
        self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._capture:
            raise _Captured(args[0] if args else kwargs["hidden_states"])
        if self._replay is None:
            return None
        if args:
            return (self._replay, *args[1:]), kwargs
        return args, kwargs | {"hidden_states": self._replay}

    def pool(self, hidden: Tensor, lengths: list[int]) -> Tensor:
        """Returns (B, D) float32 features of root mean square 1 from hidden states (B, L, D).

        Texts are pooled over their own tokens: the mean (encoders), the last (decoders) or the first,
        as the backbone was made. The scale makes one learning rate fit all backbones.
        """
        hidden = hidden.float()
        if self.pooling == "first":
            pooled = hidden[:, 0]
        elif self.pooling == "last":
            ends = torch.tensor(lengths, device=hidden.device) - 1
            pooled = hidden[torch.arange(len(lengths), device=hidden.device), ends]
        elif all(length == hidden.shape[1] for length in lengths):
            pooled = hidden.mean(1)
        else:
            ends = torch.tensor(lengths, device=hidden.device).unsqueeze(1)
            mask = (torch.arange(hidden.shape[1], device=hidden.device) < ends).unsqueeze(1).float()
            pooled = (mask @ hidden).squeeze(1) / ends
        return unit_scale(pooled)

    def _find_pooling(self) -> Pooling:
        """Asks the sentence-transformers file if there is one, else whether a token sees later ones."""
        path = self.source.pooling_file
        if path.is_file():
            modes = json.loads(path.read_text(encoding="utf-8"))
            if modes.get("pooling_mode_cls_token"):
                return "first"
            return "last" if modes.get("pooling_mode_lasttoken") else "mean"
        ids = torch.arange(2, 10, device=self.device).remainder(self.module.config.vocab_size).unsqueeze(0)
        other = ids.clone()
        other[0, -1] = (ids[0, -1] + 1) % self.module.config.vocab_size
        with torch.no_grad():
            one, two = (self.hidden({"input_ids": x})[0, 0] for x in (ids, other))
        return "last" if torch.equal(one, two) else "mean"

    def _without_pooler(self) -> None:
        """Takes out the model's own pooler, which would run in every step for nothing, where it can go."""
        pooler = getattr(self.module, "pooler", None)
        if not isinstance(pooler, nn.Module):
            return
        config, probe = self.module.config, {"input_ids": torch.zeros(1, 2, dtype=torch.int64)}
        if self.images:
            side = config.image_size
            probe = {"pixel_values": torch.zeros(1, config.num_channels, side, side, dtype=self.dtype)}
        self.module.pooler = None
        try:
            with torch.no_grad():
                self.module(**probe)
        except (TypeError, AttributeError):
            self.module.pooler = pooler

    def _require_length(self, max_length: int) -> None:
        """Refuses texts longer than the backbone reads, before it is moved to a device.

        Raises:
            RequestError: If ``data.max_length`` is above what the backbone has positions for.
        """
        config = self.module.config
        limit = getattr(config, "max_position_embeddings", None)
        fits = limit is None or max_length <= limit
        if fits:
            # Some models reserve positions, so the embeddings are asked: RoBERTa's 514 are enough for 512.
            handle = None if self.layers is None else self.layers[0].register_forward_pre_hook(_stop)
            try:
                with torch.no_grad():
                    self.module(torch.full((1, max_length), (self.pad + 1) % config.vocab_size))
            except _Captured:
                pass
            except (IndexError, RuntimeError):
                fits = False
            finally:
                if handle is not None:
                    handle.remove()
        if not fits:
            raise RequestError(
                f"data.max_length is {max_length}, more tokens than {self.source.name} reads "
                f"({limit} positions); lower data.max_length"
            )


def _stop(layer: nn.Module, args: tuple[Any, ...]) -> None:
    raise _Captured(torch.zeros(0))


def _load(source: Source, dtype: torch.dtype) -> Any:
    import transformers

    # What the files lack (a pooler that is not used) is drawn from the global generator: put it back.
    with quiet(), torch.random.fork_rng(devices=[]):
        try:
            config = transformers.AutoConfig.from_pretrained(source.folder, local_files_only=True)
            if getattr(config, "is_encoder_decoder", False):
                raise RequestError(
                    f"model.backbone: {source.name} is an encoder-decoder; use an encoder or a decoder"
                )
            module, report = transformers.AutoModel.from_pretrained(
                source.folder,
                config=config,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            if isinstance(error, RequestError):
                raise
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise RequestError(f"model.backbone: transformers cannot load {source.name}: {first}") from error
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if missing:
        raise RequestError(f"model.backbone: {source.name} has no weights for {', '.join(missing[:3])}")
    # PEFT and saved files call the base model by its name, never by where it lies on this machine.
    module.name_or_path = module.config._name_or_path = source.name
    return module.eval().requires_grad_(False)


def unit_scale(features: Tensor) -> Tensor:
    """Returns features (B, D) scaled to a root mean square of 1."""
    return features * (features.square().mean(-1, keepdim=True) + 1e-12).rsqrt()


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers' progress bars and loading notes off the terminal."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _layers(module: Any) -> tuple[str, nn.ModuleList | None]:
    """Returns the name and list of the transformer's layers; an empty name where there is none."""
    config = module.config
    counts = {
        getattr(config, key, None) for key in ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    }
    for name, child in module.named_modules():
        if isinstance(child, nn.ModuleList) and len(child) in counts and len({type(c) for c in child}) == 1:
            return name, child
    return "", None
