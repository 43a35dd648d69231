"""A control: random Fourier features in the circuit's place. Rahimi and Recht, 2007.

A circuit with angle embedding is a Fourier series in its inputs (Schuld, Sweke and Meyer, 2021,
arXiv:2008.08605). Here each output is ``cos(Ω·angles + φ)`` with frequencies drawn from what one
embedding reaches, Ω in {-1, 0, 1} (not all zero), and a phase uniform in (-π, π); nothing in it is trained.
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


class RandomFeaturesConfig(QuantumOptions):
    """Options of the quantum head it stands for: as many inputs and outputs as that circuit has.

    ``executor`` has no meaning here.
    """

    kind: Literal["random_features"] = "random_features"

    def build(
        self, features: int, classes: int, streams: Streams, *, device: str = "cpu", **execution: Any
    ) -> Head:
        """Returns the head; see :meth:`HeadOptions.build`."""
        circuit = self.build_circuit()
        core = FourierCore(circuit.n_inputs, circuit.n_observables, streams, device)
        return ProjectedHead(core, features, classes, self.bound)


class FourierCore:
    """``cos(Ω·angles + φ)`` with Ω (o, q) and φ (o,) drawn once.

    Args:
        inputs: q.
        outputs: o.
        streams: Where Ω and φ are drawn from.
        device: Where they lie.
    """

    circuit = None
    entries: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def __init__(self, inputs: int, outputs: int, streams: Streams, device: str) -> None:
        import torch

        self.inputs, self.outputs = inputs, outputs
        generator = streams.torch("random_features.frequencies")
        frequencies = torch.randint(-1, 2, (outputs, inputs), generator=generator).float()
        # A row of zeros would be a constant output: such a row gets one frequency of 1.
        empty = (frequencies == 0).all(1).nonzero().flatten()
        frequencies[empty, empty % inputs] = 1.0
        phases = uniform((outputs,), math.pi, streams.torch("random_features.phases"))
        self.constants: dict[str, Tensor] = {
            "random_features.frequencies": frequencies.to(device),
            "random_features.phases": phases.to(device),
        }

    def initial(self, streams: Streams) -> dict[str, Tensor]:
        """Returns nothing: nothing is trained."""
        return {}

    def apply(self, params: Mapping[str, Tensor], constants: Mapping[str, Tensor], angles: Tensor) -> Tensor:
        """Returns (*K, B, o) features of angles (*K, B, q)."""
        frequencies = constants["random_features.frequencies"]
        return affine(angles, frequencies, constants["random_features.phases"]).cos()
