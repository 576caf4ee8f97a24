"""The penalised mean cross-entropy of a linear head, in the variables of the solvers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from softgrad import softmax
from softgrad._loss_spec import DEFAULT
from softgrad.linear_model._problem import _kernels
from softgrad.linear_model._problem._design_matrix import location_and_scale

if TYPE_CHECKING:
    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets
    from softgrad._typing import Array

# A class is rare if its weight is below this fraction of the mean weight of a class.
_RARE = 0.1


class Objective:
    r"""f(Θ) of Θ = [V, v], the weights of standardised columns and the logits at the mean row.

    .. math:: f(V, v) = \frac1S \Bigl( \sum_n s_n \operatorname{CE}(V \tilde x_n + v,\; y_n)
              + \frac1{2C} \sum_{kd} (V_{kd} / \sigma_d)^2 \Bigr), \quad \tilde x = (x - \bar x) / \sigma

    with S = Σ s_n. This is the estimator's objective at W = V/σ and b = v − W x̄. X itself is not standardised:
    coefficients and gradients are converted instead. Without an intercept Θ = V, and the columns are not centred.
    """

    def __init__(
        self,
        x: Any,
        targets: Targets,
        spec: LossSpec = DEFAULT,
        *,
        C: float,
        fit_intercept: bool,
        mean: Array,
        scale: Array,
    ) -> None:
        self.x = x
        self.elements: int = x.size if isinstance(x, np.ndarray) else x.nnz  # that a pass reads
        self.shape: tuple[int, int] = targets.classes, x.shape[1] + fit_intercept  # of Θ
        self.targets = targets
        self.spec = spec
        self.fit_intercept = fit_intercept
        self.mean = mean if fit_intercept else np.zeros_like(mean)
        self.scale = scale
        self.total = float(targets.row_weight.sum())
        self.penalty = 1.0 / (C * self.total) / scale**2
        self.passes = 0.0
        self.loss = np.nan
        self._probs: Array | None = None

    @classmethod
    def from_rows(cls, x: Any, targets: Targets, spec: LossSpec = DEFAULT, *, C: float, fit_intercept: bool) -> Self:
        """Return the objective of rows, standardised by their own location and scale."""
        mean, scale = location_and_scale(x, targets.row_weight, centred=fit_intercept)
        return cls(x, targets, spec, C=C, fit_intercept=fit_intercept, mean=mean, scale=scale)

    @cached_property
    def mass(self) -> Array:
        """s_n Σ_j y_nj, the factor of the softmax Jacobian in every row's Hessian."""
        mass: Array = self.targets.mass(self.spec)
        return mass

    @cached_property
    def class_mass(self) -> Array:
        """Σ_n s_n y_nk of every class."""
        targets, smoothing = self.targets, self.spec.label_smoothing
        if targets.labels is None:
            mass = targets.row_weight @ targets.probabilities
        else:
            mass = np.bincount(targets.labels, targets.row_weight, targets.classes)
        return (1 - smoothing) * mass + smoothing * self.total / targets.classes

    @cached_property
    def _class_factor(self) -> Array:
        mass = self.class_mass
        rare = _RARE * mass.mean()
        return np.divide(rare, mass, out=np.ones_like(mass), where=(mass > 0) & (mass < rare))[:, None]

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
        D = self.x.shape[1]
        W = theta[:, :D] / self.scale
        if not self.fit_intercept:
            return W, np.zeros(len(W))
        return W, theta[:, D] - W @ self.mean

    def variables(self, W: Array, b: Array) -> Array:
        """Return Θ for W and b, the inverse of `coefficients`."""
        V = W * self.scale
        return np.column_stack([V, b + W @ self.mean]) if self.fit_intercept else V

    def standardise(self, rows: Any) -> Array:
        """Return dense rows x̃ for rows of X, with a last column of ones for the intercept."""
        dense = rows if isinstance(rows, np.ndarray) else rows.toarray()
        standard = np.ones((len(dense), self.shape[1]), dense.dtype)
        features = standard[:, : len(self.scale)]
        np.subtract(dense, self.mean.astype(dense.dtype), out=features)
        features /= self.scale.astype(dense.dtype)
        return standard

    @property
    def precision(self) -> float:
        """The relative rounding error of the value.

        For float32, only the logits are rounded, independently in every row; for float64, also the sum over the rows.
        """
        eps = float(np.finfo(self.x.dtype).eps)
        return eps if self.x.dtype == np.float32 else 32 * eps

    def value_and_grad(self, theta: Array, *, keep_probs: bool = False) -> tuple[float, Array]:
        """Return f and its gradient in one pass over X, and store the mean cross-entropy in `loss`.

        With `keep_probs` also store the N K probabilities, for `hessian_product`.
        """
        if keep_probs and self._probs is None:
            self._probs = np.empty((self.x.shape[0], len(theta)), self.x.dtype)
        loss, g_W, g_b = _kernels.gradient(
            self.x, *self.coefficients(theta), self.targets, self.spec, self._probs if keep_probs else None
        )
        self.passes += 1
        self.loss = loss / self.total
        of_penalty = self.penalties * theta
        gradient = self._pull_back(g_W, g_b)
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
        h_W, h_b = _kernels.hessian_product(self.x, V, v, self._probs, self.mass)
        return self._pull_back(h_W, h_b) + self.penalties * direction

    def hessian(self, theta: Array) -> Array:
        """Return the exact Hessian in float64 and the order of theta.ravel(), in one pass over X."""
        classes, columns = self.shape
        size = classes * columns
        outer = np.zeros((size, size))
        mass = self.mass
        step = max(16, (1 << 20) // size)
        for start in range(0, self.x.shape[0], step):
            part = slice(start, start + step)
            weighted = np.flatnonzero(mass[part])  # the logits of other rows may overflow
            x = self.standardise(self.x[part][weighted]).astype(np.float64)
            root = np.sqrt(mass[part][weighted] / self.total)[:, None]
            scaled = ((root * softmax(x @ theta.T))[:, :, None] * x[:, None, :]).reshape(len(x), size)
            outer += scaled.T @ scaled
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
