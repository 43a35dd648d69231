"""Published claims against our own differences.

A claim says by how many points one row of a published table lies above another. Ours is the paired difference
of the same two rows in the group that comes nearest to the published setting:

* ``reproduced``: our interval excludes zero on the claimed side and holds the published difference,
* ``order holds``: it excludes zero on the claimed side, and the size is another,
* ``contradicted``: it excludes zero on the other side,
* ``undecided``: it holds zero, so that these seeds say nothing about the order,
* ``not comparable``: a row or the setting was not run, or the claim says why it cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError
from qfedfm.experiment.statistics import paired_difference


class Claim(Config):
    """One published comparison of two rows.

    Args:
        source: The paper that reports both.
        setting: Model, data and clients, in words.
        higher: The label of the row with the larger number, on the compared axis.
        lower: The other one.
        values: The published numbers of both, percent, in this order.
        group: Part of the name of our group that comes nearest.
        obstacle: Why there is no such group; empty where there is.
    """

    source: str
    setting: str
    higher: str
    lower: str
    values: tuple[float, float]
    group: str = ""
    obstacle: str = ""


class Published(Config):
    """A file of published rows."""

    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]


def read_claims(path: Path) -> tuple[Claim, ...]:
    """Returns the claims in a YAML file.

    Raises:
        RequestError: If it is not such a file.
    """
    from qfedfm.experiment.loading import explain, read_yaml

    try:
        return Published.model_validate(read_yaml(path)).claims
    except ValidationError as error:
        raise RequestError(f"{path}: {explain(error, Published)[1]}") from None


def judge(
    claims: Sequence[Claim], groups: Mapping[str, Mapping[str, Mapping[int, float]]]
) -> list[dict[str, Any]]:
    """Returns each claim with our difference and the verdict.

    Args:
        claims: What is published.
        groups: Per group and row label, accuracy by seed, between 0 and 1.
    """
    return [_judged(claim, groups) for claim in claims]


def _judged(claim: Claim, groups: Mapping[str, Mapping[str, Mapping[int, float]]]) -> dict[str, Any]:
    published = claim.values[0] - claim.values[1]
    result: dict[str, Any] = {**claim.plain(), "published_points": round(published, 6)}
    if claim.obstacle:
        return {**result, "verdict": "not comparable", "why": claim.obstacle}
    for name, rows in groups.items():
        if claim.group in name and claim.higher in rows and claim.lower in rows:
            break
    else:
        return {**result, "verdict": "not comparable", "why": "these rows were not run in this setting"}
    high, low = rows[claim.higher], rows[claim.lower]
    seeds = sorted(set(high) & set(low))
    if len(seeds) < 2:
        return {**result, "verdict": "undecided", "why": "fewer than two seeds in common"}
    pair = paired_difference([100 * low[s] for s in seeds], [100 * high[s] for s in seeds])
    ours = pair.difference
    result |= {"our_group": name, "our_points": ours.plain()}
    if ours.interval is None:
        return {**result, "verdict": "undecided", "why": ours.note}
    left, right = ours.interval
    sign = 1 if published > 0 else -1
    if left <= 0 <= right:
        return {**result, "verdict": "undecided", "why": "our interval holds zero"}
    if (left > 0) != (sign > 0):
        return {**result, "verdict": "contradicted", "why": "our interval lies on the other side of zero"}
    if left <= published <= right:
        return {**result, "verdict": "reproduced", "why": "our interval holds the published difference"}
    return {**result, "verdict": "order holds", "why": "same side of zero, another size"}


def describe(verdicts: Sequence[Mapping[str, Any]]) -> str:
    """Returns the verdicts as lines of text."""
    lines = []
    for found in verdicts:
        ours = found.get("our_points")
        shown = ""
        if ours and ours["low"] is not None:
            shown = f"; ours {ours['value']:+.2f} [{ours['low']:+.2f}, {ours['high']:+.2f}]"
        lines.append(
            f"{found['verdict']:<15} {found['higher']} over {found['lower']}, {found['source']} "
            f"({found['published_points']:+.2f} points{shown}): {found['why']}"
        )
    return "\n".join(lines)
