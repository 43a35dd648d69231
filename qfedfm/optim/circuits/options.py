"""The options of optimizers of circuit weights; the classes stand beside, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from qfedfm.core.config import Config
from qfedfm.optim.options import Beta, Decay, Rate
from qfedfm.optim.ordinary import AdamWConfig, OrdinaryConfig

if TYPE_CHECKING:
    import torch

Count = Annotated[int, Field(ge=1)]


class CircuitOptimizerConfig(Config):
    """Base of the options.

    Args:
        lr: Learning rate of the circuit's weights.
        rest: The ordinary optimizer of everything else that is trained.
    """

    kind: str
    lr: Rate = 0.05
    rest: OrdinaryConfig = AdamWConfig()

    def optimizer(self) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
        """Returns the class of the optimizer and what it is made with, besides the weights."""
        raise NotImplementedError

    def _arguments(self) -> dict[str, Any]:
        return self.model_dump(exclude={"kind", "rest"})


class QngConfig(CircuitOptimizerConfig):
    """Quantum natural gradient; see :class:`qfedfm.optim.circuits.qng.QuantumNaturalGradient`."""

    kind: Literal["qng"] = "qng"
    metric: Literal["full", "block", "diagonal"] = "block"
    damping: Decay = 1e-2
    momentum: Beta = 0.0

    def optimizer(self) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
        """Returns the quantum natural gradient."""
        from qfedfm.optim.circuits.qng import QuantumNaturalGradient

        return QuantumNaturalGradient, self._arguments()


class SpsaConfig(CircuitOptimizerConfig):
    """Simultaneous perturbation; see :class:`qfedfm.optim.circuits.spsa.SPSA`."""

    kind: Literal["spsa"] = "spsa"
    perturbation: Rate = 0.1
    directions: Count = 1
    momentum: Beta = 0.0
    lr_decay: Decay = 0.0
    perturbation_decay: Decay = 0.0
    shots: Count | None = None

    def optimizer(self) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
        """Returns SPSA."""
        from qfedfm.optim.circuits.spsa import SPSA

        return SPSA, self._arguments()


class QnSpsaConfig(CircuitOptimizerConfig):
    """Quantum natural SPSA; see :class:`qfedfm.optim.circuits.qn_spsa.QNSPSA`."""

    kind: Literal["qn_spsa"] = "qn_spsa"
    perturbation: Rate = 0.1
    directions: Count = 1
    damping: Rate = 0.1
    shots: Count | None = None

    def optimizer(self) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
        """Returns QN-SPSA."""
        from qfedfm.optim.circuits.qn_spsa import QNSPSA

        return QNSPSA, self._arguments()


class RotosolveConfig(CircuitOptimizerConfig):
    """Closed-form sweeps; see :class:`qfedfm.optim.circuits.rotosolve.Rotosolve`.

    ``lr`` is the part of the way to each weight's minimum that is gone, at most 1.
    """

    kind: Literal["rotosolve"] = "rotosolve"
    lr: Annotated[float, Field(gt=0, le=1)] = 1.0
    shots: Count | None = None

    def optimizer(self) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
        """Returns Rotosolve."""
        from qfedfm.optim.circuits.rotosolve import Rotosolve

        return Rotosolve, self._arguments()


class ParameterShiftConfig(CircuitOptimizerConfig):
    """Gradients from shifted circuits; see :class:`qfedfm.optim.circuits.parameter_shift.ParameterShift`."""

    kind: Literal["parameter_shift"] = "parameter_shift"
    momentum: Beta = 0.0
    shots: Count | None = 1024

    def optimizer(self) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
        """Returns descent on parameter-shift gradients."""
        from qfedfm.optim.circuits.parameter_shift import ParameterShift

        return ParameterShift, self._arguments()
