"""Calls of the compiled kernels: passes over X, and solutions with many Cholesky factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad import _core, _validation
from softgrad.linear_model._problem._design_matrix import buffers
from softgrad.linear_model._problem._leaves import leaf_rows

if TYPE_CHECKING:
    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets
    from softgrad._typing import Array


def gradient(
    x: Any, W: Array, b: Array, targets: Targets, spec: LossSpec, probs: Array | None = None
) -> tuple[float, Array, Array]:
    """Return Σ s_n CE(W x_n + b, y_n) and its gradients Σ g_n x_nᵀ and Σ g_n, in float64.

    The softmax of every row of positive weight is written to `probs`, of the dtype of X, if given.
    """
    sum_W, sum_b = np.empty(W.shape), np.empty(b.shape)
    loss = _core.linear_head_gradient(
        spec, *buffers(x), leaf_rows(x, len(b)), W, b, targets.labels, targets.probabilities, targets.row_weight,
        probs, sum_W, sum_b,
    )  # fmt: skip
    return loss, sum_W, sum_b


def hessian_product(x: Any, V: Array, v: Array, probs: Array, mass: Array) -> tuple[Array, Array]:
    """Return Σ h_n x_nᵀ and Σ h_n, h = m p ∘ (u − pᵀu), u = V x + v: the Hessian of the summed loss times (V, v)."""
    sum_W, sum_b = np.empty(V.shape), np.empty(v.shape)
    _core.linear_head_hvp(*buffers(x), leaf_rows(x, len(v)), V, v, mass, probs, sum_W, sum_b)
    return sum_W, sum_b


def class_weights(x: Any, rows: Array, W: Array, b: Array, mass: Array) -> Array:
    """Return m p (1 − p), p = softmax(W x + b), of some rows of x with the given masses m, in float64."""
    weights = np.empty((len(rows), len(b)))
    _core.class_weights(*buffers(x), rows, np.ascontiguousarray(W), b, mass, weights)
    return weights


def weighted_grams(x: Any, rows: Array, weights: Array, mean: Array, scale: Array, intercept: bool) -> Array:
    """Return the upper triangles of Σ_n q_nk x̃_n x̃_nᵀ over some rows for every column q_k of the weights.

    x̃ = (x − mean)/scale, followed by 1 for an intercept. The result has shape (K, D', D') and the dtype of X.
    """
    columns = x.shape[1] + intercept
    grams = np.zeros((weights.shape[1], columns, columns), x.dtype)
    _core.weighted_grams(
        *buffers(x), rows, np.ascontiguousarray(weights), mean.astype(x.dtype), (1 / scale).astype(x.dtype),
        intercept, grams,
    )  # fmt: skip
    return grams


def cholesky_solve(factors: Array, vectors: Array) -> Array:
    """Return x with Lₖ Lₖᵀ x = vectors[..., k, :] for Cholesky factors with Lₖᵀ in the upper triangle of factors[k].

    They are computed in the dtype of the factors, and returned in float64.
    """
    solution = vectors.astype(factors.dtype, order="C")
    _core.cholesky_solve(_validation.kernel_dtype(factors.dtype), len(factors), factors, solution, factors.shape[-1])
    return solution.astype(np.float64)
