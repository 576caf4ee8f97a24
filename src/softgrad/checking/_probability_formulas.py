"""The textbook formulas as functions of the probabilities p, which mistakes in softmax replace by wrong ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from softgrad._loss_spec import Reduction

if TYPE_CHECKING:
    from softgrad.checking._batches import Array, Batch


def softmax(p: Array, batch: Batch) -> Array:
    """The probabilities themselves."""
    return p


def softmax_jacobian(p: Array, batch: Batch) -> Array:
    """Diag(p) − p pᵀ."""
    return diagonal_matrices(p) - outer(p, p)


def log_softmax_jacobian(p: Array, batch: Batch) -> Array:
    """I − 1 pᵀ."""
    return np.eye(batch.classes) - outer(np.ones_like(p), p)


def softmax_vjp(p: Array, batch: Batch) -> Array:
    """The product p ∘ (v − pᵀv)."""
    return jacobian_product(p, batch.upstream)


def log_softmax_vjp(p: Array, batch: Batch) -> Array:
    """The product v − p Σv."""
    return log_jacobian_product(p, batch.upstream)


def log_softmax(p: Array, batch: Batch) -> Array:
    """The logarithms of the probabilities."""
    log_p: Array = np.log(p)
    return log_p


def cross_entropy(p: Array, batch: Batch) -> Array:
    """−Σ_j y_j log p_j."""
    # A product 0 · log 0 would be NaN; a user who avoids it gets infinity for y > 0 only.
    return reduced(-np.where(batch.target == 0, 0, batch.target * np.log(p)).sum(axis=1), batch)


def cross_entropy_grad(p: Array, batch: Batch) -> Array:
    """The difference p Σ_j y_j − y."""
    return batch.row_weight * (p * batch.mass - batch.target + z_loss_grad(batch))


def cross_entropy_hessian(p: Array, batch: Batch) -> Array:
    """(Σ_j y_j) (Diag(p) − p pᵀ)."""
    return batch.row_weight * (batch.mass[:, :, None] * softmax_jacobian(p, batch) + z_loss_hessian(batch))


def cross_entropy_hvp(p: Array, batch: Batch) -> Array:
    """(Σ_j y_j) p ∘ (v − pᵀv)."""
    return batch.row_weight * (batch.mass * jacobian_product(p, batch.upstream) + z_loss_hvp(batch))


def z_loss(batch: Batch) -> Array:
    """ζ lse² of every row, zero where it is ignored."""
    rows: Array = (batch.setting.spec.z_loss * batch.kept * batch.lse**2)[:, 0]
    return rows


def z_loss_grad(batch: Batch) -> Array:
    """2ζ lse p."""
    return 2 * batch.setting.spec.z_loss * batch.kept * batch.lse * batch.probs


def z_loss_hessian(batch: Batch) -> Array:
    """2ζ (lse (Diag(p) − p pᵀ) + p pᵀ)."""
    p = batch.probs
    matrices = batch.lse[:, :, None] * softmax_jacobian(p, batch) + outer(p, p)
    return 2 * batch.setting.spec.z_loss * batch.kept[:, :, None] * matrices


def z_loss_hvp(batch: Batch) -> Array:
    """The product of that matrix with v."""
    products: Array = np.einsum("bjk,bk->bj", z_loss_hessian(batch), batch.upstream)
    return products


def jacobian_product(p: Array, v: Array) -> Array:
    """The product of the Jacobian of softmax, which is symmetric, with a vector for every row."""
    return p * (v - dot(p, v))


def log_jacobian_product(p: Array, v: Array) -> Array:
    """The product of the transposed Jacobian of log-softmax with a vector for every row."""
    product: Array = v - p * v.sum(axis=1, keepdims=True)
    return product


def reduced(rows: Array, batch: Batch) -> Array:
    """The losses of the rows, with their z-loss, as one number or as they are."""
    rows = rows + z_loss(batch)
    return rows if batch.setting.spec.reduction is Reduction.none else np.asarray(rows.sum() * batch.row_weight)


def diagonal_matrices(rows: Array) -> Array:
    """Every row as the diagonal of a matrix."""
    return rows[:, :, None] * np.eye(rows.shape[1])


def diagonals(matrices: Array) -> Array:
    """The diagonal of every matrix, as a row."""
    rows: Array = np.einsum("bii->bi", matrices)
    return rows


def outer(a: Array, b: Array) -> Array:
    """The matrix a bᵀ of every row."""
    return a[:, :, None] * b[:, None, :]


def dot(a: Array, b: Array) -> Array:
    """The number aᵀb of every row, as a column."""
    column: Array = (a * b).sum(axis=1, keepdims=True)
    return column
