"""Further PEFT methods by name: those whose tensors travel as they are and need no code of ours.

========= ========================================================================
``ia3``    learned scales of activations; Liu et al., 2022, arXiv:2205.05638
``loha``   Hadamard products of low-rank factors; Hyeon-Woo et al., 2021, arXiv:2108.06098
``lokr``   Kronecker products; Yeh et al., 2023, arXiv:2309.14859
``oft``    orthogonal rotations in blocks; Qiu et al., 2023, arXiv:2306.07280
``hra``    Householder reflections; Yuan et al., 2024, arXiv:2405.17484
========= ========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from qfedfm.core.errors import RequestError
from qfedfm.models.adapters.placed import PlacedAdapter

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLASSES = {
    "ia3": "IA3Config",
    "loha": "LoHaConfig",
    "lokr": "LoKrConfig",
    "oft": "OFTConfig",
    "hra": "HRAConfig",
}


class NamedAdapterConfig(PlacedAdapter):
    """Options of a PEFT method.

    Args:
        kind: The method.
        options: Passed to PEFT's configuration of that method as they are.
    """

    kind: Literal["ia3", "loha", "lokr", "oft", "hra"]
    options: dict[str, Any] = Field(default_factory=dict)

    def peft(self, modules: Sequence[str]) -> Any:
        """Returns PEFT's configuration for the modules named."""
        import peft

        options: dict[str, Any] = {"feedforward_modules": []} if self.kind == "ia3" else {}
        try:
            return getattr(peft, _CLASSES[self.kind])(
                target_modules=list(modules), task_type="FEATURE_EXTRACTION", **(options | self.options)
            )
        except (TypeError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise RequestError(f"model.adapter.options: PEFT's {self.kind} refuses them: {first}") from error
