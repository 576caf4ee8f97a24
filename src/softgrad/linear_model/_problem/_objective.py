"""The penalised mean cross-entropy of a linear head, in the variables that the solvers work in."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad import softmax
from softgrad._loss_spec import DEFAULT
from softgrad.linear_model._problem import _kernels as _passes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets

    Array = NDArray[Any]


# Classes of less than this part of an equal share of the weight are rare.
_LEAST_SHARE = 0.1


class Objective:
    r"""f(Θ) of Θ = [V, v], the weights of standardised columns and the logits at the mean row.

    .. math:: f(V, v) = \frac1S \Bigl( \sum_n s_n \operatorname{CE}(V \tilde x_n + v,\; y_n)
              + \frac1{2C} \sum_{kd} (V_{kd} / \sigma_d)^2 \Bigr), \quad \tilde x = (x - \bar x) / \sigma

    with S = Σ s_n. That is the user's objective over S, at W = V/σ and b = v − W x̄: X is never standardised in
    memory, W and the gradient are. Without an intercept Θ = V, and the columns are not centred.
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

    @cached_property
    def mass(self) -> Array:
        """s_n Σ_j y_nj, the factor of the softmax's Jacobian in every row's Hessian."""
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
        least = _LEAST_SHARE * mass.mean()
        return np.divide(least, mass, out=np.ones_like(mass), where=(mass > 0) & (mass < least))[:, None]

    def norm(self, gradient: Array) -> float:
        """The largest entry of a gradient, that of a rare class against what the class weighs.

        With an intercept Σ_n s_n p_nk is then Σ_n s_n y_nk to a relative 10 K times the norm, however rare the class.
        """
        return float(np.abs(self._class_factor * gradient).max())

    @property
    def elements(self) -> int:
        """Entries of X that a pass reads."""
        return int(self.x.size if isinstance(self.x, np.ndarray) else self.x.nnz)

    @property
    def penalties(self) -> Array:
        """The penalty's part of the Hessian's diagonal, of the shape of Θ."""
        of_columns = np.append(self.penalty, 0.0) if self.fit_intercept else self.penalty
        return np.broadcast_to(of_columns, self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        """K rows, a column for each of the D features and one for the intercept."""
        return self.targets.classes, self.x.shape[1] + self.fit_intercept

    def coefficients(self, theta: Array) -> tuple[Array, Array]:
        """W and b in the user's units."""
        D = self.x.shape[1]
        W = theta[:, :D] / self.scale
        if not self.fit_intercept:
            return W, np.zeros(len(W))
        return W, theta[:, D] - W @ self.mean

    def variables(self, W: Array, b: Array) -> Array:
        """Θ of W and b: what `coefficients` undoes."""
        V = W * self.scale
        return np.column_stack([V, b + W @ self.mean]) if self.fit_intercept else V

    def standardised(self, rows: Any) -> Array:
        """Dense rows x̃ of rows of X, with a last column of ones for the intercept."""
        dense = rows if isinstance(rows, np.ndarray) else rows.toarray()
        standard = np.ones((len(dense), self.shape[1]), dense.dtype)
        features = standard[:, : len(self.scale)]
        np.subtract(dense, self.mean.astype(dense.dtype), out=features)
        features /= self.scale.astype(dense.dtype)
        return standard

    @property
    def precision(self) -> float:
        """What rounding may add to the value, relative to it.

        Rows of float32 round their logits alone, independently of one another; those of float64 also their sum.
        """
        eps = float(np.finfo(self.x.dtype).eps)
        return eps if self.x.dtype == np.float32 else 32 * eps

    def value_and_grad(self, theta: Array, *, keep_probs: bool = False) -> tuple[float, Array]:
        """F and its gradient, in one pass over X; the mean cross-entropy stays in `loss`.

        With `keep_probs` the probabilities stay as well, N K numbers, for `hessian_product`.
        """
        if keep_probs and self._probs is None:
            self._probs = np.empty((self.x.shape[0], len(theta)), self.x.dtype)
        loss, g_W, g_b = _passes.gradient(
            self.x, *self.coefficients(theta), self.targets, self.spec, self._probs if keep_probs else None
        )
        self.passes += 1
        self.loss = loss / self.total
        return self.loss + self.penalty_at(theta), self._pull_back(g_W, g_b) + self.penalties * theta

    def penalty_at(self, theta: Array) -> float:
        """The part of f that is not cross-entropy."""
        return 0.5 * float(np.vdot(self.penalties * theta, theta))

    def hessian_product(self, direction: Array) -> Array:
        """The Hessian at the last point whose probabilities were kept, times a direction, in one pass over X."""
        assert self._probs is not None
        V, v = self.coefficients(direction)
        self.passes += 1
        h_W, h_b = _passes.hessian_product(self.x, V, v, self._probs, self.mass)
        return self._pull_back(h_W, h_b) + self.penalties * direction

    def hessian(self, theta: Array) -> Array:
        """The exact Hessian, (K D', K D') with D' the columns of Θ, in float64 and the order of theta.ravel()."""
        classes, columns = self.shape
        size = classes * columns
        outer = np.zeros((size, size))
        mass = self.mass
        step = max(16, (1 << 20) // size)
        for start in range(0, self.x.shape[0], step):
            part = slice(start, start + step)
            counted = np.flatnonzero(mass[part])  # the logits of others may overflow
            x = self.standardised(self.x[part][counted]).astype(np.float64)
            root = np.sqrt(mass[part][counted] / self.total)[:, None]
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
        """From (W, b), summed over rows, to Θ and the mean."""
        g_V = (g_W - np.outer(g_b, self.mean)) / (self.scale * self.total)
        return np.column_stack([g_V, g_b / self.total]) if self.fit_intercept else g_V
