"""Test whether the classes are separable: without a penalty, the cross-entropy then has no finite minimum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from softgrad._targets import Targets
    from softgrad._typing import Array
    from softgrad.linear_model._problem._objective import Objective
    from softgrad.linear_model._problem._rows import LocalRows

# Up to this many coefficients the search uses the Hessian; beyond, it detects complete separation only.
_DENSE = 1000
# Largest shortfall of a row, relative to the gain of others, along a direction known to few digits.
_SHORTFALL = 1e-3
_STEPS = 4
# A Newton step that moves every logit by less has converged.
_SETTLED = 1e-3
_CHUNK_ELEMENTS = 1 << 20


def is_separable(objective: Objective, theta: Array) -> bool:
    r"""Return whether the loss decreases without bound along some direction U of the coefficients.

    That is so if in every row the logits of U are largest at all classes to which the row's target gives
    probability, and in some row not all equal. Under complete separation Θ itself is such a direction. Under
    quasi-complete separation the rows that overlap keep Θ finite in their coefficients, which Newton's method finds
    in one or two steps; after those, its steps are such a direction and grow the logits by about one each, however
    small the gradient.
    """
    if objective.rows.spec.label_smoothing > 0:
        return False
    if _is_unbounded(objective, theta, 0.0):
        return True
    if theta.size > _DENSE:
        return False
    for _ in range(_STEPS):
        step = _newton_step(objective, theta)
        if _is_unbounded(objective, step, _SHORTFALL):
            return True
        theta = theta + step
    return False


def _newton_step(objective: Objective, theta: Array) -> Array:
    _, gradient = objective.value_and_grad(theta)
    eigenvalues, eigenvectors = np.linalg.eigh(objective.hessian(theta))
    # Common shifts of all classes have no curvature, and repeated columns only that of rounding.
    kept = eigenvalues > 1e-13 * eigenvalues[-1]
    step = -(eigenvectors[:, kept] / eigenvalues[kept]) @ (eigenvectors[:, kept].T @ gradient.ravel())
    return step.reshape(theta.shape)


def _is_unbounded(objective: Objective, direction: Array, tolerance: float) -> bool:
    """Return whether the direction satisfies the condition in `is_separable`, up to a relative shortfall."""
    gain, shortfall = objective.rows.largest(_margins, *objective.coefficients(direction))
    return bool(gain > _SETTLED and shortfall <= tolerance * gain)


def _margins(rows: LocalRows, W: Array, b: Array) -> Array:
    """Return the largest difference of two logits of a row, and of its largest from one of a class of its target."""
    step = max(1, _CHUNK_ELEMENTS // len(W))
    gain = shortfall = 0.0
    for start in range(0, rows.shape[0], step):
        part = slice(start, start + step)
        targets = rows.targets.part(part)
        weighted = targets.row_weight > 0
        logits = (np.asarray(rows.x[part] @ W.T) + b)[weighted]
        if not len(logits):
            continue
        top = logits.max(axis=1)
        gain = max(gain, float((top - logits.min(axis=1)).max()))
        shortfall = max(shortfall, float((top - _smallest_target_logit(logits, targets, weighted)).max()))
    return np.array([gain, shortfall])


def _smallest_target_logit(logits: Array, targets: Targets, weighted: Array) -> Array:
    """Return every row's smallest logit of a class to which its target gives probability."""
    if targets.labels is not None:
        return logits[np.arange(len(logits)), targets.labels[weighted]]
    return np.where(targets.probabilities[weighted] > 0, logits, np.inf).min(axis=1)
