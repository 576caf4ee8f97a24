"""The penalised mean cross-entropy of a linear head, in the variables of the solvers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from softgrad import softmax
from softgrad.linear_model._problem import _kernels
from softgrad.linear_model._problem._location_and_scale import location_and_scale

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.linear_model._problem._rows import LocalRows, Rows

# A class is rare if its weight is below this fraction of the mean weight of a class.
_RARE = 0.1


class Objective:
    r"""f(Θ) of Θ = [V, v], the weights of standardised columns and the logits at the mean row.

    .. math:: f(V, v) = \frac1S \Bigl( \sum_n s_n \operatorname{CE}(V \tilde x_n + v,\; y_n)
              + \frac1{2C} \sum_{kd} (V_{kd} / \sigma_d)^2 \Bigr), \quad \tilde x = (x - \bar x) / \sigma

    with S = Σ s_n. This is the estimator's objective at W = V/σ and b = v − W x̄. X itself is not standardised:
    coefficients and gradients are converted instead. Without an intercept Θ = V, and the columns are not centred.
    """

    def __init__(self, rows: Rows, *, C: float, fit_intercept: bool, mean: Array, scale: Array) -> None:
        self.rows = rows
        self.shape: tuple[int, int] = rows.classes, rows.shape[1] + fit_intercept  # of Θ
        self.fit_intercept = fit_intercept
        self.mean = mean if fit_intercept else np.zeros_like(mean)
        self.scale = scale
        self.total = rows.totals.weight
        self.penalty = 1.0 / (C * self.total) / scale**2
        self.passes = 0.0
        self.loss = np.nan
        self._probs: Array | None = None

    @classmethod
    def of(cls, rows: Rows, *, C: float, fit_intercept: bool) -> Self:
        """Return the objective of rows, standardised by their own location and scale."""
        mean, scale = location_and_scale(rows, centred=fit_intercept)
        return cls(rows, C=C, fit_intercept=fit_intercept, mean=mean, scale=scale)

    @cached_property
    def class_mass(self) -> Array:
        """Σ_n s_n y_nk of every class."""
        smoothing = self.rows.spec.label_smoothing
        return (1 - smoothing) * self.rows.totals.by_class + smoothing * self.total / self.rows.classes

    @cached_property
    def _class_factor(self) -> Array:
        mass = self.class_mass
        rare = _RARE * mass.mean()
        with np.errstate(over="ignore"):  # of a subnormal weight; the norm, too large to converge, stays finite
            factor = np.divide(rare, mass, out=np.ones_like(mass), where=(mass > 0) & (mass < rare))
        return np.minimum(factor, np.finfo(np.float64).max)[:, None]

    def norm(self, gradient: Array) -> float:
        """Return the largest absolute entry of a gradient, with those of rare classes relative to their weight.

        With an intercept, Σ_n s_n p_nk then equals Σ_n s_n y_nk within a relative 10 K times the norm for every class.
        """
        return float(np.abs(self._class_factor * gradient).max())

    @cached_property
    def penalties(self) -> Array:
        """The penalty's contribution to the diagonal of the Hessian, with the shape of Θ."""
        row = np.append(self.penalty, 0.0) if self.fit_intercept else self.penalty
        return np.broadcast_to(row, self.shape)

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """Return W and b in the units of X."""
        D = self.rows.shape[1]
        W = theta[:, :D] / self.scale
        if not self.fit_intercept:
            return W, np.zeros(len(W))
        return W, theta[:, D] - W @ self.mean

    def variables(self, W: Array, b: Array) -> Array:
        """Return Θ for W and b, the inverse of `coefficients`."""
        V = W * self.scale
        return np.column_stack([V, b + W @ self.mean]) if self.fit_intercept else V

    def standardise(self, x: Any) -> Array:
        """Return dense rows x̃ for rows of X, with a last column of ones for the intercept."""
        return standardised(x, self.mean, self.scale, fit_intercept=self.fit_intercept)

    @property
    def precision(self) -> float:
        """The relative rounding error of the value.

        For float32, only the logits are rounded, independently in every row; for float64, also the sum over the rows.
        """
        eps = float(np.finfo(self.rows.dtype).eps)
        return eps if self.rows.dtype == np.float32 else 32 * eps

    def value_and_grad(self, theta: Array, *, keep_probs: bool = False) -> tuple[float, Array]:
        """Return f and its gradient in one pass over X, and store the mean cross-entropy in `loss`.

        With `keep_probs` also store the N K probabilities, for `hessian_product`.
        """
        if keep_probs and self._probs is None:
            self._probs = np.empty((self.rows.shape[0], len(theta)), self.rows.dtype)
        W, b = self.coefficients(theta)
        sums = self.rows.sum(_kernels.gradient, W, b, self._probs if keep_probs else None)
        self.passes += 1
        self.loss = float(sums[-1]) / self.total
        of_penalty = self.penalties * theta
        gradient = self._pull_back(*_kernels.split(sums[:-1], W.shape))
        gradient += of_penalty
        return self.loss + 0.5 * float(np.vdot(of_penalty, theta)), gradient

    def penalty_at(self, theta: Array) -> float:
        """Return the penalty's part of f."""
        return 0.5 * float(np.vdot(self.penalties * theta, theta))

    def hessian_product(self, direction: Array) -> Array:
        """Return the Hessian at the last point evaluated with `keep_probs`, times a direction, in one pass over X."""
        assert self._probs is not None
        V, v = self.coefficients(direction)
        self.passes += 1
        sums = self.rows.sum(_kernels.hessian_product, V, v, self._probs)
        return self._pull_back(*_kernels.split(sums, V.shape)) + self.penalties * direction

    def hessian(self, theta: Array) -> Array:
        """Return the exact Hessian in float64 and the order of theta.ravel(), in one pass over X."""
        classes, columns = self.shape
        size = classes * columns
        outer = self.rows.sum(_outer_products, theta, self.mean, self.scale) / self.total
        self.passes += 1
        # Σ_l p_l = 1: the blocks p_k p_l x xᵀ of a row of blocks add up to p_k x xᵀ.
        blocks = outer.reshape(classes, columns, classes, columns)
        by_class = -blocks
        for k in range(classes):
            by_class[k, :, k, :] += blocks[k].sum(axis=1)
        hessian = by_class.reshape(size, size)
        hessian[np.diag_indices(size)] += self.penalties.ravel()
        return hessian

    def _pull_back(self, g_W: Array, g_b: Array) -> Array:
        """Convert a gradient in (W, b), summed over rows, to Θ and the mean."""
        gradient = np.empty(self.shape)
        D = len(self.scale)
        np.subtract(g_W, g_b[:, None] * self.mean, out=gradient[:, :D])
        gradient[:, :D] /= self.scale
        if self.fit_intercept:
            gradient[:, D] = g_b
        gradient /= self.total
        return gradient


def standardised(x: Any, mean: Array, scale: Array, *, fit_intercept: bool) -> Array:
    """Return dense (x − mean)/scale for rows of X, with a last column of ones for an intercept."""
    dense = x if isinstance(x, np.ndarray) else x.toarray()
    standard = np.ones((len(dense), len(scale) + fit_intercept), dense.dtype)
    features = standard[:, : len(scale)]
    np.subtract(dense, mean.astype(dense.dtype), out=features)
    features /= scale.astype(dense.dtype)
    return standard


def _outer_products(rows: LocalRows, theta: Array, mean: Array, scale: Array) -> Array:
    """Return Σ m_n (p_n ⊗ x̃_n)(p_n ⊗ x̃_n)ᵀ in float64, as one vector."""
    size = theta.size
    outer = np.zeros((size, size))
    step = max(16, (1 << 20) // size)
    for start in range(0, rows.shape[0], step):
        part = slice(start, start + step)
        weighted = np.flatnonzero(rows.mass[part])  # the logits of other rows may overflow
        fit_intercept = theta.shape[1] > len(scale)
        x = standardised(rows.x[part][weighted], mean, scale, fit_intercept=fit_intercept).astype(np.float64)
        root = np.sqrt(rows.mass[part][weighted])[:, None]
        scaled = ((root * softmax(x @ theta.T))[:, :, None] * x[:, None, :]).reshape(len(x), size)
        outer += scaled.T @ scaled
    return outer.ravel()
