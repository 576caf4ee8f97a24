"""Whether rows are separable: without a penalty their cross-entropy then has no finite minimum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad._targets import Targets
    from softgrad.linear_model._problem._objective import Objective

    Array = NDArray[Any]

# Up to this many coefficients the search takes the Hessian; beyond, it sees complete separation only.
_DENSE = 1000
# How far rows may fall short, relative to what others gain, along a direction known to few digits.
_SHORT = 1e-3
_STEPS = 4
# A Newton step of fewer logits is one that arrives.
_SETTLED = 1e-3
_CHUNK_ELEMENTS = 1 << 20


def separates(objective: Objective, theta: Array) -> bool:
    r"""Whether a direction U of the coefficients lowers the loss for ever.

    It does if in every row the logits of U are largest at all the classes that the row's target gives a
    probability, and not all equal in every row. Complete separation: Θ itself is such a direction. If only some rows
    are separated (quasi-complete separation), the others keep Θ from it; but there Newton's steps, which settle what
    the others decide in one or two, go on by about one logit each, however small the gradient.
    """
    if objective.spec.label_smoothing > 0:
        return False
    if _lasts(objective, theta, 0.0):
        return True
    if theta.size > _DENSE:
        return False
    for _ in range(_STEPS):
        step = _newton_step(objective, theta)
        if _lasts(objective, step, _SHORT):
            return True
        theta = theta + step
    return False


def _newton_step(objective: Objective, theta: Array) -> Array:
    _, gradient = objective.value_and_grad(theta)
    curvature, axes = np.linalg.eigh(objective.hessian(theta))
    # Shifts common to all classes have no curvature, and columns that repeat one another none but rounding.
    kept = curvature > 1e-13 * curvature[-1]
    step = -(axes[:, kept] / curvature[kept]) @ (axes[:, kept].T @ gradient.ravel())
    return step.reshape(theta.shape)


def _lasts(objective: Objective, direction: Array, short: float) -> bool:
    W, b = objective.coefficients(direction)
    rows = max(1, _CHUNK_ELEMENTS // len(W))
    gain = shortfall = 0.0
    for start in range(0, objective.x.shape[0], rows):
        part = slice(start, start + rows)
        targets = objective.targets.part(part)
        counted = targets.row_weight > 0
        logits = (np.asarray(objective.x[part] @ W.T) + b)[counted]
        if not len(logits):
            continue
        top = logits.max(axis=1)
        gain = max(gain, float((top - logits.min(axis=1)).max()))
        shortfall = max(shortfall, float((top - _least(logits, targets, counted)).max()))
    return gain > _SETTLED and shortfall <= short * gain


def _least(logits: Array, targets: Targets, counted: Array) -> Array:
    """The least logit of every row among the classes that its target gives a probability."""
    if targets.labels is not None:
        return logits[np.arange(len(logits)), targets.labels[counted]]
    return np.where(targets.probabilities[counted] > 0, logits, np.inf).min(axis=1)
