"""Mistakes in the Jacobians of softmax and of log-softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from softgrad.checking import _formulas as formulas
from softgrad.checking._cause import Cause, code
from softgrad.checking._matrix_causes import matrix_causes, one_minus_z, twice
from softgrad.checking._probability_causes import probability_causes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_JACOBIAN_LINE = code("J = p[:, :, None] * np.eye(C) - p[:, :, None] * p[:, None, :]")
_LOG_JACOBIAN_LINE = code("L = np.eye(C) - np.broadcast_to(p[:, None, :], (B, C, C))")

_AVERAGED = Cause(
    "divided by the batch size",
    "Every matrix is divided by B. The derivative of a row's output does not depend on how many rows there are.",
    "no mean over the batch",
    (lambda probe: formulas.softmax_jacobian(probe.probs, probe) / probe.rows,),
)

SOFTMAX_JACOBIAN = (
    *matrix_causes(formulas.softmax_jacobian, formulas.softmax_jacobian, _JACOBIAN_LINE, "∂p_j/∂z_k = p_j(δ_jk − p_k)"),
    _AVERAGED,
    Cause(
        "p(1 − z)",
        "The diagonal is p(1 − z): the logit z stands where the probability p belongs.",
        _JACOBIAN_LINE,
        (lambda probe: probe.probs * (1 - probe.logits), one_minus_z(False), one_minus_z(True)),
    ),
    Cause(
        "term on the diagonal forgotten",
        "The result is −p pᵀ: the term p_j where j = k (Kronecker's delta) is missing.",
        _JACOBIAN_LINE,
        (lambda probe: -formulas.outer(probe.probs, probe.probs),),
    ),
    Cause(
        "p_j(1 − p_k) in every entry",
        "The formula of the diagonal is used for all entries. The 1 is Kronecker's delta, 0 where j ≠ k.",
        _JACOBIAN_LINE,
        (
            lambda probe: formulas.outer(probe.probs, 1 - probe.probs),
            lambda probe: formulas.outer(1 - probe.probs, probe.probs),
        ),
    ),
    Cause(
        "identity in place of Diag(p)",
        "The result is I − p pᵀ; the diagonal matrix holds p, not ones.",
        _JACOBIAN_LINE,
        (lambda probe: np.eye(probe.classes) - formulas.outer(probe.probs, probe.probs),),
    ),
    Cause(
        "derivative of log-softmax",
        "The result is I − 1 pᵀ, the Jacobian of log-softmax; that of softmax has another factor p_j.",
        f"multiply row j by p_j:\n{_JACOBIAN_LINE}",
        (lambda probe: formulas.log_softmax_jacobian(probe.probs, probe),),
    ),
    *probability_causes(
        formulas.softmax_jacobian,
        twice(formulas.softmax_jacobian),
        logits_as_probs=(
            lambda probe: formulas.softmax_jacobian(probe.logits, probe),
            lambda probe: probe.logits * (1 - probe.logits),
            lambda probe: formulas.diagonal_matrices(probe.logits * (1 - probe.logits)),
        ),
    ),
)

LOG_SOFTMAX_JACOBIAN = (
    *matrix_causes(
        formulas.log_softmax_jacobian, formulas.log_softmax_jacobian, _LOG_JACOBIAN_LINE, "∂log p_j/∂z_k = δ_jk − p_k"
    ),
    Cause(
        "divided by the batch size",
        _AVERAGED.explanation,
        _AVERAGED.advice,
        (lambda probe: formulas.log_softmax_jacobian(probe.probs, probe) / probe.rows,),
    ),
    Cause(
        "log-softmax Jacobian transposed",
        "The result is I − p 1ᵀ. Entry [j, k] is ∂log p_j/∂z_k = δ_jk − p_k: p goes with the column. "
        "(The Jacobian of softmax is symmetric and does not show this; this one is not.)",
        _LOG_JACOBIAN_LINE,
        (lambda probe: np.swapaxes(formulas.log_softmax_jacobian(probe.probs, probe), 1, 2),),
    ),
    Cause(
        "derivative of softmax",
        "The result is Diag(p) − p pᵀ, the Jacobian of softmax. Its row j divided by p_j is that of log-softmax.",
        _LOG_JACOBIAN_LINE,
        (lambda probe: formulas.softmax_jacobian(probe.probs, probe),),
    ),
    Cause(
        "derivative of the logarithm alone",
        "The result is 1/p on the diagonal, the gradient with respect to probabilities: the chain rule's other "
        "factor, the Jacobian of softmax, is missing.",
        _LOG_JACOBIAN_LINE,
        (lambda probe: 1 / probe.probs, lambda probe: formulas.diagonal_matrices(1 / probe.probs)),
    ),
    Cause(
        "division by an underflowed probability",
        "The Jacobian of softmax is divided by p; where a probability is stored as 0, 0/0 is NaN. The quotient is "
        "δ_jk − p_k, without any division.",
        _LOG_JACOBIAN_LINE,
        (lambda probe: formulas.softmax_jacobian(probe.probs, probe) / probe.probs[:, :, None],),
    ),
    Cause(
        "identity forgotten",
        "The result is −1 pᵀ: the 1 where j = k (Kronecker's delta) is missing.",
        _LOG_JACOBIAN_LINE,
        (lambda probe: -formulas.outer(np.ones_like(probe.probs), probe.probs),),
    ),
    Cause(
        "1 − p_k in every entry",
        "The formula of the diagonal is used for all entries. The 1 is Kronecker's delta, 0 where j ≠ k.",
        _LOG_JACOBIAN_LINE,
        (lambda probe: 1 - formulas.outer(np.ones_like(probe.probs), probe.probs),),
    ),
    Cause(
        "p pᵀ in place of 1 pᵀ",
        "The result is I − p pᵀ; all rows of the second matrix are p itself.",
        _LOG_JACOBIAN_LINE,
        (lambda probe: np.eye(probe.classes) - formulas.outer(probe.probs, probe.probs),),
    ),
    *probability_causes(
        formulas.log_softmax_jacobian,
        twice(formulas.log_softmax_jacobian),
        logits_as_probs=(lambda probe: formulas.log_softmax_jacobian(probe.logits, probe),),
    ),
)
