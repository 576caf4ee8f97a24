"""Mistakes in the product of the cross-entropy's Hessian with a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import softgrad as sg
from softgrad.checking import _probability_formulas as formulas
from softgrad.checking._cause import CODE, DENSE, IF_ONE_HOT, Cause, summed_over_batch, wrong_shape
from softgrad.checking._probability_causes import probability_causes

if TYPE_CHECKING:
    from softgrad.checking._batches import Array, Batch


def _exact(batch: Batch) -> Array:
    return formulas.cross_entropy_hvp(batch.probs, batch)


def _weighted(product: Array, batch: Batch) -> Array:
    """The product for the softmax's Jacobian as that of the Hessian."""
    return batch.row_weight * (batch.mass * product + formulas.z_loss_hvp(batch))


def _softmax_twice(batch: Batch) -> Array:
    inner = formulas.jacobian_product(batch.probs, batch.upstream)
    return _weighted(formulas.jacobian_product(sg.softmax(batch.probs), inner), batch)


UNWEIGHTED = Cause(
    "factor Σy forgotten",
    "The result is p∘(v − pᵀv), which is the product where the target sums to one. Rows may sum to Σy ≠ 1, and the "
    "Hessian is Σy times as large.",
    f"{CODE}\n{IF_ONE_HOT}",
    (
        lambda batch: (
            batch.row_weight * (formulas.jacobian_product(batch.probs, batch.upstream) + formulas.z_loss_hvp(batch))
        ),
    ),
    targets=DENSE,
)

CROSS_ENTROPY_HVP = (
    UNWEIGHTED,
    Cause(
        "elementwise product where the matrix is needed",
        "The result is v p(1 − p) times Σy: the vector times the diagonal of the Hessian. The product with the whole "
        "matrix is needed.",
        CODE,
        (lambda batch: _weighted(batch.upstream * batch.probs * (1 - batch.probs), batch),),
    ),
    Cause(
        "gradient instead of product",
        "The result is the gradient p Σy − y, or the gradient times v: the vector is multiplied by the second "
        "derivative.",
        CODE,
        (
            lambda batch: formulas.cross_entropy_grad(batch.probs, batch),
            lambda batch: formulas.cross_entropy_grad(batch.probs, batch) * batch.upstream,
        ),
    ),
    Cause(
        "outer product of the gradient",
        "The result is g(gᵀv) with g = Σy p − y. Its average over labels drawn from p is the product with the Hessian; "
        "for given labels it is another vector.",
        CODE,
        (lambda batch: batch.row_weight * formulas.dot(_gradient(batch), batch.upstream) * _gradient(batch),),
    ),
    summed_over_batch(_exact, "The products of all rows are summed; expected one for each row.", CODE),
    wrong_shape(_exact),
    *probability_causes(
        formulas.cross_entropy_hvp,
        _softmax_twice,
        logits_as_probs=(lambda batch: formulas.cross_entropy_hvp(batch.logits, batch),),
    ),
)


def _gradient(batch: Batch) -> Array:
    return batch.probs * batch.mass - batch.target
