"""Mistakes that all matrices of derivatives share: the Jacobians of softmax and log-softmax, and the Hessian."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

import softgrad as sg
from softgrad.checking import _formulas as formulas
from softgrad.checking._cause import Cause, code

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]
    Formula = Callable[[Array, Probe], Array]


def _block_diagonal(matrices: Array) -> Array:
    rows, classes, _ = matrices.shape
    return _across_rows(matrices).reshape(rows * classes, rows * classes)


def _across_rows(matrices: Array) -> Array:
    """∂(row b, class j)/∂(row c, class k), zero where b ≠ c."""
    blocks: Array = np.einsum("bjk,bc->bjck", matrices, np.eye(len(matrices)))
    return blocks


def _flat_batch(formula: Formula, probabilities: Callable[[Array], Array]) -> Callable[[Probe], Array]:
    """The formula applied to the whole batch as if it were one row."""

    def imitation(probe: Probe) -> Array:
        flat = replace(probe, logits=probe.logits.reshape(1, -1))
        matrix: Array = probe.share * formula(probabilities(probe.logits).reshape(1, -1), flat)[0]
        return matrix

    return imitation


def matrix_causes(formula: Formula, jacobian: Formula, line: str, element: str) -> tuple[Cause, ...]:
    """What goes wrong in the same way for every such matrix; `jacobian` is the formula without the target's weight."""

    def right(probe: Probe) -> Array:
        return formula(probe.probs, probe)

    def diagonal(probe: Probe) -> Array:
        return formulas.diagonals(right(probe))

    return (
        Cause(
            "only the diagonal",
            f"Only the entries j = k are there. Every output depends on every logit of its row: {element}, also for "
            "j ≠ k.",
            line,
            (
                diagonal,
                lambda probe: formulas.diagonal_matrices(diagonal(probe)),
                lambda probe: diagonal(probe).ravel(),
            ),
        ),
        Cause(
            "wrong sign off the diagonal",
            f"The entries j ≠ k have the opposite sign; there is a minus before p: {element}.",
            line,
            (lambda probe: 2 * formulas.diagonal_matrices(diagonal(probe)) - right(probe),),
        ),
        Cause(
            "only one triangle filled",
            "The entries on one side of the diagonal are zero: the loop ends at the diagonal, and the other half was "
            "never filled.",
            line,
            (lambda probe: np.tril(right(probe)), lambda probe: np.triu(right(probe))),
        ),
        Cause(
            "Jacobian summed over its rows",
            "The matrices are summed over an index of theirs, one row of C numbers is left for each. That is what a "
            "backward pass from the sum of all outputs gives, and for softmax it is zero.",
            f"{line}\nwith autograd: one backward pass for each output",
            (lambda probe: right(probe).sum(axis=1), lambda probe: right(probe).sum(axis=2)),
        ),
        Cause(
            "summed over the batch",
            "There is one matrix for the whole batch, the sum or mean of the rows' matrices; expected one for each "
            "row.",
            line,
            (lambda probe: right(probe).sum(axis=0), lambda probe: right(probe).mean(axis=0)),
        ),
        Cause(
            "batch flattened",
            "The batch is taken as one vector of B·C numbers, which gives one (B·C × B·C) matrix. Rows do not depend "
            "on each other: only the B blocks of C × C on its diagonal can differ from zero.",
            line,
            (
                lambda probe: _block_diagonal(right(probe)),
                _flat_batch(jacobian, sg.softmax),
                _flat_batch(jacobian, lambda z: sg.softmax(z, axis=None)),
            ),
        ),
        Cause(
            "derivatives across rows kept",
            "The result has the shape (B, C, B, C): every row by every row. Rows do not depend on each other; only the "
            "blocks of equal rows differ from zero.",
            code('np.einsum("bjbk->bjk", jacobian)') + "\nor map over the rows: torch.func.vmap, jax.vmap",
            (lambda probe: _across_rows(right(probe)),),
        ),
        Cause(
            "right numbers in another shape",
            "All numbers are right, but the axes are not (B, C, C): row, output, logit.",
            "reshape or move the axes to (B, C, C); keep the batch axis also where B = 1",
            (
                lambda probe: np.moveaxis(right(probe), 0, -1),
                lambda probe: right(probe).reshape(probe.rows, -1),
                lambda probe: right(probe).reshape(-1, probe.classes),
                lambda probe: np.squeeze(right(probe)),
                lambda probe: right(probe)[..., None],
                lambda probe: right(probe)[None],
            ),
        ),
    )


def twice(outer: Formula) -> Callable[[Probe], Array]:
    """By the chain rule: the derivative at softmax(p), times the Jacobian of the first softmax."""

    def imitation(probe: Probe) -> Array:
        return outer(sg.softmax(probe.probs), probe) @ formulas.softmax_jacobian(probe.probs, probe)

    return imitation


def one_minus_z(off_diagonal: bool) -> Callable[[Probe], Array]:
    def imitation(probe: Probe) -> Array:
        p, z = probe.probs, probe.logits
        matrices = formulas.diagonal_matrices(p * (1 - z))
        return matrices - (formulas.outer(p, p) * (1 - np.eye(p.shape[1])) if off_diagonal else 0)

    return imitation
