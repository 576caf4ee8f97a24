"""The functions that can be checked: how each is called, its exact result, and the known mistakes in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np

import softgrad as sg
from softgrad.checking import _gradient_causes, _loss_causes, _matrix_causes, _properties, _softmax_causes
from softgrad.checking._cause import GRADIENT_NEGATED, LOSS_NEGATED, NEGATED, REDUCTIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad._loss_spec import ReductionName
    from softgrad.checking._batches import Argument, Array, Batch
    from softgrad.checking._cause import Cause, Factor, Formula
    from softgrad.checking._properties import Property

Kind = Literal[
    "softmax",
    "softmax-jacobian",
    "log-softmax-jacobian",
    "softmax-vjp",
    "cross-entropy",
    "cross-entropy-grad",
    "cross-entropy-hessian",
]


class Reference(NamedTuple):
    """The exact function that a user's function is compared with."""

    kind: Kind
    stage: Literal["value", "derivative"]
    arguments: tuple[Argument, ...]
    exact: Formula
    magnitude: Factor  # of the terms whose sum the result is: errors are relative to it
    causes: tuple[Cause, ...]
    properties: tuple[Property, ...]
    unweighted: Cause | None = None  # the formula that takes Σ_j y_j as 1
    loss: Reference | None = None  # which the function may return before its result, as a pair

    def inputs(self, batch: Batch) -> tuple[NDArray[Any], ...]:
        """Copy the arguments of a call, which the function may overwrite."""
        return tuple(batch.argument(name).copy() for name in self.arguments)


def _unit(batch: Batch) -> float:
    return 1.0


def _largest_weight(batch: Batch) -> float:
    return float(batch.mass.max()) * batch.row_weight


def _reduction(batch: Batch) -> ReductionName:
    return cast("ReductionName", batch.spec.reduction.name)


def _loss(batch: Batch) -> Array:
    return np.asarray(sg.cross_entropy(batch.logits, batch.argument("target"), reduction=_reduction(batch)))


def _gradient(batch: Batch) -> Array:
    return sg.cross_entropy_grad(batch.logits, batch.argument("target"), reduction=_reduction(batch))


def _hessian(batch: Batch) -> Array:
    return sg.cross_entropy_hessian(batch.logits, batch.argument("target"), reduction=_reduction(batch)).to_dense()


SOFTMAX = Reference(
    "softmax", "value", ("z",), lambda batch: batch.probs, _unit, _softmax_causes.SOFTMAX, _properties.SOFTMAX
)
SOFTMAX_JACOBIAN = Reference(
    "softmax-jacobian",
    "derivative",
    ("z",),
    lambda batch: sg.softmax_jacobian(batch.logits).to_dense(),
    _unit,
    (*_matrix_causes.SOFTMAX_JACOBIAN, NEGATED),
    _properties.SOFTMAX_JACOBIAN,
)
LOG_SOFTMAX_JACOBIAN = Reference(
    "log-softmax-jacobian",
    "derivative",
    ("z",),
    lambda batch: sg.log_softmax_jacobian(batch.logits).to_dense(),
    _unit,
    (*_matrix_causes.LOG_SOFTMAX_JACOBIAN, NEGATED),
    _properties.LOG_SOFTMAX_JACOBIAN,
)
SOFTMAX_VJP = Reference(
    "softmax-vjp",
    "derivative",
    ("z", "v"),
    lambda batch: sg.softmax_jacobian(batch.logits).T @ batch.upstream,
    lambda batch: float(np.abs(batch.upstream).max()),
    (*_softmax_causes.SOFTMAX_VJP, NEGATED),
    _properties.SOFTMAX_VJP,
)
CROSS_ENTROPY = Reference(
    "cross-entropy",
    "value",
    ("z", "target"),
    _loss,
    lambda batch: max(_largest_weight(batch), float(np.abs(batch.result(_loss)).max())),
    (*_loss_causes.CROSS_ENTROPY, LOSS_NEGATED, *REDUCTIONS),
    _properties.CROSS_ENTROPY,
)
CROSS_ENTROPY_GRAD = Reference(
    "cross-entropy-grad",
    "derivative",
    ("z", "target"),
    _gradient,
    _largest_weight,
    (*_gradient_causes.CROSS_ENTROPY_GRAD, GRADIENT_NEGATED, *REDUCTIONS),
    _properties.CROSS_ENTROPY_GRAD,
    _gradient_causes.UNWEIGHTED,
    CROSS_ENTROPY,
)
CROSS_ENTROPY_HESSIAN = Reference(
    "cross-entropy-hessian",
    "derivative",
    ("z", "target"),
    _hessian,
    _largest_weight,
    (*_matrix_causes.CROSS_ENTROPY_HESSIAN, NEGATED, *REDUCTIONS),
    _properties.CROSS_ENTROPY_HESSIAN,
    _matrix_causes.HESSIAN_UNWEIGHTED,
)
REFERENCES = (
    SOFTMAX,
    SOFTMAX_JACOBIAN,
    LOG_SOFTMAX_JACOBIAN,
    SOFTMAX_VJP,
    CROSS_ENTROPY,
    CROSS_ENTROPY_GRAD,
    CROSS_ENTROPY_HESSIAN,
)
