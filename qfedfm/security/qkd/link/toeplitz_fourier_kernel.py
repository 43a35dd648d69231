"""The sum of products between the transforms of a Toeplitz hash."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qfedfm.core.compiled import cached, digest

STRIP = 1024


def _cached_sum(digest: int) -> Callable[..., Any]:
    @cached
    def sum_products(inputs, seed, sums):
        digest  # noqa: B018  (numba finds what it compiled by the values a function closes over)
        columns, size = inputs.shape
        for begin in range(0, size, STRIP):
            end = min(size, begin + STRIP)
            for row in range(sums.shape[0]):
                for k in range(begin, end):
                    sums[row, k] = 0
                for column in range(columns):
                    d = row - column + columns - 1
                    for k in range(begin, end):
                        sums[row, k] += inputs[column, k] * seed[d, k]

    function: Callable[..., Any] = sum_products
    return function


#: ``sum_products(inputs (C, s), seed (R + C - 1, s), sums (R, s))``: sums[r] = sum_c inputs[c] seed[r - c + C
#: - 1].
sum_products = _cached_sum(digest(__file__))
