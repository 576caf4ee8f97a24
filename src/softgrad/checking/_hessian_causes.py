"""Mistakes in the Hessian of the cross-entropy with respect to the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from softgrad.checking import _formulas as formulas
from softgrad.checking._cause import Cause, code
from softgrad.checking._matrix_causes import matrix_causes, one_minus_z, twice
from softgrad.checking._probability_causes import probability_causes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]

_HESSIAN_LINE = code(
    "J = p[:, :, None] * np.eye(C) - p[:, :, None] * p[:, None, :]", "H = y.sum(axis=1)[:, None, None] * J"
)


def _weighted(matrices: Array, probe: Probe) -> Array:
    """The Hessian's factor, times a matrix."""
    return probe.share * probe.mass[:, :, None] * matrices


def _doubled_diagonal(probe: Probe) -> Array:
    p = probe.probs
    return probe.share * 2 * probe.mass * p * (1 - p)


UNWEIGHTED = Cause(
    "factor Σy forgotten",
    "The result is Diag(p) − p pᵀ, which is the Hessian where the target sums to one. Rows may sum to Σy ≠ 1, "
    "and the Hessian is Σy times as large.",
    _HESSIAN_LINE,
    (lambda probe: probe.share * formulas.softmax_jacobian(probe.probs, probe),),
    targets=("probabilities",),
)

HESSIAN = (
    *matrix_causes(
        formulas.cross_entropy_hessian, formulas.softmax_jacobian, _HESSIAN_LINE, "∂²ℓ/∂z_j∂z_k = Σy · p_j(δ_jk − p_k)"
    ),
    Cause(
        "2p(1 − p) as the diagonal",
        "The diagonal is 2p(1 − p), as gradient-boosting libraries use for its upper bound on the whole matrix; the "
        "Hessian's own diagonal is p(1 − p).",
        _HESSIAN_LINE,
        (
            _doubled_diagonal,
            lambda probe: formulas.diagonal_matrices(_doubled_diagonal(probe)),
            lambda probe: (
                formulas.cross_entropy_hessian(probe.probs, probe)
                + formulas.diagonal_matrices(_doubled_diagonal(probe)) / 2
            ),
        ),
    ),
    UNWEIGHTED,
    Cause(
        "rows multiplied by the target",
        "Row j is multiplied by y_j. The weight of the whole matrix is the sum Σ_j y_j.",
        _HESSIAN_LINE,
        (
            lambda probe: probe.share * probe.target[:, :, None] * formulas.softmax_jacobian(probe.probs, probe),
            lambda probe: probe.share * probe.target[:, None, :] * formulas.softmax_jacobian(probe.probs, probe),
        ),
    ),
    Cause(
        "outer product of the gradient",
        "The result is g gᵀ with g = Σy p − y. Its average over labels drawn from p is the Hessian (the Fisher "
        "matrix); for given labels it is another matrix.",
        _HESSIAN_LINE,
        (
            lambda probe: (
                probe.share
                * formulas.outer(probe.probs * probe.mass - probe.target, probe.probs * probe.mass - probe.target)
            ),
        ),
    ),
    Cause(
        "derivative with respect to probabilities",
        "The result is y/p² on the diagonal, the second derivative with respect to p. With respect to the logits the "
        "chain rule goes on through softmax.",
        _HESSIAN_LINE,
        (
            lambda probe: probe.share * probe.target / probe.probs**2,
            lambda probe: probe.share * formulas.diagonal_matrices(probe.target / probe.probs**2),
        ),
    ),
    Cause(
        "p(1 − z)",
        "The diagonal is p(1 − z): the logit z stands where the probability p belongs.",
        _HESSIAN_LINE,
        (
            lambda probe: probe.share * probe.mass * probe.probs * (1 - probe.logits),
            lambda probe: _weighted(one_minus_z(False)(probe), probe),
            lambda probe: _weighted(one_minus_z(True)(probe), probe),
        ),
    ),
    Cause(
        "term on the diagonal forgotten",
        "The result is −Σy p pᵀ: the term p_j where j = k (Kronecker's delta) is missing.",
        _HESSIAN_LINE,
        (lambda probe: _weighted(-formulas.outer(probe.probs, probe.probs), probe),),
    ),
    Cause(
        "identity in place of Diag(p)",
        "The result is Σy (I − p pᵀ); the diagonal matrix holds p, not ones.",
        _HESSIAN_LINE,
        (lambda probe: _weighted(np.eye(probe.classes) - formulas.outer(probe.probs, probe.probs), probe),),
    ),
    *probability_causes(
        formulas.cross_entropy_hessian,
        lambda probe: _weighted(twice(formulas.softmax_jacobian)(probe), probe),
        logits_as_probs=(lambda probe: formulas.cross_entropy_hessian(probe.logits, probe),),
    ),
)
