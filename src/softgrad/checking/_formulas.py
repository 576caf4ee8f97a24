"""The textbook formulas as functions of the probabilities: with wrong ones they give what a user would get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from softgrad._loss_spec import Reduction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]


def softmax(p: Array, probe: Probe) -> Array:
    """The probabilities themselves."""
    return p


def softmax_jacobian(p: Array, probe: Probe) -> Array:
    """Diag(p) − p pᵀ."""
    return diagonal_matrices(p) - outer(p, p)


def log_softmax_jacobian(p: Array, probe: Probe) -> Array:
    """I − 1 pᵀ."""
    return np.eye(probe.classes) - outer(np.ones_like(p), p)


def softmax_vjp(p: Array, probe: Probe) -> Array:
    """The product p ∘ (v − pᵀv)."""
    v = probe.upstream
    return p * (v - dot(p, v))


def cross_entropy(p: Array, probe: Probe) -> Array:
    """−Σ_j y_j log p_j."""
    # A product 0 · log 0 would be NaN; a user who avoids it gets infinity for y > 0 only.
    return reduced(-np.where(probe.target == 0, 0, probe.target * np.log(p)).sum(axis=1), probe)


def cross_entropy_grad(p: Array, probe: Probe) -> Array:
    """The difference p Σ_j y_j − y."""
    return probe.share * (p * probe.mass - probe.target)


def cross_entropy_hessian(p: Array, probe: Probe) -> Array:
    """(Σ_j y_j) (Diag(p) − p pᵀ)."""
    return probe.share * probe.mass[:, :, None] * softmax_jacobian(p, probe)


def reduced(rows: Array, probe: Probe) -> Array:
    """The rows' losses as one number, or as they are."""
    return rows if probe.spec.reduction is Reduction.none else np.asarray(rows.sum() * probe.share)


def diagonal_matrices(rows: Array) -> Array:
    """Every row as the diagonal of a matrix."""
    return rows[:, :, None] * np.eye(rows.shape[1])


def outer(a: Array, b: Array) -> Array:
    """The matrix a bᵀ of every row."""
    return a[:, :, None] * b[:, None, :]


def dot(a: Array, b: Array) -> Array:
    """The number aᵀb of every row, as a column."""
    column: Array = (a * b).sum(axis=1, keepdims=True)
    return column


def diagonals(matrices: Array) -> Array:
    """The diagonal of every matrix, as a row."""
    rows: Array = np.einsum("bii->bi", matrices)
    return rows
