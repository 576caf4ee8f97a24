"""Calls of the compiled kernels: passes over X, and solutions with many Cholesky factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad import _core, _validation
from softgrad.linear_model._problem._design_matrix import buffers, check_values

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.linear_model._problem._rows import LocalRows


def gradient(rows: LocalRows, W: Array, b: Array, probs: Array | None = None) -> Array:
    """Return Σ g_n x_nᵀ, Σ g_n and Σ s_n CE(W x_n + b, y_n), g_n the gradient in the logits, as one vector.

    The softmax of every row of positive weight is written to `probs`, of the dtype of X, if given.
    """
    sums = np.empty(W.size + b.size + 1)
    sum_W, sum_b = split(sums[:-1], W.shape)
    targets = rows.targets
    sums[-1] = _core.linear_head_gradient(
        rows.spec, *buffers(rows.x), rows.leaf_rows, W, b, targets.labels, targets.probabilities, targets.row_weight,
        probs, sum_W, sum_b,
    )  # fmt: skip
    return sums


def hessian_product(rows: LocalRows, V: Array, v: Array, probs: Array) -> Array:
    """Return Σ h_n x_nᵀ and Σ h_n, h = m p ∘ (u − pᵀu), u = V x + v: the Hessian of the summed loss times (V, v)."""
    sums = np.empty(V.size + v.size)
    _core.linear_head_hvp(*buffers(rows.x), rows.leaf_rows, V, v, rows.mass, probs, *split(sums, V.shape))
    return sums


def split(sums: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the parts of a vector that belong to W, of the given shape, and to b."""
    classes, columns = shape
    return sums[: classes * columns].reshape(shape), sums[classes * columns :]


def column_sums(rows: LocalRows, exponent: int, origin: Array) -> Array:
    """Return Σ w (x − origin) and Σ w (x − origin)² of every column of dense rows, w = 2^−exponent s, and check x."""
    sums = np.empty((2, len(origin)))
    weight = np.ldexp(rows.targets.row_weight, -exponent)
    largest = _core.column_sums(_validation.kernel_dtype(rows.dtype), rows.x, rows.leaf_rows, weight, origin, sums)
    check_values(rows.x, sums[0], largest)
    return sums.ravel()


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
