"""One pass over X: the summed gradient of a linear head, or its Hessian times a direction, in one native call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad import _core
from softgrad.linear_model._problem import _design_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets

    Array = NDArray[Any]


def gradient(
    x: Any, W: Array, b: Array, targets: Targets, spec: LossSpec, probs: Array | None = None
) -> tuple[float, Array, Array]:
    """Σ s_n CE(W x_n + b, y_n) and its gradients Σ g_n x_nᵀ, Σ g_n; all in float64.

    The softmax of every row of some weight goes into `probs`, of the dtype of X, if it is given.
    """
    sum_W, sum_b = np.empty(W.shape), np.empty(b.shape)
    loss = _core.linear_head_gradient(
        spec, *_design_matrix.buffers(x), W, b, targets.labels, targets.probabilities, targets.row_weight, probs,
        sum_W, sum_b,
    )  # fmt: skip
    return loss, sum_W, sum_b


def hessian_product(x: Any, V: Array, v: Array, probs: Array, mass: Array) -> tuple[Array, Array]:
    """Σ h_n x_nᵀ and Σ h_n, h = m p ∘ (u − pᵀu), u = V x + v: the Hessian of `gradient`'s sum, times (V, v)."""
    sum_W, sum_b = np.empty(V.shape), np.empty(v.shape)
    _core.linear_head_hvp(*_design_matrix.buffers(x), V, v, mass, probs, sum_W, sum_b)
    return sum_W, sum_b


def weighted_grams(x: Any, rows: Array, weights: Array, mean: Array, scale: Array, intercept: bool) -> Array:
    """Σ_n q_nk x̃_n x̃_nᵀ over some rows, for every column q_k of the weights, (K, D', D'): the upper triangles.

    x̃ = (x − mean)/scale, followed by 1 for an intercept. Of the dtype of X.
    """
    columns = x.shape[1] + intercept
    grams = np.zeros((weights.shape[1], columns, columns), x.dtype)
    _core.weighted_grams(
        *_design_matrix.buffers(x), rows, np.ascontiguousarray(weights), mean.astype(x.dtype),
        (1 / scale).astype(x.dtype), intercept, grams,
    )  # fmt: skip
    return grams
