"""What can be checked: how the function is called, the right answer, and what is known to go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import softgrad as sg
from softgrad.checking import (
    _gradient_causes,
    _hessian_causes,
    _jacobian_causes,
    _laws,
    _loss_causes,
    _scales,
    _softmax_causes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad.checking._cause import Cause, Scale
    from softgrad.checking._laws import Law
    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]


class Kind(NamedTuple):
    """One kind of function."""

    name: str
    stage: str  # "value" or "derivative"
    second: str  # what fn takes beside the logits: "target", "upstream" or nothing
    right: Callable[[Probe], Array]
    size: Callable[[Probe], float]  # of the terms whose sum the answer is: errors are relative to it
    causes: tuple[Cause, ...]
    scales: tuple[Scale, ...]
    laws: tuple[Law, ...]
    unweighted: Cause | None = None  # the formula that takes Σ_j y_j for 1
    may_return_loss: bool = False  # before the answer, as a pair

    @property
    def names(self) -> tuple[str, ...]:
        """Of the arguments."""
        return ("z", *{"upstream": ("v",), "target": ("target",)}.get(self.second, ()))

    def arguments(self, probe: Probe) -> tuple[NDArray[Any], ...]:
        """What fn is called with: copies, which it may spoil."""
        if self.second == "upstream":
            return probe.logits.copy(), probe.upstream.copy()
        if self.second == "target":
            return probe.logits.copy(), (probe.target if probe.labels is None else probe.labels).copy()
        return (probe.logits.copy(),)


def _target(probe: Probe) -> NDArray[Any]:
    return probe.target if probe.labels is None else probe.labels


def _loss(probe: Probe) -> Array:
    return np.asarray(sg.cross_entropy(probe.logits, _target(probe), reduction=probe.spec.reduction.name))


def _gradient(probe: Probe) -> Array:
    return sg.cross_entropy_grad(probe.logits, _target(probe), reduction=probe.spec.reduction.name)


def _largest_weight(probe: Probe) -> float:
    return float(probe.mass.max()) * probe.share


def _loss_size(probe: Probe) -> float:
    return max(_largest_weight(probe), float(np.abs(_loss(probe)).max()))


SOFTMAX = Kind(
    "softmax",
    "value",
    "",
    lambda probe: probe.probs,
    lambda probe: 1.0,
    _softmax_causes.SOFTMAX,
    (),
    _laws.SOFTMAX,
)
SOFTMAX_JACOBIAN = Kind(
    "softmax-jacobian",
    "derivative",
    "",
    lambda probe: sg.softmax_jacobian(probe.logits).to_dense(),
    lambda probe: 1.0,
    _jacobian_causes.SOFTMAX_JACOBIAN,
    (_scales.NEGATED,),
    _laws.SOFTMAX_JACOBIAN,
)
LOG_SOFTMAX_JACOBIAN = Kind(
    "log-softmax-jacobian",
    "derivative",
    "",
    lambda probe: sg.log_softmax_jacobian(probe.logits).to_dense(),
    lambda probe: 1.0,
    _jacobian_causes.LOG_SOFTMAX_JACOBIAN,
    (_scales.NEGATED,),
    _laws.LOG_SOFTMAX_JACOBIAN,
)
SOFTMAX_VJP = Kind(
    "softmax-vjp",
    "derivative",
    "upstream",
    lambda probe: sg.softmax_jacobian(probe.logits).T @ probe.upstream,
    lambda probe: float(np.abs(probe.upstream).max()),
    _softmax_causes.SOFTMAX_VJP,
    (_scales.NEGATED,),
    _laws.SOFTMAX_VJP,
)
CROSS_ENTROPY = Kind(
    "cross-entropy",
    "value",
    "target",
    _loss,
    _loss_size,
    _loss_causes.CROSS_ENTROPY,
    (_scales.LOSS_NEGATED, *_scales.REDUCTIONS),
    _laws.CROSS_ENTROPY,
)
CROSS_ENTROPY_GRAD = Kind(
    "cross-entropy-grad",
    "derivative",
    "target",
    _gradient,
    _largest_weight,
    _gradient_causes.CROSS_ENTROPY_GRAD,
    (_scales.GRADIENT_NEGATED, *_scales.REDUCTIONS),
    _laws.CROSS_ENTROPY_GRAD,
    _gradient_causes.UNWEIGHTED,
    may_return_loss=True,
)
CROSS_ENTROPY_HESSIAN = Kind(
    "cross-entropy-hessian",
    "derivative",
    "target",
    lambda probe: sg.cross_entropy_hessian(
        probe.logits, _target(probe), reduction=probe.spec.reduction.name
    ).to_dense(),
    _largest_weight,
    _hessian_causes.HESSIAN,
    (_scales.NEGATED, *_scales.REDUCTIONS),
    _laws.CROSS_ENTROPY_HESSIAN,
    _hessian_causes.UNWEIGHTED,
)
KINDS = (
    SOFTMAX,
    SOFTMAX_JACOBIAN,
    LOG_SOFTMAX_JACOBIAN,
    SOFTMAX_VJP,
    CROSS_ENTROPY,
    CROSS_ENTROPY_GRAD,
    CROSS_ENTROPY_HESSIAN,
)
