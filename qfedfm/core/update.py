"""What one client sends back, and its form on the wire.

Shapes: d = number of trainable scalars.

An update serialises to safetensors bytes with a typed header; never pickle. Header fields have fixed
widths, so the size of a message depends on its schema alone and every byte can be counted without
serialising.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.metrics import Metrics

if TYPE_CHECKING:
    import torch

FORMAT = "qfedfm-update-1"
NONCE_BYTES = 16
_INTEGER_WIDTH = 12
_FLOAT_WIDTH = 24
_HEADER_KEYS = frozenset({"format", "round", "client", "examples", "schema", "nonce", "metrics"})


@dataclass(frozen=True)
class Update:
    """A client's reply to one round.

    Args:
        client: The client's number.
        round: The round it was trained in.
        examples: How many training examples the client holds (its weight n_k).
        delta: Named tensors, the difference from the global model; float32.
        schema: The hash of the layout that the client believes it answers to.
        auxiliary: Further named tensors that the algorithm or optimizer declares.
        metrics: What the client measured.
        nonce: Unique per message (``secrets``), hexadecimal.
        length: Bytes of the message it was parsed from; null where it was not.
    """

    client: int
    round: int
    examples: int
    delta: Mapping[str, torch.Tensor]
    schema: str
    auxiliary: Mapping[str, torch.Tensor] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)
    nonce: str = field(default_factory=lambda: secrets.token_hex(NONCE_BYTES))
    length: int | None = field(default=None, compare=False)

    def to_bytes(self) -> bytes:
        """Returns the message: safetensors with the header as metadata."""
        from safetensors.torch import save

        tensors = {f"delta/{name}": tensor.contiguous() for name, tensor in self.delta.items()}
        tensors |= {f"auxiliary/{name}": tensor.contiguous() for name, tensor in self.auxiliary.items()}
        message: bytes = save(tensors, metadata=self._header())
        return message

    def _header(self) -> dict[str, str]:
        means = self.metrics
        return {
            "format": FORMAT,
            "round": f"{self.round:0{_INTEGER_WIDTH}d}",
            "client": f"{self.client:0{_INTEGER_WIDTH}d}",
            "examples": f"{self.examples:0{_INTEGER_WIDTH}d}",
            "schema": self.schema,
            "nonce": self.nonce,
            "metrics": json.dumps(
                {n: [_fixed(means.sums[n]), _fixed(means.weights.get(n, 0.0))] for n in sorted(means.sums)}
            ),
        }

    @staticmethod
    def from_bytes(message: bytes) -> Update:
        """Parses a message.

        Raises:
            UpdateRefusedError: If it is not a well-formed update; the message says why.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            length = int.from_bytes(message[:8], "little")
            header = json.loads(message[8 : 8 + length])["__metadata__"]
            tensors = load(message)
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise UpdateRefusedError(f"the message is not a safetensors update: {error}") from error
        if header.get("format") != FORMAT or set(header) != _HEADER_KEYS:
            raise UpdateRefusedError(f"the header is not of format {FORMAT}")
        parts: dict[str, dict[str, torch.Tensor]] = {"delta": {}, "auxiliary": {}}
        for name, tensor in tensors.items():
            group, _, rest = name.partition("/")
            if group not in parts or not rest:
                raise UpdateRefusedError(f"the tensor {name!r} belongs to no known group")
            parts[group][rest] = tensor
        try:
            metrics = json.loads(header["metrics"])
            return Update(
                client=int(header["client"]),
                round=int(header["round"]),
                examples=int(header["examples"]),
                delta=parts["delta"],
                schema=str(header["schema"]),
                auxiliary=parts["auxiliary"],
                metrics=Metrics(
                    {str(n): float(pair[0]) for n, pair in metrics.items()},
                    {str(n): float(pair[1]) for n, pair in metrics.items()},
                ),
                nonce=str(header["nonce"]),
                length=len(message),
            )
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise UpdateRefusedError(f"a header field is malformed: {error}") from error


def _fixed(value: float) -> str:
    """Writes a float exactly and in a fixed width, so that messages have one length."""
    return f"{float(value):.16e}".rjust(_FLOAT_WIDTH)
