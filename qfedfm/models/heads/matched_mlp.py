"""A control: a small perceptron with exactly as many trained numbers as the circuit it replaces.

Shapes: K = clients, B = batch, q = angles, o = outputs, h = hidden units, P = trained numbers.

    y = tanh(W₂ tanh(W₁ z + b₁) + S z + b₂)

h is the largest number of hidden units, each of q + o + 1 numbers, that P pays for. What remains (at most
q + o) goes into output biases first and then into direct connections S, diagonal by diagonal; there is
always room for it, so the count is equal for every circuit. Every number has a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from qfedfm.models.heads.head import Head, affine, uniform
from qfedfm.models.heads.projected import ProjectedHead
from qfedfm.models.heads.quantum import QuantumOptions

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.random import Streams


class MatchedMlpConfig(QuantumOptions):
    """Options of the quantum head it stands for; ``executor`` has no meaning here."""

    kind: Literal["matched_mlp"] = "matched_mlp"

    def build(
        self, features: int, classes: int, streams: Streams, *, device: str = "cpu", **execution: Any
    ) -> Head:
        """Returns the head; see :meth:`HeadOptions.build`."""
        circuit = self.build_circuit()
        trained = circuit.n_weights - len(circuit.zero_gradient_weights)
        core = PerceptronCore(circuit.n_inputs, circuit.n_observables, trained, device)
        return ProjectedHead(core, features, classes, self.bound)


class PerceptronCore:
    """A perceptron of exactly ``count`` trained numbers from q to o.

    Args:
        inputs: q.
        outputs: o.
        count: P; with 0 the core is ``tanh`` of the first o angles, taken cyclically.
        device: Where constants lie.
    """

    circuit = None

    def __init__(self, inputs: int, outputs: int, count: int, device: str) -> None:
        import torch

        self.inputs, self.outputs = inputs, outputs
        unit = inputs + outputs + 1
        self._hidden, rest = divmod(count, unit)
        self._biases = min(rest, outputs)
        direct = rest - self._biases
        pairs = [
            ((i + d) % inputs, i % outputs) for d in range(inputs) for i in range(math.lcm(inputs, outputs))
        ]
        pairs = list(dict.fromkeys(pairs))
        fixed = [(i % inputs, i) for i in range(outputs)] if count == 0 else pairs[:direct]
        # Where each direct connection lies in the flattened matrix S (o, q).
        places = [j * inputs + i for i, j in fixed]
        self._places = torch.tensor(places, dtype=torch.int64, device=device)
        self._direct = direct
        h = self._hidden
        shapes: list[tuple[str, tuple[int, ...]]] = []
        if h:
            shapes += [("core.hidden.weight", (h, inputs)), ("core.hidden.bias", (h,))]
            shapes += [("core.output.weight", (outputs, h))]
        if self._biases:
            shapes.append(("core.output.bias", (self._biases,)))
        if direct:
            shapes.append(("core.direct", (direct,)))
        self.entries = tuple(shapes)
        assert sum(math.prod(shape) for _, shape in shapes) == count
        self.constants: dict[str, Tensor] = {}

    def initial(self, streams: Streams) -> dict[str, Tensor]:
        """Returns numbers uniform in ±1/√fan-in."""
        fan_in = {"core.output.weight": max(self._hidden, 1)}
        return {
            name: uniform(shape, 1 / math.sqrt(fan_in.get(name, self.inputs)), streams.torch(name))
            for name, shape in self.entries
        }

    def apply(self, params: Mapping[str, Tensor], constants: Mapping[str, Tensor], angles: Tensor) -> Tensor:
        """Returns (*K, B, o) outputs in (-1, 1) of angles (*K, B, q)."""
        import torch

        leading = angles.shape[:-2]
        bias = angles.new_zeros(*leading, self.outputs)
        if self._biases:
            bias = torch.nn.functional.pad(params["core.output.bias"], (0, self.outputs - self._biases))
        direct = angles.new_zeros(*leading, self.outputs * self.inputs)
        if len(self._places):
            values = params["core.direct"] if self._direct else direct.new_ones(*leading, len(self._places))
            direct = direct.index_copy(-1, self._places, values)
        total = affine(angles, direct.view(*leading, self.outputs, self.inputs), bias)
        if self._hidden:
            hidden = affine(angles, params["core.hidden.weight"], params["core.hidden.bias"]).tanh()
            total = total + hidden @ params["core.output.weight"].mT
        return total.tanh()
