"""Mistakes in softmax itself, and in its vector-Jacobian product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import softgrad as sg
from softgrad.checking import _formulas as formulas
from softgrad.checking._cause import Cause, code
from softgrad.checking._probability_causes import probability_causes
from softgrad.checking._shape_causes import reshaped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]

_VJP_LINE = code("p * (v - (p * v).sum(axis=1, keepdims=True))")


def _after_first_softmax(probe: Probe) -> Array:
    p, q = probe.probs, sg.softmax(probe.probs)
    inner = q * (probe.upstream - formulas.dot(q, probe.upstream))
    return p * (inner - formulas.dot(p, inner))


SOFTMAX = (
    Cause(
        "log-softmax",
        "The result is log p; probabilities are its exponentials.",
        code("np.exp(log_p)"),
        (lambda probe: sg.log_softmax(probe.logits),),
    ),
    Cause(
        "argmax instead of softmax",
        "The largest logit gets 1 and all others 0: a hard choice, whose derivative is zero almost everywhere.",
        code("e = np.exp(z - z.max(axis=1, keepdims=True))", "p = e / e.sum(axis=1, keepdims=True)"),
        (
            lambda probe: np.eye(probe.classes)[probe.logits.argmax(axis=1)],
            lambda probe: probe.logits.argmax(axis=1).astype(np.float64),
        ),
    ),
    Cause(
        "probabilities clipped",
        "The probabilities are kept above {parameter}, so rows no longer sum to one.",
        "no clipping: softmax never divides by zero once the maximum is subtracted",
        families=(
            lambda probe, eps: np.maximum(probe.probs, eps),
            lambda probe, eps: np.clip(probe.probs, eps, 1 - eps),
        ),
        parameter="eps",
    ),
    Cause(
        "a constant added to the probabilities",
        "A constant of {parameter} is added to the probabilities, so rows no longer sum to one.",
        "no constant: softmax never divides by zero once the maximum is subtracted; for logarithms use log-softmax",
        families=(lambda probe, eps: probe.probs + eps,),
        parameter="eps",
    ),
    reshaped(lambda probe: probe.probs),
    *probability_causes(
        formulas.softmax,
        lambda probe: sg.softmax(probe.probs),
        logits_as_probs=(lambda probe: probe.logits,),
    ),
)

SOFTMAX_VJP = (
    Cause(
        "elementwise product where a VJP is needed",
        "The result is v p(1 − p): the upstream gradient times the Jacobian's diagonal. The product with the whole "
        "Jacobian is needed, for v_j reaches every logit of the row.",
        _VJP_LINE,
        (lambda probe: probe.upstream * probe.probs * (1 - probe.probs),),
    ),
    Cause(
        "term p(pᵀv) forgotten",
        "The result is p∘v; the part of the Jacobian that couples the classes, −p pᵀ, is missing.",
        _VJP_LINE,
        (lambda probe: probe.probs * probe.upstream,),
    ),
    Cause(
        "factor p forgotten",
        "The result is v − pᵀv; every entry is still to be multiplied by its p.",
        _VJP_LINE,
        (lambda probe: probe.upstream - formulas.dot(probe.probs, probe.upstream),),
    ),
    Cause(
        "wrong sign off the diagonal",
        "The Jacobian in use has +p_j p_k off its diagonal (or the result is p∘(v + pᵀv)); there is a minus.",
        _VJP_LINE,
        (
            lambda probe: probe.probs * (probe.upstream + formulas.dot(probe.probs, probe.upstream)),
            lambda probe: (
                probe.probs * (probe.upstream + formulas.dot(probe.probs, probe.upstream))
                - 2 * probe.upstream * probe.probs**2
            ),
        ),
    ),
    Cause(
        "pᵀv summed over the wrong axis",
        "The sum Σ_j p_j v_j runs over the batch, or over everything (a sum without an axis), rather than over the "
        "classes of each row.",
        _VJP_LINE,
        (
            lambda probe: probe.probs * (probe.upstream - (probe.probs * probe.upstream).sum()),
            lambda probe: probe.probs * (probe.upstream - (probe.probs * probe.upstream).sum(axis=0)),
        ),
    ),
    Cause(
        "sum or mean of v in place of pᵀv",
        "The result is p∘(v − Σv) or p∘(v − mean v); the mean that is subtracted is weighted by p.",
        _VJP_LINE,
        (
            lambda probe: probe.probs * (probe.upstream - probe.upstream.sum(axis=1, keepdims=True)),
            lambda probe: probe.probs * (probe.upstream - probe.upstream.mean(axis=1, keepdims=True)),
        ),
    ),
    Cause(
        "VJP of log-softmax",
        "The result is v − p Σv, which is the product for log-softmax.",
        _VJP_LINE,
        (lambda probe: probe.upstream - probe.probs * probe.upstream.sum(axis=1, keepdims=True),),
    ),
    Cause(
        "upstream gradient ignored",
        "The result does not depend on v: it is the Jacobian, or its diagonal p(1 − p).",
        _VJP_LINE,
        (
            lambda probe: probe.probs * (1 - probe.probs),
            lambda probe: formulas.softmax_jacobian(probe.probs, probe),
        ),
    ),
    Cause(
        "matrix instead of product",
        "The Jacobian's entries are multiplied by v, but not summed: a matrix is left for each row.",
        code('np.einsum("bj,bjk->bk", v, J)') + f"\nor without the matrix:\n{_VJP_LINE}",
        (
            lambda probe: probe.upstream[:, :, None] * formulas.softmax_jacobian(probe.probs, probe),
            lambda probe: probe.upstream[:, None, :] * formulas.softmax_jacobian(probe.probs, probe),
        ),
    ),
    Cause(
        "summed over the batch",
        "The products of all rows are added up; expected one for each row.",
        _VJP_LINE,
        (
            lambda probe: formulas.softmax_vjp(probe.probs, probe).sum(axis=0),
            lambda probe: formulas.softmax_vjp(probe.probs, probe).mean(axis=0),
        ),
    ),
    Cause(
        "divided by the batch size",
        "Every entry is divided by B. A mean over the batch is part of the loss, and v already contains it.",
        _VJP_LINE,
        (lambda probe: formulas.softmax_vjp(probe.probs, probe) / probe.rows,),
    ),
    Cause(
        "p(1 − z)",
        "The result is v p(1 − z): the logit z stands where the probability p belongs, and only the Jacobian's "
        "diagonal is used.",
        _VJP_LINE,
        (lambda probe: probe.upstream * probe.probs * (1 - probe.logits),),
    ),
    reshaped(lambda probe: formulas.softmax_vjp(probe.probs, probe)),
    *probability_causes(
        formulas.softmax_vjp,
        _after_first_softmax,
        logits_as_probs=(
            lambda probe: formulas.softmax_vjp(probe.logits, probe),
            lambda probe: probe.upstream * probe.logits * (1 - probe.logits),
        ),
    ),
)
