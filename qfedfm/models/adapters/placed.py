"""What adapters that sit in named modules share: which modules, and in which layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from qfedfm.core.config import Config

if TYPE_CHECKING:
    from collections.abc import Sequence


class PlacedAdapter(Config):
    """Where an adapter sits.

    Args:
        targets: Ends of module names, for example ``query`` or ``attention.self.query``.
        last_layers: Only the last so many layers of the backbone; null for all. The layers below run
            once per text, not once per step.
    """

    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("query", "value")
    last_layers: Annotated[int, Field(ge=1)] | None = None

    @field_validator("targets")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not target.strip() for target in value):
            raise ValueError("targets holds an empty name")
        return value

    def peft(self, modules: Sequence[str]) -> Any:
        """Returns PEFT's configuration for the modules named."""
        raise NotImplementedError
