"""Square root, Cholesky factor and pseudo-inverse of a·(Diag(p) − p pᵀ) + b·p pᵀ, in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad._linear_operators import _row_sums
from softgrad._linear_operators._operator import AsymmetricColumnOperator, Layout, SymmetricColumnOperator

if TYPE_CHECKING:
    from softgrad._typing import Array


# Shifts the two factors of a Cholesky factor's entries, one of which may be as large as the other is small.
_SMALL = 2.0**-512


class SquareRoot(AsymmetricColumnOperator):
    """B = √a (Diag(√p) − p √pᵀ) + √b p √pᵀ, with B Bᵀ = H. It is not symmetric."""

    def __init__(self, layout: Layout, dtype: np.dtype[Any], p: Array, a: Array, b: Array) -> None:
        super().__init__(layout, dtype)
        self._p = p
        self._complement = _row_sums.complement(p)
        with np.errstate(invalid="ignore"):  # a row of −inf only
            self._root_a, self._root_b = (np.sqrt(factor)[:, None, None] for factor in (a, b))

    def _apply_to_columns(self, v: Array) -> Array:
        p = self._p[:, :, None]
        scaled = np.sqrt(p) * v
        # At the largest p_*, s_* v_* − p_* Σ s_i v_i = s_* v_* (1 − p_*) − p_* Σ_{i≠*} s_i v_i does not cancel.
        top = self._p.argmax(axis=1)[:, None, None]
        at_top = np.take_along_axis(scaled, top, axis=1)
        others = scaled.copy()
        np.put_along_axis(others, top, 0, axis=1)
        sum_of_others = _row_sums.total(others)[:, None]
        outer = p * (sum_of_others + at_top)
        result = scaled - outer
        p_top, rest = (np.take_along_axis(x[:, :, None], top, axis=1) for x in (self._p, self._complement))
        np.put_along_axis(result, top, at_top * rest - p_top * sum_of_others, axis=1)
        return self._root_a * result + self._root_b * outer

    def _apply_transposed_to_columns(self, v: Array) -> Array:
        difference, mean = _row_sums.centred(self._p, v)
        return np.sqrt(self._p)[:, :, None] * (self._root_a * difference + self._root_b * mean)


class CholeskyFactor(AsymmetricColumnOperator):
    r"""The lower triangular L with L Lᵀ = H and a non-negative diagonal.

    With tails :math:`t_i = \sum_{k \ge i} p_k`, :math:`N_i = a\,t_i + b\,(1 - t_i)` and γ = b − a:
    :math:`L_{ii} = \sqrt{a p_i N_{i+1} / N_i}`, :math:`L_{ij} = \gamma\,p_i \sqrt{a p_j / (N_j N_{j+1})}` below the
    diagonal. Stored are the diagonal and the two factors of the entries below it.
    """

    @np.errstate(divide="ignore", invalid="ignore")  # a row of −inf only; classes after the last p > 0
    def __init__(self, layout: Layout, dtype: np.dtype[Any], p: Array, a: Array, b: Array) -> None:
        super().__init__(layout, dtype)
        a, b = a[:, None], b[:, None]
        end, start = np.zeros_like(p[:, :1]), np.zeros_like(p[:, :1])
        tail = np.cumsum(p[:, ::-1], axis=1)[:, ::-1]
        head = np.concatenate([start, np.cumsum(p, axis=1)], axis=1)
        next_tail = np.concatenate([tail[:, 1:], end], axis=1)
        here = a * tail + b * head[:, :-1]
        after = a * next_tail + b * head[:, 1:]
        # a/N_i is 1/t_i up to the first p > 0, also where a = 0; nothing is left of H after the last.
        first = head[:, :-1] == 0
        step = np.where(first, after / tail, a * (after / here))
        inverse_root = np.where(first, 1 / np.sqrt(tail), np.sqrt(a) / np.sqrt(here))
        nothing = (after == 0) | (tail == 0)
        self._diagonal = np.where(nothing, 0, np.sqrt(p) * np.sqrt(step))
        left = (b - a) * (np.sqrt(p) / np.sqrt(after) * _SMALL) * inverse_root
        self._left = np.where(nothing, 0, left)
        self._right = p / _SMALL

    def _apply_to_columns(self, v: Array) -> Array:
        before = np.cumsum(self._left[:, :, None] * v, axis=1)
        before = np.concatenate([np.zeros_like(before[:, :1]), before[:, :-1]], axis=1)
        return self._diagonal[:, :, None] * v + self._right[:, :, None] * before

    def _apply_transposed_to_columns(self, v: Array) -> Array:
        after = np.cumsum((self._right[:, :, None] * v)[:, ::-1], axis=1)[:, ::-1]
        after = np.concatenate([after[:, 1:], np.zeros_like(after[:, :1])], axis=1)
        return self._diagonal[:, :, None] * v + self._left[:, :, None] * after


class PseudoInverse(SymmetricColumnOperator):
    """The Moore–Penrose inverse.

    On the n classes with p > 0 it is C Diag(1/(a p)) C with C = I − 11ᵀ/n if b = 0, and
    (Diag(1/p) + (a/b − 1) 11ᵀ)/a otherwise; it is zero for all other classes.
    """

    def __init__(self, layout: Layout, dtype: np.dtype[Any], p: Array, a: Array, b: Array) -> None:
        super().__init__(layout, dtype)
        self._p, self._a, self._b = p[:, :, None], a[:, None, None], b[:, None, None]

    def _apply_to_columns(self, v: Array) -> Array:
        p, a, b = self._p, self._a, self._b
        support = p != 0  # NaN counts, so that it turns up in the result
        count = np.maximum(support.sum(axis=1, keepdims=True), 1)
        v = np.where(support, v, 0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inverse = np.where(support, 1 / p, 0)

            def centre(x: Array) -> Array:
                return np.where(support, x - _row_sums.total(x)[:, None] / count, 0)

            singular = centre(inverse * centre(v)) / a
            regular = (inverse * v + np.where(support, (a / b - 1) * _row_sums.total(v)[:, None], 0)) / a
            squares = _row_sums.total(p * p)[:, None]
            rank_one = p * (_row_sums.total(p * v)[:, None] / (b * squares * squares))
        nothing = 0 * p * v
        return np.select([(a == 0) & (b == 0), b == 0, a == 0], [nothing, singular, rank_one], regular)
