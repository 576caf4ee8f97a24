"""The temperature that makes probabilities agree with how often they are right."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from softgrad import cross_entropy_hvp, cross_entropy_value_and_grad
from softgrad.linear_model._problem._targets import target_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad._targets import Targets

    Array = NDArray[Any]

# Beyond, probabilities are uniform or certain to every digit that anyone reads.
_LEAST, _LARGEST = 1e-3, 1e3


def temperature(logits: Array, targets: Targets) -> float:
    r"""The T > 0 at which Σ s_n CE(z_n / T, y_n) is least, within 1e-3 … 1e3.

    In β = 1/T the sum is convex, with derivatives Σ s_n zᵀ∇CE(βz) and Σ s_n zᵀ∇²CE(βz) z: Newton's method in β,
    bisecting where it would leave the bracket.
    """
    target = target_of(targets)

    def derivatives(beta: float) -> tuple[float, float]:
        _, gradient = cross_entropy_value_and_grad(beta * logits, target, reduction="none")
        curvature = cross_entropy_hvp(beta * logits, target, logits, reduction="none")
        return float(targets.row_weight @ (gradient * logits).sum(axis=1)), float(
            targets.row_weight @ (curvature * logits).sum(axis=1)
        )

    low, high = 1 / _LARGEST, 1 / _LEAST
    if derivatives(high)[0] <= 0:
        _warn(_LEAST, "is lower the more certain the probabilities: no row, or almost none, is predicted wrongly")
        return _LEAST
    if derivatives(low)[0] >= 0:
        _warn(_LARGEST, "is lower the more uniform the probabilities: the logits say nothing of these labels")
        return _LARGEST
    beta = 1.0
    while True:
        slope, curvature = derivatives(beta)
        low, high = (beta, high) if slope < 0 else (low, beta)
        newton = beta - slope / curvature if curvature > 0 else np.inf
        following = newton if low < newton < high else np.sqrt(low * high)
        if abs(following - beta) <= 1e-12 * beta or slope == 0:
            return 1 / following
        beta = following


def _warn(bound: float, reason: str) -> None:
    warnings.warn(
        f"temperature_ is set to {bound:g}, the end of its range: the loss of these rows {reason}; give rows that the "
        "model was not fitted to, and more of them",
        ConvergenceWarning,
        stacklevel=4,
    )
