"""Mistakes in the Jacobians of softmax and log-softmax, and in the Hessian of the cross-entropy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

import softgrad as sg
from softgrad.checking import _probability_formulas as formulas
from softgrad.checking._cause import CODE, DENSE, IF_ONE_HOT, Cause, Formula, code, summed_over_batch
from softgrad.checking._probability_causes import probability_causes

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad.checking._batches import Array, Batch
    from softgrad.checking._probability_causes import FormulaOfProbs


def _blocks(matrices: Array) -> Array:
    """∂(row b, class j)/∂(row c, class k), zero where b ≠ c."""
    blocks: Array = np.einsum("bjk,bc->bjck", matrices, np.eye(len(matrices)))
    return blocks


def _block_diagonal(matrices: Array) -> Array:
    rows, classes, _ = matrices.shape
    return _blocks(matrices).reshape(rows * classes, rows * classes)


def _of_flat_batch(formula: FormulaOfProbs, softmax: Callable[[Array], Array]) -> Formula:
    """The formula applied to the whole batch as if it were one row."""

    def mistaken(batch: Batch) -> Array:
        flat = replace(batch, logits=batch.logits.reshape(1, -1))
        matrix: Array = batch.row_weight * formula(softmax(batch.logits).reshape(1, -1), flat)[0]
        return matrix

    return mistaken


def _matrix_causes(formula: FormulaOfProbs, jacobian: FormulaOfProbs, element: str) -> tuple[Cause, ...]:
    """Mistakes in any such matrix; `jacobian` is the formula without the weight of the target."""

    def exact(batch: Batch) -> Array:
        return formula(batch.probs, batch)

    def diagonal(batch: Batch) -> Array:
        return formulas.diagonals(exact(batch))

    return (
        Cause(
            "only the diagonal",
            "Only the entries j = k are returned. Every output depends on every logit of its row: "
            f"{element}, also for j ≠ k.",
            CODE,
            (
                diagonal,
                lambda batch: formulas.diagonal_matrices(diagonal(batch)),
                lambda batch: diagonal(batch).ravel(),
            ),
        ),
        Cause(
            "wrong sign off the diagonal",
            f"The entries j ≠ k have the opposite sign; the sign before p is minus: {element}.",
            CODE,
            (lambda batch: 2 * formulas.diagonal_matrices(diagonal(batch)) - exact(batch),),
        ),
        Cause(
            "only one triangle filled",
            "The entries on one side of the diagonal are zero: the loop ends at the diagonal, and the other half is "
            "never filled.",
            CODE,
            (lambda batch: np.tril(exact(batch)), lambda batch: np.triu(exact(batch))),
        ),
        Cause(
            "Jacobian summed over its rows",
            "The matrices are summed over one of their indices, which leaves a row of C numbers for each. A backward "
            "pass from the sum of all outputs gives that, and for softmax it is zero.",
            f"{CODE}\nwith autograd: one backward pass for each output",
            (lambda batch: exact(batch).sum(axis=1), lambda batch: exact(batch).sum(axis=2)),
        ),
        summed_over_batch(
            exact,
            "The result is one matrix for the whole batch, the sum or mean of the matrices of the rows; expected one "
            "for each row.",
            CODE,
        ),
        Cause(
            "batch flattened",
            "The batch is treated as one vector of B·C numbers, which gives one (B·C × B·C) matrix. Rows do not depend "
            "on each other: only the B blocks of C × C on its diagonal can differ from zero.",
            CODE,
            (
                lambda batch: _block_diagonal(exact(batch)),
                _of_flat_batch(jacobian, sg.softmax),
                _of_flat_batch(jacobian, lambda z: sg.softmax(z, axis=None)),
            ),
        ),
        Cause(
            "derivatives across rows kept",
            "The result has the shape (B, C, B, C): every row by every row. Rows do not depend on each other; only the "
            "blocks of equal rows differ from zero.",
            code('np.einsum("bjbk->bjk", jacobian)') + "\nor map over the rows: torch.func.vmap, jax.vmap",
            (lambda batch: _blocks(exact(batch)),),
        ),
        Cause(
            "right numbers in another shape",
            "All numbers are right, but the axes are not (B, C, C): row, output, logit.",
            "reshape or move the axes to (B, C, C); keep the batch axis also where B = 1",
            (
                lambda batch: np.moveaxis(exact(batch), 0, -1),
                lambda batch: exact(batch).reshape(batch.rows, -1),
                lambda batch: exact(batch).reshape(-1, batch.classes),
                lambda batch: np.squeeze(exact(batch)),
                lambda batch: exact(batch)[..., None],
                lambda batch: exact(batch)[None],
            ),
        ),
    )


def _softmax_twice(formula: FormulaOfProbs) -> Formula:
    """The derivative through two softmaxes, by the chain rule: at softmax(p), times the Jacobian of the first one."""
    return lambda batch: formula(sg.softmax(batch.probs), batch) @ formulas.softmax_jacobian(batch.probs, batch)


def _z_for_p(weighted: FormulaOfProbs) -> Cause:
    """The logit for the second p of Diag(p) − p pᵀ, times a weight: in the Jacobian of softmax, or the Hessian."""

    def z_for_p(batch: Batch) -> Array:
        return weighted(formulas.diagonal_matrices(batch.probs * (1 - batch.logits)), batch)

    def minus_outer(batch: Batch) -> Array:
        return weighted(-formulas.outer(batch.probs, batch.probs), batch)

    return Cause(
        "p(1 − z)",
        "The diagonal is p(1 − z): the logit z stands where the probability p belongs.",
        CODE,
        (
            lambda batch: formulas.diagonals(z_for_p(batch)),
            z_for_p,
            lambda batch: z_for_p(batch) + minus_outer(batch) * (1 - np.eye(batch.classes)),
        ),
    )


def _without_outer(weighted: FormulaOfProbs) -> Cause:
    """Another product than p pᵀ, times a weight: in the Jacobian of softmax, or the Hessian."""

    def elementwise(batch: Batch) -> Array:
        return weighted(formulas.diagonal_matrices(batch.probs) - (batch.probs**2)[:, None, :], batch)

    def dot(batch: Batch) -> Array:
        square = formulas.dot(batch.probs, batch.probs)
        return weighted(formulas.diagonal_matrices(batch.probs) - square[:, :, None], batch)

    return Cause(
        "p∘p or pᵀp in place of p pᵀ",
        "The second term is the product p * p or np.dot(p, p) of vectors; p pᵀ is their outer product, a matrix.",
        CODE,
        (elementwise, dot),
    )


SOFTMAX_JACOBIAN = (
    *_matrix_causes(formulas.softmax_jacobian, formulas.softmax_jacobian, "∂p_j/∂z_k = p_j(δ_jk − p_k)"),
    _z_for_p(lambda matrices, batch: matrices),
    _without_outer(lambda matrices, batch: matrices),
    Cause(
        "p_j(1 − p_k) in every entry",
        "The formula of the diagonal is used for all entries. The 1 is Kronecker's delta, 0 where j ≠ k.",
        CODE,
        (
            lambda batch: formulas.outer(batch.probs, 1 - batch.probs),
            lambda batch: formulas.outer(1 - batch.probs, batch.probs),
        ),
    ),
    Cause(
        "derivative of log-softmax",
        "The result is I − 1 pᵀ, the Jacobian of log-softmax; that of softmax has another factor p_j.",
        f"multiply row j by p_j:\n{CODE}",
        (lambda batch: formulas.log_softmax_jacobian(batch.probs, batch),),
    ),
    *probability_causes(
        formulas.softmax_jacobian,
        _softmax_twice(formulas.softmax_jacobian),
        logits_as_probs=(
            lambda batch: formulas.softmax_jacobian(batch.logits, batch),
            lambda batch: batch.logits * (1 - batch.logits),
            lambda batch: formulas.diagonal_matrices(batch.logits * (1 - batch.logits)),
        ),
    ),
)

LOG_SOFTMAX_JACOBIAN = (
    *_matrix_causes(formulas.log_softmax_jacobian, formulas.log_softmax_jacobian, "∂log p_j/∂z_k = δ_jk − p_k"),
    Cause(
        "log-softmax Jacobian transposed",
        "The result is I − p 1ᵀ. Entry [j, k] is ∂log p_j/∂z_k = δ_jk − p_k: p varies along the columns. "
        "(The Jacobian of softmax is symmetric and does not show this; this one is not.)",
        CODE,
        (lambda batch: np.swapaxes(formulas.log_softmax_jacobian(batch.probs, batch), 1, 2),),
    ),
    Cause(
        "derivative of softmax",
        "The result is Diag(p) − p pᵀ, the Jacobian of softmax. Its row j divided by p_j is that of log-softmax.",
        CODE,
        (lambda batch: formulas.softmax_jacobian(batch.probs, batch),),
    ),
    Cause(
        "derivative of the logarithm alone",
        "The result is 1/p on the diagonal, the gradient with respect to probabilities: the other factor of the chain "
        "rule, the Jacobian of softmax, is missing.",
        CODE,
        (lambda batch: 1 / batch.probs, lambda batch: formulas.diagonal_matrices(1 / batch.probs)),
    ),
    Cause(
        "division by an underflowed probability",
        "The Jacobian of softmax is divided by p; where a probability is stored as 0, 0/0 is NaN. The quotient is "
        "δ_jk − p_k, without any division.",
        CODE,
        (lambda batch: formulas.softmax_jacobian(batch.probs, batch) / batch.probs[:, :, None],),
    ),
    Cause(
        "1 − p_k in every entry",
        "The formula of the diagonal is used for all entries. The 1 is Kronecker's delta, 0 where j ≠ k.",
        CODE,
        (lambda batch: 1 - formulas.outer(np.ones_like(batch.probs), batch.probs),),
    ),
    *probability_causes(
        formulas.log_softmax_jacobian,
        _softmax_twice(formulas.log_softmax_jacobian),
        logits_as_probs=(lambda batch: formulas.log_softmax_jacobian(batch.logits, batch),),
    ),
)


def _weighted(matrices: Array, batch: Batch) -> Array:
    """The weight of the target in the Hessian, times a matrix."""
    return batch.row_weight * (batch.mass[:, :, None] * matrices + formulas.z_loss_hessian(batch))


def _boosting_diagonal(batch: Batch) -> Array:
    return batch.row_weight * 2 * batch.mass * batch.probs * (1 - batch.probs)


def _outer_product_of_gradient(batch: Batch) -> Array:
    gradient = batch.probs * batch.mass - batch.target
    return batch.row_weight * formulas.outer(gradient, gradient)


HESSIAN_UNWEIGHTED = Cause(
    "factor Σy forgotten",
    "The result is Diag(p) − p pᵀ, which is the Hessian where the target sums to one. Rows may sum to Σy ≠ 1, "
    "and the Hessian is Σy times as large.",
    f"{CODE}\n{IF_ONE_HOT}",
    (lambda batch: batch.row_weight * formulas.softmax_jacobian(batch.probs, batch),),
    targets=DENSE,
)

CROSS_ENTROPY_HESSIAN = (
    *_matrix_causes(formulas.cross_entropy_hessian, formulas.softmax_jacobian, "∂²ℓ/∂z_j∂z_k = Σy · p_j(δ_jk − p_k)"),
    Cause(
        "2p(1 − p) as the diagonal",
        "The diagonal is 2p(1 − p), which gradient-boosting libraries use as an upper bound on the whole matrix; the "
        "diagonal of the Hessian is p(1 − p).",
        CODE,
        (
            _boosting_diagonal,
            lambda batch: formulas.diagonal_matrices(_boosting_diagonal(batch)),
            lambda batch: (
                formulas.cross_entropy_hessian(batch.probs, batch)
                + formulas.diagonal_matrices(_boosting_diagonal(batch)) / 2
            ),
        ),
    ),
    HESSIAN_UNWEIGHTED,
    Cause(
        "rows multiplied by the target",
        "Row j is multiplied by y_j. The weight of the whole matrix is the sum Σ_j y_j.",
        CODE,
        (
            lambda batch: batch.row_weight * batch.target[:, :, None] * formulas.softmax_jacobian(batch.probs, batch),
            lambda batch: batch.row_weight * batch.target[:, None, :] * formulas.softmax_jacobian(batch.probs, batch),
        ),
    ),
    Cause(
        "outer product of the gradient",
        "The result is g gᵀ with g = Σy p − y. Its average over labels drawn from p is the Hessian (the Fisher "
        "matrix); for given labels it is another matrix.",
        CODE,
        (_outer_product_of_gradient,),
    ),
    Cause(
        "derivative with respect to probabilities",
        "The result is y/p² on the diagonal, the second derivative with respect to p. The chain rule through softmax "
        "is missing.",
        CODE,
        (
            lambda batch: batch.row_weight * batch.target / batch.probs**2,
            lambda batch: batch.row_weight * formulas.diagonal_matrices(batch.target / batch.probs**2),
        ),
    ),
    _z_for_p(_weighted),
    _without_outer(_weighted),
    *probability_causes(
        formulas.cross_entropy_hessian,
        lambda batch: _weighted(_softmax_twice(formulas.softmax_jacobian)(batch), batch),
        logits_as_probs=(lambda batch: formulas.cross_entropy_hessian(batch.logits, batch),),
    ),
)
