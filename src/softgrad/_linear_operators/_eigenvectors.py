"""Eigenvalues and eigenvectors of a·(Diag(p) − p pᵀ) + b·p pᵀ = Diag(a·p) + γ·p pᵀ, γ = b − a, in O(C) memory.

In the order of a·p, classes of equal a·p form a group. A reflection turns each group's part of p onto one of its
classes, the representative; the other classes of the group then are eigenvectors by themselves. What is left is
Diag(d) + γ u uᵀ over the representatives, with distinct d, whose eigenvectors are u/(d − λ), normalised.

u is not taken from p but computed from the eigenvalues, by Löwner's formula: the vectors are then exact
eigenvectors of a matrix very close to H, and orthogonal to the last digits, however close eigenvalues lie (Gu &
Eisenstat, "A stable and efficient algorithm for the rank-one modification of the symmetric eigenproblem", SIAM
J. Matrix Anal. Appl. 15, 1994).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad import _core
from softgrad._linear_operators._operator import AsymmetricColumnOperator, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from softgrad._typing import Array

# Entries of the matrix of eigenvectors that exist at a time: as many as stay in the second-level cache.
_BLOCK = 1 << 17


def roots(p: Array, a: Array, b: Array) -> tuple[Array, Array, Array]:
    """The order of the classes, masked ones first and then by a·p, and in it the eigenvalues.

    Each is (origin + offset) / secular_unit: the unit keeps the smallest ones out of the subnormal range.
    """
    origin, offset = np.empty(p.shape), np.empty(p.shape)
    _core.secular(p.shape[1], np.sort(p, axis=1), a, b, origin, offset)
    key = np.where(p == 0, -np.inf, np.where(a < 0, -1, 1)[:, None] * p)
    return np.argsort(key, axis=1, kind="stable"), origin, offset


class Eigenvectors(AsymmetricColumnOperator):
    """The orthogonal operator Q whose columns are eigenvectors, in the order of the eigenvalues."""

    def __init__(self, layout: Layout, dtype: np.dtype[Any], p: Array, a: Array, b: Array) -> None:
        super().__init__(layout, dtype)
        self._order, self._origin, self._offset = roots(p, a, b)
        values = (self._origin + self._offset) / _core.secular_unit
        self._ascending = np.argsort(values, axis=1, kind="stable")
        self.eigenvalues = np.take_along_axis(values, self._ascending, axis=1)
        p = np.take_along_axis(p, self._order, axis=1)
        poles = a[:, None] * (p * _core.secular_unit)
        self._starts = _group_starts(p, poles)
        self._representative = _representatives(p, a, b, self._starts)
        # A root that is its pole to the last digit is that class's eigenvalue by itself.
        self._representative &= ~((self._offset == 0) & (self._origin == poles))
        self._reflection = _reflections(p, self._starts, self._representative)
        # What is no pole and no root lies far off, at different places, and has no weight: no term of a sum, a
        # factor of one in a product.
        far = 4 * (1 + np.abs(a) + np.abs(b))[:, None] * _core.secular_unit
        self._poles = np.where(self._representative, poles, far)
        self._origin = np.where(self._representative, self._origin, 2 * far)
        self._u = np.where(self._representative, self._loewner(), 0)
        self._norm = np.where(self._representative, self._norms(), 0)
        self._u[np.isnan(values).any(axis=1)] = np.nan

    def _apply_to_columns(self, v: Array) -> Array:
        x = np.empty(v.shape)
        np.put_along_axis(x, self._ascending[:, :, None], v, axis=1)
        mixed = np.zeros(v.shape)
        for rows, some in self._blocks():
            mixed[rows] += np.swapaxes(self._vectors(rows, some), 1, 2) @ x[rows, some]
        result = np.empty(v.shape)
        np.put_along_axis(result, self._order[:, :, None], self._reflect(mixed), axis=1)
        return result

    def _apply_transposed_to_columns(self, v: Array) -> Array:
        x = self._reflect(np.take_along_axis(v, self._order[:, :, None], axis=1))
        mixed = np.empty(v.shape)
        for rows, some in self._blocks():
            mixed[rows, some] = self._vectors(rows, some) @ x[rows]
        return np.take_along_axis(mixed, self._ascending[:, :, None], axis=1)

    def _blocks(self) -> Iterator[tuple[slice, slice]]:
        """Some rows of the batch, and some of the classes of each."""
        rows, classes = self._poles.shape
        some = max(1, min(classes, _BLOCK // classes))
        several = max(1, _BLOCK // (classes * some))
        for row in range(0, rows, several):
            for start in range(0, classes, some):
                yield slice(row, row + several), slice(start, min(classes, start + some))

    def _vectors(self, rows: slice, some: slice) -> Array:
        """Eigenvectors u/(d − λ), normalised, one in each row; unit vectors for the classes that are such alone."""
        vectors = self._poles[rows, None, :] - self._origin[rows, some, None]
        vectors -= self._offset[rows, some, None]
        np.divide(self._u[rows, None, :], vectors, out=vectors)
        vectors *= self._norm[rows, some, None]
        vectors[:, *_diagonal_places(some)] += ~self._representative[rows, some]
        return vectors

    def _loewner(self) -> Array:
        """u_g² |γ| = |d_g − λ_g| Π_{h≠g} (λ_h − d_g)/(d_h − d_g) over the representatives."""
        products = np.empty(self._poles.shape)
        others = np.where(self._representative, self._poles, self._origin)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # in the rows of what is no pole
            for rows, some in self._blocks():
                ratios = self._poles[rows, some, None] - self._origin[rows, None, :]
                ratios -= self._offset[rows, None, :]
                gaps = self._poles[rows, some, None] - others[rows, None, :]
                gaps[:, *_diagonal_places(some)] = ratios[:, *_diagonal_places(some)]
                ratios /= gaps
                np.sqrt(np.abs(ratios, out=ratios), out=ratios)  # one by one: the product may be subnormal
                products[rows, some] = ratios.prod(axis=2)
        return np.sqrt(np.abs(self._poles - self._origin - self._offset)) * products

    def _norms(self) -> Array:
        """The factors that bring every eigenvector to length one."""
        self._norm = np.ones(self._poles.shape)
        lengths = np.empty(self._poles.shape)
        for rows, some in self._blocks():
            vectors = self._vectors(rows, some)
            lengths[rows, some] = np.sqrt(np.einsum("rjc,rjc->rj", vectors, vectors))
        return 1 / lengths

    def _reflect(self, x: Array) -> Array:
        """X − 2 h (hᵀx) within each group."""
        rows, classes, columns = x.shape
        weighted = (self._reflection[:, :, None] * x).reshape(rows * classes, columns)
        starts = np.flatnonzero(self._starts)
        sums = np.add.reduceat(weighted, starts, axis=0) if starts.size else weighted
        sizes = np.diff(np.append(starts, rows * classes))
        projected = np.repeat(sums, sizes, axis=0).reshape(x.shape)
        return x - 2 * self._reflection[:, :, None] * projected


def _diagonal_places(some: slice) -> tuple[Array, Array]:
    """The positions of the whole matrix's diagonal within some of its rows."""
    return np.arange(some.stop - some.start), np.arange(some.start, some.stop)


def _group_starts(p: Array, poles: Array) -> Array:
    """Whether a class begins a group of equal poles. A masked class is alone."""
    starts = np.ones(p.shape, bool)
    starts[:, 1:] = (poles[:, 1:] != poles[:, :-1]) | (p[:, :-1] == 0)
    return starts


def _representatives(p: Array, a: Array, b: Array, starts: Array) -> Array:
    """The class of each group whose eigenvalue is a root: the first one below γ = 0, the last one above."""
    ends = np.concatenate([starts[:, 1:], np.ones_like(starts[:, :1])], axis=1)
    gamma = (b - a)[:, None]
    return (p > 0) & np.where(gamma < 0, starts, ends) & (gamma != 0)


def _reflections(p: Array, starts: Array, representative: Array) -> Array:
    """Unit normals of the reflections that take each group's part of p onto its representative."""
    index = np.flatnonzero(starts)
    if not index.size:
        return np.zeros(p.shape)
    sizes = np.diff(np.append(index, p.size))

    def per_group(x: Array) -> Array:
        return np.repeat(np.add.reduceat(x.ravel(), index), sizes).reshape(p.shape)

    largest = np.repeat(np.maximum.reduceat(p.ravel(), index), sizes).reshape(p.shape)
    part = np.divide(p, largest, out=np.zeros(p.shape), where=largest > 0)
    part /= np.maximum(np.sqrt(per_group(part * part)), 1e-300)
    others = np.where(representative, 0, part)
    # u_rep − 1 for the unit vector u, as −Σ_others u² / (1 + u_rep).
    normal = np.where(representative, -per_group(others * others) / (1 + part), part)
    length = np.sqrt(per_group(normal * normal))
    several = np.repeat(sizes > 1, sizes).reshape(p.shape) & (per_group(representative.astype(float)) > 0)
    return np.divide(normal, length, out=np.zeros(p.shape), where=several & (length > 0))
