"""Every key bit that is drawn, for what, to the bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from qfedfm.core.errors import QfedfmError


class KeyReuseError(QfedfmError):
    """A key id was asked for twice."""


@dataclass(frozen=True)
class Draw:
    """One key.

    Args:
        key_id: Its name, unique.
        link: Whose link it came from.
        purpose: What it is for.
        bits: How long it is.
        round: In which round.
    """

    key_id: str
    link: str
    purpose: str
    bits: int
    round: int


@dataclass
class Ledger:
    """The draws of a run, in order."""

    draws: list[Draw] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def record(self, draw: Draw) -> None:
        """Adds a draw.

        Raises:
            KeyReuseError: Its key id was drawn before.
        """
        if draw.key_id in self._seen:
            raise KeyReuseError(f"key {draw.key_id} was drawn before; a key is used once")
        self._seen.add(draw.key_id)
        self.draws.append(draw)

    def bits(self, round_number: int | None = None) -> int:
        """Returns all bits drawn, or those of one round."""
        return sum(d.bits for d in self.draws if round_number is None or d.round == round_number)

    def by_purpose(self) -> dict[str, int]:
        """Returns bits by purpose."""
        totals: Counter[str] = Counter()
        for draw in self.draws:
            totals[draw.purpose] += draw.bits
        return dict(totals)
