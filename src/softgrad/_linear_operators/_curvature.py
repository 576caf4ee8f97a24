"""The closed forms of a·(Diag(p) − p pᵀ) + b·p pᵀ: of the softmax Jacobian and the cross-entropy Hessian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad import _core, _validation
from softgrad._core import OperatorKind
from softgrad._linear_operators import _row_sums
from softgrad._linear_operators._eigenvectors import Eigenvectors, roots
from softgrad._linear_operators._factors import CholeskyFactor, PseudoInverse, SquareRoot
from softgrad._linear_operators._operator import Layout, Operator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from softgrad._typing import Array


class EighResult(NamedTuple):
    """Eigenvalues in ascending order along the class axis, and the orthogonal operator of their eigenvectors."""

    eigenvalues: Array
    eigenvectors: Eigenvectors


class Curvature(Operator):
    """The symmetric matrix H = a·(Diag(p) − p pᵀ) + b·p pᵀ for each row, with probabilities p."""

    def __init__(self, probs: Array, axis: int, a: Array | None, b: Array | None) -> None:
        super().__init__(Layout(probs.shape, axis), probs.dtype)
        self._probs = probs
        self._a, self._b = a, b
        self._top = np.ascontiguousarray(probs.argmax(axis=axis), np.int64)

    @property
    def T(self) -> Curvature:
        """The operator itself: it is symmetric."""
        return self

    def _apply(self, v: Array) -> Array:
        probs, layout = self._probs.astype(v.dtype, copy=False), self._layout
        columns = v.shape[-1] if v.ndim > probs.ndim else 1
        result = np.empty_like(v)
        _core.apply_operator(
            OperatorKind.curvature, _validation.kernel_dtype(v.dtype), probs, layout.axis, v, result, columns,
            self._top, self._a, self._b, None,
        )  # fmt: skip
        return result

    def _coefficients(self) -> tuple[Array, Array, Array]:
        """Probabilities (R, C), a (R,) and b (R,), float64."""
        rows = self._layout.rows
        p = self._layout.to_columns(self._probs)[:, :, 0]
        a, b = (
            np.full(rows, default) if factor is None else factor.reshape(rows)
            for factor, default in ((self._a, 1.0), (self._b, 0.0))
        )
        return p, a, b

    def _diagonal(self) -> Array:
        p, a, b = self._coefficients()
        return a[:, None] * (p * _row_sums.complement(p)) + b[:, None] * (p * p)

    def _per_row(self, values: Array) -> np.floating[Any] | Array:
        return values.reshape(self._layout.batch).astype(self.dtype, copy=False)[()]

    @np.errstate(all="ignore")  # infinities and NaN are answers
    def to_dense(self) -> Array:
        """Return the matrices as an array of shape ``(..., C, C)``."""
        p, a, b = self._coefficients()
        dense = (b - a)[:, None, None] * (p[:, :, None] * p[:, None, :])
        classes = np.arange(p.shape[1])
        dense[:, classes, classes] = self._diagonal()
        return dense.reshape(self.shape).astype(self.dtype, copy=False)

    @np.errstate(all="ignore")
    def diagonal(self) -> Array:
        """The diagonal a p_i Σ_{j≠i} p_j + b p_i², computed without cancellation, of the shape of the logits."""
        return self._layout.from_columns(self._diagonal()[:, :, None], like=self._probs)

    def trace(self) -> np.floating[Any] | Array:
        """The sum of the diagonal per row, which equals the sum of the eigenvalues."""
        return self._per_row(_row_sums.total(self._diagonal()))

    def rank(self) -> np.integer[Any] | NDArray[np.int64]:
        """The rank per row: n − 1 for n classes with p_i > 0, or n with a z-loss.

        A class whose probability has underflowed to zero counts as masked.
        """
        return self._rank(*self._coefficients()).reshape(self._layout.batch)[()]

    @staticmethod
    def _rank(p: Array, a: Array, b: Array) -> Array:
        support = (p > 0).sum(axis=1)
        return np.select([(a != 0) & (b != 0), a != 0, b != 0], [support, np.maximum(support - 1, 0), support > 0], 0)

    def null_space(self) -> Array:
        """An orthonormal basis of the null space: K vectors per row, along an additional last axis.

        K is the largest nullity in the batch; rows with a smaller one have zero vectors at the end. If
        b = 0, the basis is 1/√n on the n classes with p_i > 0, and e_i for every other class.
        """
        p, a, b = self._coefficients()
        nullity = p.shape[1] - self._rank(p, a, b)
        result = np.zeros((*p.shape, int(nullity.max(initial=0))))
        for basis, row in zip(result, zip(p, a, b, strict=True), strict=True):
            _write_null_space(basis, *row)
        result[np.isnan(p).any(axis=1)] = np.nan
        return self._layout.block(result, self.dtype)

    def eigvalsh(self) -> Array:
        """The eigenvalues, of the shape of the logits, ascending along the class axis.

        They are the roots of the secular equation (``native/ops/secular.h``), in O(C²) time and O(C) memory: 20 000
        classes take about a second. Repeated probabilities are deflated. For a > 0 every eigenvalue, however small, is
        accurate to a few ULP, because it is computed as a distance from the nearest a·p_i.
        """
        _, origin, offset = roots(*self._coefficients())
        values = np.sort(origin + offset, axis=1) / _core.secular_unit
        return self._layout.from_columns(values[:, :, None], like=self._probs)

    def eigh(self) -> EighResult:
        """Eigenvalues in ascending order, and an operator Q of orthonormal eigenvectors: H = Q Diag(λ) Qᵀ.

        Both have the layout of the logits: ``Q @ (λ * (Q.T @ v))`` is ``H @ v`` along any axis. Q stores O(C)
        numbers. ``Q @ x`` and ``Q.T @ x`` take O(C²) time; ``Q.to_dense()`` is the matrix whose
        columns are the eigenvectors.
        """
        vectors = Eigenvectors(self._layout, self.dtype, *self._coefficients())
        return EighResult(self._layout.from_columns(vectors.eigenvalues[:, :, None].copy(), like=self._probs), vectors)

    def sqrt(self) -> SquareRoot:
        """An operator B with B Bᵀ = H: B = √a (Diag(√p) − p √pᵀ) + √b p √pᵀ.

        Raises
        ------
        ValueError
            If H is not positive semidefinite: a < 0, because a z-loss gives M + 2ζ lse(z) < 0.
        """
        p, a, b = self._coefficients()
        _validation.semidefinite(a, "sqrt")
        return SquareRoot(self._layout, self.dtype, p, a, b)

    def cholesky(self) -> CholeskyFactor:
        """The Cholesky factor as an operator: L is lower triangular and L Lᵀ = H. ``.to_dense()`` is the matrix.

        Raises
        ------
        ValueError
            As for `sqrt`.
        """
        p, a, b = self._coefficients()
        _validation.semidefinite(a, "cholesky")
        return CholeskyFactor(self._layout, self.dtype, p, a, b)

    def pinv(self) -> PseudoInverse:
        """The Moore–Penrose inverse as an operator: ``H.pinv() @ b`` is the solution of least norm."""
        return PseudoInverse(self._layout, self.dtype, *self._coefficients())

    @np.errstate(all="ignore")
    def solve(self, b: ArrayLike, damping: float) -> Array:
        r"""The solution x of (H + λI) x = b, in O(C) by Sherman and Morrison's formula.

        .. math:: x = \frac{b}{d} + \frac{p}{d} \cdot \frac{\sum_j b_j/\lambda - \sum_j b_j/d_j}{\sum_j p_j/d_j},
            \quad d = a p + \lambda

        for a Hessian without z-loss. The sum of b is accurate: if b sums to zero, x has no component of size 1/λ.

        Parameters
        ----------
        b : array_like
            Right-hand side of the shape of the logits, or several with one more axis at the end.
        damping : float
            λ > 0. For λ = 0 use ``H.pinv() @ b``.

        Returns
        -------
        ndarray
            x, of the shape of `b`.

        Raises
        ------
        TypeError, ValueError
            If `b` or `damping` has the wrong type, shape or value; or if a < 0 and λ ≤ −a max(p), for which H + λI may
            be indefinite.
        """
        damping = _validation.damping(damping)
        operand = _validation.operand(b, self._layout.logits_shape, self.dtype, "softmax_jacobian", "b")
        p, a, outer = self._damped_columns(damping)
        columns = self._layout.to_columns(operand)
        d = a * p + damping
        # a Σ p b/d, by b − λ b/d where a p > λ: what is left of a b that sums to zero is exact.
        large = a * p > damping
        whole = _row_sums.total(np.where(large, columns, 0))[:, None]
        parts = _row_sums.total(np.where(large, -damping * (columns / d), a * p * (columns / d)))[:, None]
        along = np.where(
            a != 0, (whole + parts) * (1 - outer / a), -outer * _row_sums.total(p * (columns / d))[:, None]
        )
        x = columns / d + (p / d) * (along / self._determinant_factor(p, d, damping, outer))
        return self._layout.from_columns(x, like=operand)

    @np.errstate(all="ignore")
    def logdet(self, damping: float) -> np.floating[Any] | Array:
        r"""Logarithm of the determinant of H + λI per row.

        .. math:: \sum_i \log(a p_i + \lambda) + \log\Bigl(\lambda \sum_i \frac{p_i}{a p_i + \lambda}
            + b \sum_i \frac{p_i^2}{a p_i + \lambda}\Bigr)

        Parameters
        ----------
        damping : float
            λ > 0.

        Returns
        -------
        scalar or ndarray
            Logarithm in nats, of the shape of the logits without the class axis.

        Raises
        ------
        TypeError, ValueError
            As for `solve`.
        """
        damping = _validation.damping(damping)
        p, a, b = self._damped_columns(damping)
        d = a * p + damping
        return self._per_row(
            _row_sums.total(np.log(d))[:, 0] + np.log(self._determinant_factor(p, d, damping, b))[:, 0, 0]
        )

    def _damped_columns(self, damping: float) -> tuple[Array, Array, Array]:
        """Probabilities (R, C, 1), a and b (R, 1, 1), of a matrix that damping makes positive definite."""
        p, a, b = self._coefficients()
        _validation.damped(a, p, damping)
        return p[:, :, None], a[:, None, None], b[:, None, None]

    @staticmethod
    def _determinant_factor(p: Array, d: Array, damping: float, b: Array) -> Array:
        """det(H + λI) / Π d = 1 + (b − a) Σ p²/d, without its cancellation."""
        return _row_sums.total(p * (damping / d))[:, None] + _row_sums.total(p * p * (b / d))[:, None]


def _write_null_space(basis: Array, p: Array, a: float, b: float) -> None:
    """Write the basis of one row into (C, K) zeros."""
    support = p > 0
    if (a == 0 and b == 0) or not support.any():
        np.fill_diagonal(basis, 1)
        return
    if a == 0:
        # H = b p pᵀ: the reflection that takes p to its first class takes the other unit vectors to a basis.
        normal = p / np.linalg.norm(p)
        normal[0] += 1
        normal /= np.linalg.norm(normal)
        basis[:, : len(p) - 1] = (np.eye(len(p)) - 2 * np.outer(normal, normal))[:, 1:]
        return
    start = 0
    if b == 0:
        basis[support, 0] = 1 / np.sqrt(support.sum())
        start = 1
    masked = np.flatnonzero(~support)
    basis[masked, start + np.arange(len(masked))] = 1
