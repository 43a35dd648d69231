"""Which replies may enter a round: right client, round, names, shapes, dtypes, and finite numbers.

A refused reply is recorded with its reason, and the round is what it would have been without that
client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from qfedfm.aggregation.cohort import Cohort
from qfedfm.core.config import nearest
from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.tensors import FlatTensors, Layout
from qfedfm.core.update import Update
from qfedfm.federation.travel import whole_of

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.federation.engines import Offer


def admit(
    replies: Sequence[Update],
    *,
    layout: Layout,
    auxiliary: Layout,
    round_number: int,
    cohort: Sequence[int],
    expected: Callable[[int], Layout] | None = None,
) -> tuple[Cohort, list[tuple[int, str]]]:
    """Checks every reply and stacks the good ones, ordered by client.

    Args:
        replies: What came back, in any order.
        layout: Names and shapes that a delta must have.
        auxiliary: Names and shapes of the tensors that the algorithm declares.
        round_number: The round in flight.
        cohort: Who was asked.
        expected: Per client the names and shapes that its delta must have, where that is only a part of
            ``layout``; what is not sent has not changed.

    Returns:
        The cohort of admitted updates and ``(client, reason)`` for each refused one.
    """
    import torch

    asked, seen = set(cohort), set[int]()
    good: list[tuple[Update, Tensor, Tensor]] = []
    refused: list[tuple[int, str]] = []
    for reply in sorted(replies, key=lambda update: update.client):
        try:
            part = expected(reply.client) if expected is not None and reply.client in asked else layout
            _check_header(reply, part.schema, round_number, asked, seen)
            _check_metrics(reply)
            delta = whole_of(_vector(reply.delta, part, "delta"), part, layout)
            extra = _vector(reply.auxiliary, auxiliary, "auxiliary")
        except UpdateRefusedError as error:
            refused.append((reply.client, str(error)))
            continue
        seen.add(reply.client)
        good.append((reply, delta, extra))

    delta_KD = torch.stack([delta for _, delta, _ in good]) if good else torch.zeros(0, layout.size)
    extra_KA = torch.stack([extra for _, _, extra in good]) if good else torch.zeros(0, auxiliary.size)
    if auxiliary.size:
        finite = torch.isfinite(delta_KD).all(1) & torch.isfinite(extra_KA).all(1)
    else:
        finite = torch.isfinite(delta_KD).all(1)
    if not bool(finite.all()):
        refused += [
            (good[i][0].client, _not_finite(good[i][1], layout) or _not_finite(good[i][2], auxiliary))
            for i in torch.nonzero(~finite).flatten().tolist()
        ]
        refused.sort()
        delta_KD, extra_KA = delta_KD[finite], extra_KA[finite]
        good = [entry for entry, keep in zip(good, finite.tolist(), strict=True) if keep]
    admitted = Cohort(
        clients=tuple(update.client for update, _, _ in good),
        delta_KD=delta_KD,
        examples=tuple(update.examples for update, _, _ in good),
        layout=layout,
        auxiliary=dict(auxiliary.view(extra_KA)),
    )
    return admitted, refused


def admit_offers(
    offers: Sequence[Offer], schema: str, round_number: int, cohort: Sequence[int]
) -> tuple[list[Offer], list[tuple[int, str]]]:
    """Checks the offers before a sum, of which the server sees nothing but these.

    Args:
        offers: What came back, in any order.
        schema: That of the tensors to be added.
        round_number: The round in flight.
        cohort: Who was asked.

    Returns:
        The offers of those who take part, ordered by client, and ``(client, reason)`` for each refused one.
    """
    asked, seen = set(cohort), set[int]()
    good: list[Offer] = []
    refused: list[tuple[int, str]] = []
    for offer in sorted(offers, key=lambda offer: offer.client):
        try:
            _check_header(offer, schema, round_number, asked, seen)
            if offer.refused:
                raise UpdateRefusedError(offer.refused)
        except UpdateRefusedError as error:
            refused.append((offer.client, str(error)))
            continue
        seen.add(offer.client)
        good.append(offer)
    return good, refused


def _check_header(
    reply: Update | Offer, schema: str, round_number: int, asked: set[int], seen: set[int]
) -> None:
    if reply.client not in asked:
        raise UpdateRefusedError("this client was not asked in this round")
    if reply.client in seen:
        raise UpdateRefusedError("a second reply of the same client")
    if reply.round != round_number:
        raise UpdateRefusedError(f"it answers round {reply.round}, not round {round_number}")
    if reply.schema != schema:
        raise UpdateRefusedError(f"its schema is {reply.schema!r}, not {schema!r}")
    if reply.examples < 1:
        raise UpdateRefusedError(f"it claims {reply.examples} examples")


def _check_metrics(reply: Update) -> None:
    values = [*reply.metrics.sums.values(), *reply.metrics.weights.values()]
    if any(value != value or value in (float("inf"), float("-inf")) for value in values):
        raise UpdateRefusedError("its metrics are not finite")


def _vector(tensors: Mapping[str, Tensor], layout: Layout, group: str) -> Tensor:
    """Returns the vector of ``tensors`` if they are exactly what ``layout`` says."""
    import torch

    dtype = torch.float32 if layout.dtype == "F32" else torch.float64
    if isinstance(tensors, FlatTensors) and tensors.layout == layout:
        vector = tensors.vector
        if vector.dtype != dtype or vector.dim() != 1:
            raise UpdateRefusedError(f"{group} has dtype {vector.dtype}, expected {dtype}")
        return vector
    for name in tensors:
        if name not in layout.slices:
            raise UpdateRefusedError(
                f"{group} has an unexpected tensor {name!r}{nearest(name, layout.names)}"
            )
    for name, (_, _, shape) in layout.slices.items():
        if name not in tensors:
            raise UpdateRefusedError(f"{group} lacks the tensor {name!r}")
        if tuple(tensors[name].shape) != shape:
            raise UpdateRefusedError(
                f"{group} tensor {name!r} has shape {tuple(tensors[name].shape)}, expected {shape}"
            )
        if tensors[name].dtype != dtype:
            raise UpdateRefusedError(
                f"{group} tensor {name!r} has dtype {tensors[name].dtype}, expected {dtype}"
            )
    return layout.flatten(tensors)


def _not_finite(vector: Tensor, layout: Layout) -> str:
    """Returns the sentence that names the first tensor with a NaN or an infinity, or ``""``."""
    import torch

    for name, tensor in layout.view(vector).items():
        if bool(torch.isnan(tensor).any()):
            return f"tensor {name!r} holds NaN"
        if bool(torch.isinf(tensor).any()):
            return f"tensor {name!r} holds an infinity"
    return ""
