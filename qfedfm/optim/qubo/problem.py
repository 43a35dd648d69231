"""Quadratic unconstrained binary optimisation, with counts as constraints. Lucas, 2014, arXiv:1302.5843.

Shapes: n = variables, G = constraints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qfedfm.core.errors import RequestError

Bits = NDArray[np.uint8]
Values = NDArray[np.float64]


def is_sparse(matrix: Any) -> bool:
    """Whether this is a matrix or array of ``scipy.sparse``."""
    return hasattr(matrix, "tocsr")


def dense(matrix: Any) -> Values:
    """Returns a sparse matrix or an array as an array."""
    return np.asarray(matrix.toarray() if is_sparse(matrix) else matrix, np.float64)


@dataclass(frozen=True, slots=True)
class Count:
    """At least ``least`` and at most ``most`` of the variables ``members`` are 1.

    Args:
        least: From 0.
        most: From ``least``.
        members: Their numbers; None for all variables.
    """

    least: int
    most: int
    members: tuple[int, ...] | None = None


class Ising(NamedTuple):
    """``offset + sum h_i z_i + sum_{i<j} J_ij z_i z_j`` over z in {1, -1}, where bit 0 is z = 1.

    Args:
        fields: h, shape (n,).
        couplings: J, shape (n, n), symmetric, with zero diagonal, dense or sparse as the problem was.
        offset: The constant.
    """

    fields: Values
    couplings: Any
    offset: float


@dataclass(frozen=True, eq=False)
class Qubo:
    """Minimise ``xᵀ Q x + offset`` over x in {0, 1}^n, subject to counts.

    Args:
        matrix: Q, shape (n, n), any square matrix of finite numbers (only Q + Qᵀ matters): an array, or a
            scipy sparse matrix or array, which stays sparse.
        offset: A constant.
        constraints: Counts that a solution must keep.

    Raises:
        RequestError: Not square, not finite, or a count that no bit string can keep.
    """

    matrix: Any
    offset: float = 0.0
    constraints: tuple[Count, ...] = ()

    def __post_init__(self) -> None:
        shape = np.shape(self.matrix)
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 1:
            raise RequestError(f"the matrix of a QUBO must be square, got shape {shape}")
        entries = self.matrix.data if is_sparse(self.matrix) else np.asarray(self.matrix, float)
        if not (np.isfinite(entries).all() and np.isfinite(self.offset)):
            raise RequestError("the matrix and the offset of a QUBO must be finite numbers")
        for count in self.constraints:
            members = range(self.n) if count.members is None else count.members
            if len(set(members)) != len(members) or not set(members) <= set(range(self.n)):
                raise RequestError(
                    f"the members of a count must be different variables from 0 to {self.n - 1}, "
                    f"got {members}"
                )
            if not 0 <= count.least <= count.most or count.least > len(members):
                raise RequestError(
                    f"a count over {len(members)} variables cannot be from {count.least} to {count.most}"
                )

    @classmethod
    def from_ising(
        cls, fields: ArrayLike, couplings: Any, offset: float = 0.0, constraints: tuple[Count, ...] = ()
    ) -> Qubo:
        """Returns the problem with the same values under ``z = 1 - 2 x``.

        Args:
            fields: h, shape (n,).
            couplings: J, shape (n, n), dense or sparse; the value has ``J_ij + J_ji`` for i < j, halved if
                the matrix is symmetric: exactly the ``couplings`` of :class:`Ising`. The diagonal must be 0.
            offset: The constant.
            constraints: As in the class.
        """
        from scipy import sparse

        h = np.asarray(fields, float)
        J = couplings if is_sparse(couplings) else np.asarray(couplings, float)
        if J.shape != (len(h), len(h)) or np.any(J.diagonal() != 0) or abs(J - J.T).max() > 0:
            raise RequestError(
                "the couplings of an Ising problem must be a symmetric matrix with zero diagonal and one row "
                f"for each of the {len(h)} fields"
            )
        sums = np.asarray(J.sum(axis=0)).reshape(-1)
        linear = -2.0 * h - 2.0 * sums
        diagonal: Any = sparse.diags_array(linear) if is_sparse(J) else np.diag(linear)
        return cls(2.0 * J + diagonal, offset + float(h.sum() + sums.sum() / 2), constraints)

    def with_cardinality(self, ones: int) -> Qubo:
        """Returns the same problem in which exactly ``ones`` variables must be 1."""
        return replace(self, constraints=(*self.constraints, Count(ones, ones)))

    @property
    def n(self) -> int:
        """Number of variables."""
        return int(self.matrix.shape[0])

    @cached_property
    def linear(self) -> Values:
        """What a variable costs by itself (Q's diagonal), shape (n,)."""
        return np.asarray(self.matrix.diagonal(), float).copy()

    @cached_property
    def pairs(self) -> Any:
        """``Q + Qᵀ`` with zero diagonal, shape (n, n): what two ones cost together; dense or CSR."""
        if is_sparse(self.matrix):
            total: Any = self.matrix.astype(float) + self.matrix.astype(float).T
            from scipy import sparse

            rest = sparse.csr_array(total)
            rest.setdiag(0.0)
            rest.eliminate_zeros()
            return rest
        Q = np.asarray(self.matrix, float)
        S = Q + Q.T
        np.fill_diagonal(S, 0.0)
        return S

    @cached_property
    def members(self) -> NDArray[np.int64]:
        """Which variables each constraint counts, shape (G, n), 0 or 1."""
        table = np.zeros((len(self.constraints), self.n), np.int64)
        for row, count in zip(table, self.constraints, strict=True):
            row[slice(None) if count.members is None else list(count.members)] = 1
        return table

    def value(self, bits: ArrayLike) -> Values:
        """Returns the objective, shape (...), of bit strings of shape (..., n)."""
        x = np.asarray(bits, float)
        flat = x.reshape(-1, self.n)
        paired = (self.pairs @ flat.T).T
        found: Values = self.offset + flat @ self.linear + 0.5 * (flat * paired).sum(axis=1)
        return found.reshape(x.shape[:-1])

    def violation(self, bits: ArrayLike) -> NDArray[np.int64]:
        """Returns by how many ones the constraints are missed in all, shape (...); 0 is feasible."""
        counts = np.asarray(bits, np.int64) @ self.members.T
        missed: NDArray[np.int64] = self.excess(counts).sum(axis=-1)
        return missed

    def excess(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns by how much each count is missed, same shape (..., G) as ``counts``."""
        least = np.array([count.least for count in self.constraints], np.int64)
        most = np.array([count.most for count in self.constraints], np.int64)
        missed: NDArray[np.int64] = np.maximum(0, np.maximum(least - counts, counts - most))
        return missed

    def row(self, variable: int) -> Values:
        """Returns what each variable costs together with ``variable``, shape (n,)."""
        found: Values = dense(self.pairs[[variable]])[0]
        return found

    def ising(self) -> Ising:
        """Returns the same objective over spins ``z = 1 - 2 x`` (constraints do not enter)."""
        J = self.pairs / 4.0
        sums = np.asarray(J.sum(axis=0)).reshape(-1)
        offset = self.offset + float(self.linear.sum()) / 2 + float(sums.sum()) / 2
        return Ising(-self.linear / 2 - sums, J, offset)
