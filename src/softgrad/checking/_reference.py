"""The functions that can be checked: how each is called, its exact result, and the known mistakes in it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

import softgrad as sg
from softgrad.checking import (
    _gradient_causes,
    _head_causes,
    _hvp_causes,
    _loss_causes,
    _matrix_causes,
    _properties,
    _softmax_causes,
    _terms,
)
from softgrad.checking._cause import DIVISIONS, GRADIENT_NEGATED, LOSS_NEGATED, MULTIPLES, NEGATED, REDUCTIONS, SCALES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.checking._batches import Argument, Array, Batch
    from softgrad.checking._cause import Cause, Factor, Formula
    from softgrad.checking._properties import Property
    from softgrad.checking._setting import Setting
    from softgrad.checking._terms import TermSum

Kind = Literal[
    "softmax",
    "log-softmax",
    "softmax-jacobian",
    "log-softmax-jacobian",
    "softmax-vjp",
    "log-softmax-vjp",
    "cross-entropy",
    "cross-entropy-grad",
    "cross-entropy-hessian",
    "cross-entropy-hvp",
    "linear-cross-entropy-grad",
]

StageName = Literal["shape and dtype", "value", "derivative", "dx", "dW", "dbias", "large logits"]


class Reference(NamedTuple):
    """The exact function that a user's function is compared with."""

    kind: Kind
    stage: StageName
    arguments: tuple[Argument, ...]
    exact: Formula
    magnitude: Factor  # of the terms whose sum the result is: errors are relative to it
    causes: tuple[Cause, ...]
    formulas: tuple[TermSum, ...]  # from whose terms further mistakes are generated
    properties: tuple[Property, ...] = ()
    unweighted: Cause | None = None  # the formula that takes Σ_j y_j as 1
    loss: Reference | None = None  # which the function may return before its result, as a pair
    parts: tuple[Reference, ...] = ()  # of a function that returns a tuple

    def inputs(self, batch: Batch) -> tuple[NDArray[Any], ...]:
        """Copy the arguments of a call, which the function may overwrite."""
        return tuple(batch.argument(name).copy() for name in self.arguments)

    def names(self, setting: Setting) -> tuple[str, ...]:
        """The names of the arguments, in reports."""
        return tuple("p" if name == "z" and not setting.from_logits else name for name in self.arguments)

    @property
    def is_loss(self) -> bool:
        """Whether the options of the loss apply."""
        return "target" in self.arguments


def _unit(batch: Batch) -> float:
    return 1.0


def _largest_weight(batch: Batch) -> float:
    z_loss = 2 * batch.setting.spec.z_loss * float(np.abs(batch.lse).max())
    return (float(batch.mass.max()) + z_loss) * batch.row_weight


def _largest_upstream(batch: Batch) -> float:
    return float(np.abs(batch.upstream).max())


def _options(batch: Batch) -> dict[str, Any]:
    spec, weight = batch.setting.spec, batch.setting.class_weight
    options = {field.name: getattr(spec, field.name) for field in fields(spec)}
    return options | {"reduction": spec.reduction.name, "weight": None if weight is None else np.array(weight)}


def _loss(batch: Batch) -> Array:
    return np.asarray(sg.cross_entropy(batch.logits, batch.given, **_options(batch)))


def _gradient(batch: Batch) -> Array:
    return sg.cross_entropy_grad(batch.logits, batch.given, **_options(batch))


def _hessian(batch: Batch) -> Array:
    return sg.cross_entropy_hessian(batch.logits, batch.given, **_options(batch)).to_dense()


def _hvp(batch: Batch) -> Array:
    return sg.cross_entropy_hvp(batch.logits, batch.given, batch.upstream, **_options(batch))


def _head_gradient(name: Literal["x", "W", "bias"]) -> Formula:
    def gradient(batch: Batch) -> Array:
        x, W, bias = batch.linear
        _, gradients = sg.linear_cross_entropy_value_and_grad(x, W, batch.given, bias=bias, **_options(batch))
        array: Array = getattr(gradients, name)
        return array

    return gradient


def _head_magnitude(operand: Literal["x", "W"] | None, *, is_summed: bool) -> Factor:
    def magnitude(batch: Batch) -> float:
        largest = 1.0 if operand is None else float(np.abs(getattr(batch.linear, operand)).max())
        return _largest_weight(batch) * largest * (batch.rows if is_summed else 1)

    return magnitude


_PLAIN = (NEGATED, *SCALES, *DIVISIONS, *MULTIPLES)

SOFTMAX = Reference(
    "softmax",
    "value",
    ("z",),
    lambda batch: batch.probs,
    _unit,
    (*_softmax_causes.SOFTMAX, *_PLAIN),
    (_terms.SOFTMAX,),
    _properties.SOFTMAX,
)
LOG_SOFTMAX = Reference(
    "log-softmax",
    "value",
    ("z",),
    lambda batch: batch.log_probs,
    lambda batch: max(1.0, float(np.abs(batch.log_probs).max())),
    (*_softmax_causes.LOG_SOFTMAX, *_PLAIN),
    (_terms.LOG_SOFTMAX,),
    _properties.LOG_SOFTMAX,
)
SOFTMAX_JACOBIAN = Reference(
    "softmax-jacobian",
    "derivative",
    ("z",),
    lambda batch: sg.softmax_jacobian(batch.logits).to_dense(),
    _unit,
    (*_matrix_causes.SOFTMAX_JACOBIAN, *_PLAIN),
    (_terms.SOFTMAX_JACOBIAN,),
    _properties.SOFTMAX_JACOBIAN,
)
LOG_SOFTMAX_JACOBIAN = Reference(
    "log-softmax-jacobian",
    "derivative",
    ("z",),
    lambda batch: sg.log_softmax_jacobian(batch.logits).to_dense(),
    _unit,
    (*_matrix_causes.LOG_SOFTMAX_JACOBIAN, *_PLAIN),
    (_terms.LOG_SOFTMAX_JACOBIAN,),
    _properties.LOG_SOFTMAX_JACOBIAN,
)
SOFTMAX_VJP = Reference(
    "softmax-vjp",
    "derivative",
    ("z", "v"),
    lambda batch: sg.softmax_jacobian(batch.logits).T @ batch.upstream,
    _largest_upstream,
    (*_softmax_causes.SOFTMAX_VJP, *_PLAIN),
    (_terms.SOFTMAX_VJP,),
    _properties.SOFTMAX_VJP,
)
LOG_SOFTMAX_VJP = Reference(
    "log-softmax-vjp",
    "derivative",
    ("z", "v"),
    lambda batch: sg.log_softmax_jacobian(batch.logits).T @ batch.upstream,
    lambda batch: _largest_upstream(batch) * batch.classes,
    (*_softmax_causes.LOG_SOFTMAX_VJP, *_PLAIN),
    (_terms.LOG_SOFTMAX_VJP,),
    _properties.SOFTMAX_VJP,
)
CROSS_ENTROPY = Reference(
    "cross-entropy",
    "value",
    ("z", "target"),
    _loss,
    lambda batch: max(_largest_weight(batch), float(np.abs(batch.result(_loss)).max())),
    (*_loss_causes.CROSS_ENTROPY, LOSS_NEGATED, *REDUCTIONS, *SCALES, *MULTIPLES),
    (_terms.CROSS_ENTROPY, _terms.CROSS_ENTROPY_OF_LOG_PROBS),
    _properties.CROSS_ENTROPY,
)
CROSS_ENTROPY_GRAD = Reference(
    "cross-entropy-grad",
    "derivative",
    ("z", "target"),
    _gradient,
    _largest_weight,
    (*_gradient_causes.CROSS_ENTROPY_GRAD, GRADIENT_NEGATED, *REDUCTIONS, *SCALES, *MULTIPLES),
    (_terms.CROSS_ENTROPY_GRAD,),
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
    (*_matrix_causes.CROSS_ENTROPY_HESSIAN, NEGATED, *REDUCTIONS, *SCALES, *MULTIPLES),
    (_terms.CROSS_ENTROPY_HESSIAN,),
    _properties.CROSS_ENTROPY_HESSIAN,
    _matrix_causes.HESSIAN_UNWEIGHTED,
)
CROSS_ENTROPY_HVP = Reference(
    "cross-entropy-hvp",
    "derivative",
    ("z", "target", "v"),
    _hvp,
    lambda batch: _largest_weight(batch) * _largest_upstream(batch),
    (*_hvp_causes.CROSS_ENTROPY_HVP, NEGATED, *REDUCTIONS, *SCALES, *MULTIPLES),
    (_terms.CROSS_ENTROPY_HVP,),
    _properties.CROSS_ENTROPY_HVP,
    _hvp_causes.UNWEIGHTED,
)


def _head_part(
    stage: StageName, exact: Formula, magnitude: Factor, causes: tuple[Cause, ...], terms: TermSum
) -> Reference:
    return Reference(
        "linear-cross-entropy-grad",
        stage,
        ("x", "W", "bias", "target"),
        exact,
        magnitude,
        (*causes, GRADIENT_NEGATED, *REDUCTIONS, *SCALES, *MULTIPLES),
        (terms,),
        unweighted=_gradient_causes.UNWEIGHTED,
    )


_GRAD_X = _head_part(
    "dx",
    _head_gradient("x"),
    _head_magnitude("W", is_summed=False),
    _head_causes.GRAD_X,
    _terms.GRAD_X,
)
_GRAD_W = _head_part(
    "dW",
    _head_gradient("W"),
    _head_magnitude("x", is_summed=True),
    _head_causes.GRAD_W,
    _terms.GRAD_W,
)
_GRAD_BIAS = _head_part(
    "dbias",
    _head_gradient("bias"),
    _head_magnitude(None, is_summed=True),
    _head_causes.GRAD_BIAS,
    _terms.GRAD_BIAS,
)
LINEAR_CROSS_ENTROPY_GRAD = _GRAD_X._replace(parts=(_GRAD_X, _GRAD_W, _GRAD_BIAS))
REFERENCES = (
    SOFTMAX,
    LOG_SOFTMAX,
    SOFTMAX_JACOBIAN,
    LOG_SOFTMAX_JACOBIAN,
    SOFTMAX_VJP,
    LOG_SOFTMAX_VJP,
    CROSS_ENTROPY,
    CROSS_ENTROPY_GRAD,
    CROSS_ENTROPY_HESSIAN,
    CROSS_ENTROPY_HVP,
    LINEAR_CROSS_ENTROPY_GRAD,
)
