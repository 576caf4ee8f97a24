"""Mistakes in softmax itself, and in its vector-Jacobian product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import softgrad as sg
from softgrad.checking import _probability_formulas as formulas
from softgrad.checking._cause import Cause, code, divided_by_batch_size, summed_over_batch, wrong_shape
from softgrad.checking._probability_causes import probability_causes

if TYPE_CHECKING:
    from softgrad.checking._batches import Array, Batch

_VJP_LINE = code("p * (v - (p * v).sum(axis=1, keepdims=True))")


def _vjp(batch: Batch) -> Array:
    return formulas.softmax_vjp(batch.probs, batch)


def _vjp_of_softmax_twice(batch: Batch) -> Array:
    return formulas.jacobian_product(batch.probs, formulas.jacobian_product(sg.softmax(batch.probs), batch.upstream))


SOFTMAX = (
    Cause(
        "log-softmax",
        "The result is log p; probabilities are its exponentials.",
        code("np.exp(log_p)"),
        (lambda batch: sg.log_softmax(batch.logits),),
    ),
    Cause(
        "argmax instead of softmax",
        "The largest logit gets 1 and all others 0: a hard choice, whose derivative is zero almost everywhere.",
        code("e = np.exp(z - z.max(axis=1, keepdims=True))", "p = e / e.sum(axis=1, keepdims=True)"),
        (
            lambda batch: np.eye(batch.classes)[batch.logits.argmax(axis=1)],
            lambda batch: batch.logits.argmax(axis=1).astype(np.float64),
        ),
    ),
    Cause(
        "probabilities clipped",
        "The probabilities are kept above {parameter}, so rows no longer sum to one.",
        "no clipping: softmax never divides by zero once the maximum is subtracted",
        parametric=(
            lambda batch, eps: np.maximum(batch.probs, eps),
            lambda batch, eps: np.clip(batch.probs, eps, 1 - eps),
        ),
        parameter="eps",
    ),
    Cause(
        "a constant added to the probabilities",
        "A constant of {parameter} is added to the probabilities, so rows no longer sum to one.",
        "no constant: softmax never divides by zero once the maximum is subtracted; for logarithms use log-softmax",
        parametric=(lambda batch, eps: batch.probs + eps,),
        parameter="eps",
    ),
    wrong_shape(lambda batch: batch.probs),
    *probability_causes(
        formulas.softmax, lambda batch: sg.softmax(batch.probs), logits_as_probs=(lambda batch: batch.logits,)
    ),
)

SOFTMAX_VJP = (
    Cause(
        "elementwise product where a VJP is needed",
        "The result is v p(1 − p): the upstream gradient times the diagonal of the Jacobian. The product with the "
        "whole Jacobian is needed, because every logit of a row depends on all v_j.",
        _VJP_LINE,
        (lambda batch: batch.upstream * batch.probs * (1 - batch.probs),),
    ),
    Cause(
        "term p(pᵀv) forgotten",
        "The result is p∘v; the part of the Jacobian that couples the classes, −p pᵀ, is missing.",
        _VJP_LINE,
        (lambda batch: batch.probs * batch.upstream,),
    ),
    Cause(
        "factor p forgotten",
        "The result is v − pᵀv; every entry is still to be multiplied by its p.",
        _VJP_LINE,
        (lambda batch: batch.upstream - formulas.dot(batch.probs, batch.upstream),),
    ),
    Cause(
        "wrong sign off the diagonal",
        "The Jacobian used has +p_j p_k off its diagonal (or the result is p∘(v + pᵀv)); the sign is minus.",
        _VJP_LINE,
        (
            lambda batch: batch.probs * (batch.upstream + formulas.dot(batch.probs, batch.upstream)),
            lambda batch: (
                batch.probs * (batch.upstream + formulas.dot(batch.probs, batch.upstream))
                - 2 * batch.upstream * batch.probs**2
            ),
        ),
    ),
    Cause(
        "pᵀv summed over the wrong axis",
        "The sum Σ_j p_j v_j runs over the batch, or over everything (a sum without an axis), instead of over the "
        "classes of each row.",
        _VJP_LINE,
        (
            lambda batch: batch.probs * (batch.upstream - (batch.probs * batch.upstream).sum()),
            lambda batch: batch.probs * (batch.upstream - (batch.probs * batch.upstream).sum(axis=0)),
        ),
    ),
    Cause(
        "sum or mean of v in place of pᵀv",
        "The result is p∘(v − Σv) or p∘(v − mean v); the mean to subtract is weighted by p.",
        _VJP_LINE,
        (
            lambda batch: batch.probs * (batch.upstream - batch.upstream.sum(axis=1, keepdims=True)),
            lambda batch: batch.probs * (batch.upstream - batch.upstream.mean(axis=1, keepdims=True)),
        ),
    ),
    Cause(
        "VJP of log-softmax",
        "The result is v − p Σv, which is the product for log-softmax.",
        _VJP_LINE,
        (lambda batch: batch.upstream - batch.probs * batch.upstream.sum(axis=1, keepdims=True),),
    ),
    Cause(
        "upstream gradient ignored",
        "The result does not depend on v: it is the Jacobian, or its diagonal p(1 − p).",
        _VJP_LINE,
        (
            lambda batch: batch.probs * (1 - batch.probs),
            lambda batch: formulas.softmax_jacobian(batch.probs, batch),
        ),
    ),
    Cause(
        "matrix instead of product",
        "The entries of the Jacobian are multiplied by v but not summed: the result is a matrix for each row.",
        code('np.einsum("bj,bjk->bk", v, J)') + f"\nor without the matrix:\n{_VJP_LINE}",
        (
            lambda batch: batch.upstream[:, :, None] * formulas.softmax_jacobian(batch.probs, batch),
            lambda batch: batch.upstream[:, None, :] * formulas.softmax_jacobian(batch.probs, batch),
        ),
    ),
    summed_over_batch(_vjp, "The products of all rows are summed; expected one for each row.", _VJP_LINE),
    divided_by_batch_size(
        _vjp, "Every entry is divided by B. A mean over the batch is part of the loss, and v contains it.", _VJP_LINE
    ),
    Cause(
        "p(1 − z)",
        "The result is v p(1 − z): the logit z stands where the probability p belongs, and only the diagonal of the "
        "Jacobian is used.",
        _VJP_LINE,
        (lambda batch: batch.upstream * batch.probs * (1 - batch.logits),),
    ),
    wrong_shape(_vjp),
    *probability_causes(
        formulas.softmax_vjp,
        _vjp_of_softmax_twice,
        logits_as_probs=(
            lambda batch: formulas.softmax_vjp(batch.logits, batch),
            lambda batch: batch.upstream * batch.logits * (1 - batch.logits),
        ),
    ),
)
