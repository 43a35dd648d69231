"""Which tensors travel between the server and a client in one round, up and down.

Rules that train or share only some tensors send only those; a client of a lower rank sends and receives
only its rows of A and columns of B.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from qfedfm.aggregation.layers import is_down, is_up
from qfedfm.core.tensors import Layout

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.federation.plan import Plan


class Travel:
    """The layouts of one round's messages.

    Args:
        plan: The federation's plan.
        layout: All trained tensors.
        round_number: The round, from 0.
        ranks: Per client its LoRA rank, or None where all train the adapter's.
        drawn: Whether what clients could draw from the round's stream is sent all the same.
    """

    def __init__(
        self,
        plan: Plan,
        layout: Layout,
        round_number: int,
        ranks: Mapping[int, int] | None,
        *,
        drawn: bool = False,
    ) -> None:
        self._drawn = drawn
        self._plan, self._layout, self._round, self._ranks = plan, layout, round_number, ranks
        self._made: dict[tuple[str, int | None], Layout] = {}

    def rank(self, client: int) -> int | None:
        """Returns the client's own rank, or None where all train the adapter's."""
        return None if self._ranks is None else self._ranks[client]

    def up(self, client: int) -> Layout:
        """Returns what the client sends: what it trains and does not keep for itself."""
        rule = self._plan.aggregation
        return self._layout_of(
            "up", client, lambda name: rule.trains(name, self._round) and not self._plan.keeps(name)
        )

    def down(self, client: int, in_step: bool) -> Layout:
        """Returns what the client receives.

        Args:
            client: The client.
            in_step: Whether it received the model of the round before, and so needs only what has moved.
        """
        rule = self._plan.aggregation
        if self._round == 0:
            return self._layout_of("first", client, lambda name: not self._plan.keeps(name))
        if in_step:
            return self._layout_of(
                "step",
                client,
                lambda name: (
                    (rule.moved(name, self._round - 1) or (self._drawn and rule.drawn(name)))
                    and not self._plan.keeps(name)
                ),
            )
        return self._layout_of(
            "new",
            client,
            lambda name: not self._plan.keeps(name) and (self._drawn or not rule.drawn(name)),
        )

    def _layout_of(self, kind: str, client: int, travels: Callable[[str], bool]) -> Layout:
        rank = self.rank(client)
        if (kind, rank) not in self._made:
            entries = tuple(
                (name, _shape(name, shape, rank)) for name, shape in self._layout.entries if travels(name)
            )
            whole = entries == self._layout.entries
            self._made[kind, rank] = self._layout if whole else Layout(entries)
        return self._made[kind, rank]


def _shape(name: str, shape: tuple[int, ...], rank: int | None) -> tuple[int, ...]:
    if rank is None or not (is_down(name) or is_up(name)):
        return shape
    return (min(rank, shape[0]), *shape[1:]) if is_down(name) else (*shape[:-1], min(rank, shape[-1]))


def part_of(vector: Tensor, whole: Layout, part: Layout) -> Tensor:
    """Returns the numbers of ``part`` out of a vector (d,) of ``whole``; itself where all travels."""
    import torch

    if part is whole:
        return vector
    view = whole.view(vector)
    pieces = [view[n][tuple(slice(0, s) for s in shape)].reshape(-1) for n, shape in part.entries]
    return torch.cat(pieces) if pieces else vector.new_zeros(0)


def whole_of(vector: Tensor, part: Layout, whole: Layout) -> Tensor:
    """Returns the vector (d,) of ``whole`` with the numbers of ``part`` in place and zeros elsewhere."""
    if part is whole:
        return vector
    result = vector.new_zeros(whole.size)
    view, given = whole.view(result), part.view(vector)
    for name, shape in part.entries:
        view[name][tuple(slice(0, s) for s in shape)] = given[name]
    return result
