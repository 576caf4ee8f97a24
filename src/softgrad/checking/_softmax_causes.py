"""Mistakes in softmax itself, and in its vector-Jacobian product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import softgrad as sg
from softgrad.checking import _probability_formulas as formulas
from softgrad.checking._cause import CODE, Cause, summed_over_batch, wrong_shape
from softgrad.checking._probability_causes import log_probability_causes, probability_causes

if TYPE_CHECKING:
    from softgrad.checking._batches import Array, Batch


def _vjp(batch: Batch) -> Array:
    return formulas.softmax_vjp(batch.probs, batch)


def _log_vjp(batch: Batch) -> Array:
    return formulas.log_softmax_vjp(batch.probs, batch)


def _vjp_of_softmax_twice(batch: Batch) -> Array:
    return formulas.jacobian_product(batch.probs, formulas.jacobian_product(sg.softmax(batch.probs), batch.upstream))


def _without_maximum(shifted: Array) -> Array:
    log_p: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_p


SOFTMAX = (
    Cause(
        "log-softmax",
        "The result is log p; probabilities are its exponentials.",
        CODE,
        (lambda batch: sg.log_softmax(batch.logits),),
    ),
    Cause(
        "argmax instead of softmax",
        "The largest logit gets 1 and all others 0: a hard choice, whose derivative is zero almost everywhere.",
        CODE,
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

LOG_SOFTMAX = (
    Cause(
        "softmax instead of log-softmax",
        "The result is p, the probabilities; the logarithm is missing.",
        CODE,
        (lambda batch: batch.probs,),
    ),
    Cause(
        "maximum in place of log-sum-exp",
        "The result is z − max z; the logarithm of the sum of the exponentials is still to be subtracted.",
        CODE,
        (lambda batch: batch.logits - batch.logits.max(axis=1, keepdims=True),),
    ),
    Cause(
        "maximum subtracted in one place only",
        "The maximum is subtracted before exp and not outside it, or the other way round: z − m − log Σ exp(z − m) has "
        "it in both places.",
        CODE,
        (
            lambda batch: batch.log_probs + batch.logits.max(axis=1, keepdims=True),
            lambda batch: batch.log_probs - batch.logits.max(axis=1, keepdims=True),
        ),
    ),
    Cause(
        "log(p + eps)",
        "A constant of {parameter} is added to p inside the logarithm: no result is below the logarithm of it.",
        CODE,
        parametric=(lambda batch, eps: np.log(batch.probs + eps),),
        parameter="eps",
    ),
    Cause(
        "probabilities clipped before the logarithm",
        "p is clipped at {parameter} before the logarithm: no result is below the logarithm of it.",
        CODE,
        parametric=(
            lambda batch, eps: np.log(np.maximum(batch.probs, eps)),
            lambda batch, eps: np.log(np.clip(batch.probs, eps, 1 - eps)),
        ),
        parameter="eps",
    ),
    Cause(
        "logarithm of an underflowed probability",
        "The softmax is right, but probabilities below 1e-308 are stored as 0, and log 0 is −inf. The exact logarithm "
        "is finite, and about as large as the logits.",
        CODE,
        (lambda batch: np.log(batch.probs),),
    ),
    Cause(
        "logarithm to another base",
        "The logarithm is to base 2 (bits) or 10; log-softmax is in nats.",
        f"np.log, the natural logarithm:\n{CODE}",
        (lambda batch: batch.log_probs / np.log(2), lambda batch: batch.log_probs / np.log(10)),
    ),
    wrong_shape(lambda batch: batch.log_probs),
    *log_probability_causes(
        formulas.log_softmax,
        lambda batch: formulas.log_softmax(sg.softmax(batch.probs), batch),
        lambda shift: (lambda batch: _without_maximum(shift(batch.logits)),),
    ),
)

SOFTMAX_VJP = (
    Cause(
        "elementwise product where a VJP is needed",
        "The result is v p(1 − p): the upstream gradient times the diagonal of the Jacobian. The product with the "
        "whole Jacobian is needed, because every logit of a row depends on all v_j.",
        CODE,
        (lambda batch: batch.upstream * batch.probs * (1 - batch.probs),),
    ),
    Cause(
        "wrong sign off the diagonal",
        "The Jacobian used has +p_j p_k off its diagonal; the sign is minus.",
        CODE,
        (
            lambda batch: (
                batch.probs * (batch.upstream + formulas.dot(batch.probs, batch.upstream))
                - 2 * batch.upstream * batch.probs**2
            ),
        ),
    ),
    Cause(
        "upstream gradient returned unchanged",
        "The result is v itself: the Jacobian of softmax is taken as the identity.",
        CODE,
        (lambda batch: batch.upstream,),
    ),
    Cause(
        "VJP of log-softmax",
        "The result is v − p Σv, which is the product for log-softmax.",
        CODE,
        (lambda batch: formulas.log_softmax_vjp(batch.probs, batch),),
    ),
    Cause(
        "upstream gradient ignored",
        "The result does not depend on v: it is the Jacobian, or its diagonal p(1 − p).",
        CODE,
        (
            lambda batch: batch.probs * (1 - batch.probs),
            lambda batch: formulas.softmax_jacobian(batch.probs, batch),
        ),
    ),
    Cause(
        "matrix instead of product",
        "The entries of the Jacobian are multiplied by v but not summed: the result is a matrix for each row.",
        CODE,
        (
            lambda batch: batch.upstream[:, :, None] * formulas.softmax_jacobian(batch.probs, batch),
            lambda batch: batch.upstream[:, None, :] * formulas.softmax_jacobian(batch.probs, batch),
        ),
    ),
    summed_over_batch(_vjp, "The products of all rows are summed; expected one for each row.", CODE),
    Cause(
        "p(1 − z)",
        "The result is v p(1 − z): the logit z stands where the probability p belongs, and only the diagonal of the "
        "Jacobian is used.",
        CODE,
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

LOG_SOFTMAX_VJP = (
    Cause(
        "VJP of softmax",
        "The result is p∘(v − pᵀv), which is the product for softmax.",
        CODE,
        (_vjp,),
    ),
    Cause(
        "log-softmax Jacobian transposed",
        "The result is L v = v − pᵀv, the product with the Jacobian itself; the backward pass multiplies by Lᵀ. (The "
        "Jacobian of softmax is symmetric and does not show this; this one is not.)",
        CODE,
        (lambda batch: batch.upstream - formulas.dot(batch.probs, batch.upstream),),
    ),
    Cause(
        "elementwise product where a VJP is needed",
        "The result is v(1 − p): the upstream gradient times the diagonal of the Jacobian. The product with the whole "
        "Jacobian is needed, because every logit of a row depends on all v_j.",
        CODE,
        (lambda batch: batch.upstream * (1 - batch.probs),),
    ),
    Cause(
        "upstream gradient divided by p",
        "The result is v/p, the derivative of the logarithm alone: the Jacobian of softmax is missing.",
        CODE,
        (lambda batch: batch.upstream / batch.probs,),
    ),
    Cause(
        "division by an underflowed probability",
        "v/p is passed through softmax; where a probability is stored as 0, the quotient is infinite or NaN. The "
        "product v − p Σv needs no division.",
        CODE,
        (lambda batch: formulas.jacobian_product(batch.probs, batch.upstream / batch.probs),),
    ),
    summed_over_batch(_log_vjp, "The products of all rows are summed; expected one for each row.", CODE),
    wrong_shape(_log_vjp),
    *probability_causes(
        formulas.log_softmax_vjp,
        lambda batch: formulas.jacobian_product(
            batch.probs, formulas.log_jacobian_product(sg.softmax(batch.probs), batch.upstream)
        ),
        logits_as_probs=(lambda batch: formulas.log_softmax_vjp(batch.logits, batch),),
    ),
)
