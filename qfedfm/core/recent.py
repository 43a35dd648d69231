"""A cache of what was made last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Recent(Generic[Made]):
    """Keeps the newest results by key, whatever they cost to make.

    Args:
        most: How many; the oldest goes when one more is made.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, Made] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Returns what stands under ``key``; makes it first if nothing does."""
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = make()
            while len(self._made) > self._most:
                self._made.popitem(last=False)
        return found
