"""What a client remembers of the global model, so that only what has moved travels to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.files import write_atomic
from qfedfm.core.tensors import Layout
from qfedfm.federation.messages import BROADCAST_FORMAT, Broadcast

if TYPE_CHECKING:
    from torch import Tensor

NAME = "global.safetensors"


class BehindError(UpdateRefusedError):
    """This client does not hold the model that the message builds on; it must be sent whole."""


class GlobalMemory:
    """The last global model that this client was sent, on disk.

    Args:
        folder: Where it lies.
        layout: What lies where in a model.
        initial: The model before the first round, (d,); it has what is drawn from the seed and never sent.
    """

    def __init__(self, folder: Path, layout: Layout, initial: Tensor) -> None:
        self._path = folder / NAME
        self._layout = layout
        self._initial = initial

    def receive(
        self,
        message: bytes,
        *,
        round_number: int,
        part: Layout,
        server: Layout,
        in_step: bool,
        client: int,
        rank: int | None,
    ) -> Broadcast:
        """Returns the broadcast in ``message``, its model whole, and remembers it.

        Args:
            message: A broadcast's bytes.
            round_number: The round it must be of, from 0.
            part: What of the model must be in it.
            server: The algorithm's server vectors that must be in it.
            in_step: Whether it builds on the model of the round before.
            client: This client's number.
            rank: Its LoRA rank, or None for the adapter's.

        Raises:
            BehindError: It builds on a model that is not here.
            UpdateRefusedError: It is not such a broadcast.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            header = json.loads(message[8 : 8 + int.from_bytes(message[:8], "little")])["__metadata__"]
            tensors = load(message)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise UpdateRefusedError(f"the broadcast is not a safetensors message: {error}") from error
        if header.get("format") != BROADCAST_FORMAT or header.get("schema") != part.schema:
            raise UpdateRefusedError(
                f"the broadcast is of schema {header.get('schema')!r}, and this client expects "
                f"{part.schema!r}"
            )
        if header.get("round") != f"{round_number:012d}":
            raise UpdateRefusedError(f"the broadcast is not of round {round_number + 1}")
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "server": {}, "frozen": {}}
        for name, tensor in tensors.items():
            group, _, rest = name.partition("/")
            if group not in groups or tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
                raise UpdateRefusedError(
                    f"the broadcast's tensor {name!r} is unknown, not float32 or not finite"
                )
            groups[group][rest] = tensor
        for group, expected in (("model", part), ("server", server)):
            if {name: tuple(t.shape) for name, t in groups[group].items()} != dict(expected.entries):
                raise UpdateRefusedError(f"the broadcast's {group} has other tensors than the plan says")
        model = self._base(round_number, in_step).clone()
        view = self._layout.view(model)
        for name, shape in part.entries:
            if tuple(view[name].shape) != shape:
                view[name].zero_()
            view[name][tuple(slice(0, size) for size in shape)] = groups["model"][name].to(model.device)
        self._remember(round_number, model)
        device = model.device
        return Broadcast(
            round_number,
            model,
            self._layout,
            {name: tensor.to(device) for name, tensor in groups["server"].items()},
            {name: tensor.to(device) for name, tensor in groups["frozen"].items()},
            ranks=None if rank is None else {client: rank},
        )

    def _base(self, round_number: int, in_step: bool) -> Tensor:
        if not in_step:
            return self._initial
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            content = self._path.read_bytes()
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
            if header.get("round") == str(round_number - 1) and header.get("schema") == self._layout.schema:
                model: Tensor = load(content)["model"]
                return model.to(self._initial.device)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise BehindError(f"the model of round {round_number} is not on this machine: {error}") from error
        raise BehindError(f"the model of round {round_number} is not on this machine")

    def _remember(self, round_number: int, model: Tensor) -> None:
        from safetensors.torch import save

        header = {"round": str(round_number), "schema": self._layout.schema}
        write_atomic(self._path, save({"model": model.cpu()}, metadata=header))
