"""Mistakes in the gradients of a linear layer whose outputs are the logits of the cross-entropy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from softgrad.checking import _probability_formulas as formulas
from softgrad.checking._cause import CODE, Cause
from softgrad.checking._gradient_causes import CROSS_ENTROPY_GRAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from softgrad.checking._batches import Array, Batch
    from softgrad.checking._cause import Formula

    Product = Callable[[Array, Batch], Array]


def _through(product: Product, formula: Formula) -> Formula:
    def mistaken(batch: Batch) -> Array:
        g = formula(batch)
        # Mistakes that change the shape of the logits have no product: an empty result, which counts as none.
        return product(g, batch) if g.shape == batch.logits.shape else np.zeros(0)

    return mistaken


def _logit_gradient_causes(product: Product) -> Iterator[Cause]:
    """The mistakes in the gradient with respect to the logits, multiplied by the layer's other operand.

    Constants are not searched: the logits' gradient alone shows them in any size.
    """
    for cause in CROSS_ENTROPY_GRAD:
        mistaken = tuple(_through(product, formula) for formula in cause.formulas)
        yield replace(cause, formulas=mistaken, parametric=(), parameter=None)


def _grad(batch: Batch) -> Array:
    return formulas.cross_entropy_grad(batch.probs, batch)


GRAD_X = (
    Cause(
        "gradient with respect to the logits",
        "The result is g, of shape (B, C); the gradient with respect to x is its product with W.",
        CODE,
        (_grad,),
    ),
    *_logit_gradient_causes(lambda g, batch: g @ batch.linear.W),
)
GRAD_W = (
    Cause(
        "not summed over the batch",
        "The result has one matrix for every row; the gradient with respect to W is their sum.",
        CODE,
        (
            lambda batch: np.einsum("bk,bd->bkd", _grad(batch), batch.linear.x),
            lambda batch: np.einsum("bk,bd->bdk", _grad(batch), batch.linear.x),
        ),
    ),
    *_logit_gradient_causes(lambda g, batch: g.T @ batch.linear.x),
)
GRAD_BIAS = (
    Cause(
        "not summed over the batch",
        "The result has one row for every row of the batch; the gradient with respect to the bias is their sum.",
        CODE,
        (_grad,),
    ),
    Cause(
        "summed over the classes",
        "The sum runs over the classes, or over everything (a sum without an axis), instead of over the rows alone.",
        CODE,
        (lambda batch: _grad(batch).sum(axis=1), lambda batch: np.asarray(_grad(batch).sum())),
    ),
    *_logit_gradient_causes(lambda g, batch: g.sum(axis=0)),
)
