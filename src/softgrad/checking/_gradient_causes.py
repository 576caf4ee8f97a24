"""Mistakes in the gradient of the cross-entropy with respect to the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import softgrad as sg
from softgrad.checking import _formulas as formulas
from softgrad.checking._cause import Cause, Family, Imitation, code
from softgrad.checking._probability_causes import probability_causes
from softgrad.checking._shape_causes import reshaped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]

_LINE = code("p * y.sum(axis=1, keepdims=True) - y")
_INDEX_LINE = code("g = p.copy()", "g[np.arange(len(z)), target] -= 1")


def _of_rows(gradient: Imitation) -> Imitation:
    """The gradient of the rows' losses, divided as the reduction asks."""
    return lambda probe: probe.share * gradient(probe)


def _of_rows_with_constant(gradient: Family) -> Family:
    return lambda probe, constant: probe.share * gradient(probe, constant)


def _right(probe: Probe) -> Array:
    return formulas.cross_entropy_grad(probe.probs, probe)


def _through_softmax(towards_p: Array, probe: Probe) -> Array:
    """The gradient with respect to p, taken on to the logits."""
    return probe.probs * (towards_p - formulas.dot(probe.probs, towards_p))


def _with_added_constant(probe: Probe, eps: float) -> Array:
    return _through_softmax(-probe.target / (probe.probs + eps), probe)


def _with_clipping(probe: Probe, eps: float) -> Array:
    kept = probe.probs > eps
    return _through_softmax(-probe.target * kept / np.where(kept, probe.probs, 1), probe)


def _largest_class(probe: Probe) -> Array:
    one_hot: Array = np.eye(probe.classes)[probe.target.argmax(axis=1)]
    return one_hot


def _subtracted_in_all_rows(probe: Probe) -> Array:
    g = probe.probs.copy()
    g[:, probe.target.argmax(axis=1)] -= 1
    return g


def _twice(probe: Probe) -> Array:
    return _through_softmax(sg.softmax(probe.probs) * probe.mass - probe.target, probe)


UNWEIGHTED = Cause(
    "p − y where Σy ≠ 1",
    "The result is p − y, which is the gradient where the target sums to one. Every y_j pulls on all logits "
    "through the softmax: p counts Σy times.",
    _LINE,
    (_of_rows(lambda probe: probe.probs - probe.target),),
    targets=("probabilities",),
)

CROSS_ENTROPY_GRAD = (
    Cause(
        "gradient with respect to probabilities",
        "The result is −y/p, the derivative of the loss with respect to p. The chain rule goes on through softmax to "
        "the logits, and there the division by p cancels.",
        _LINE,
        (_of_rows(lambda probe: -probe.target / probe.probs),),
        (_of_rows_with_constant(lambda probe, eps: -probe.target / (probe.probs + eps)),),
        "eps",
    ),
    Cause(
        "gradient with respect to log-probabilities",
        "The result is −y, the derivative of the loss with respect to log p. The chain rule goes on through "
        "log-softmax to the logits, which adds p Σy.",
        _LINE,
        (_of_rows(lambda probe: -probe.target),),
    ),
    Cause(
        "p − y multiplied again by p(1 − p)",
        "The result is (Σy p − y) p(1 − p). p − y already is the derivative with respect to the logits: the "
        "derivative of softmax is in it.",
        _LINE,
        (
            _of_rows(lambda probe: (probe.probs * probe.mass - probe.target) * probe.probs * (1 - probe.probs)),
            _of_rows(lambda probe: (probe.probs - probe.target) * probe.probs * (1 - probe.probs)),
            _of_rows(lambda probe: _through_softmax(probe.probs * probe.mass - probe.target, probe)),
        ),
    ),
    UNWEIGHTED,
    Cause(
        "targets normalised",
        "The result is p − y/Σy: every row of the target is divided by its sum. The sum is the row's weight, and "
        "stays.",
        _LINE,
        (_of_rows(lambda probe: probe.probs - probe.target / probe.mass),),
        targets=("probabilities",),
    ),
    Cause(
        "only the diagonal of the softmax's Jacobian",
        "The result is −y(1 − p): −y/p times p(1 − p). The chain rule sums over all outputs p_j, for each depends on "
        "every logit.",
        _LINE,
        (_of_rows(lambda probe: -probe.target * (1 - probe.probs)),),
        # For class indices this is zero but in the target's entry, where it is right.
        targets=("probabilities",),
    ),
    Cause(
        "only the target entry filled",
        "The gradient is right in the entry of the target class and zero in all others. Every other logit has the "
        "gradient p_k Σy − y_k: raising it lowers the target's probability.",
        _LINE,
        (
            _of_rows(lambda probe: (probe.probs * probe.mass - probe.target) * _largest_class(probe)),
            _of_rows(lambda probe: (probe.probs - 1) * _largest_class(probe)),
        ),
    ),
    Cause(
        "only the target's largest class",
        "The result is p − 1 in the largest entry of the target and p elsewhere, as if the target were a class index.",
        _LINE,
        (
            _of_rows(lambda probe: probe.probs - _largest_class(probe)),
            _of_rows(lambda probe: (probe.probs - _largest_class(probe)) * probe.mass),
        ),
        targets=("probabilities",),
    ),
    Cause(
        "target never subtracted",
        "The result is p, or p Σy: the gradient of log-sum-exp alone. The target is still to be subtracted.",
        _LINE,
        (_of_rows(lambda probe: probe.probs * probe.mass), _of_rows(lambda probe: probe.probs)),
    ),
    Cause(
        "1 subtracted in every entry",
        "The result is p − 1 in all entries; the 1 belongs to the entry of the target only.",
        f"{_LINE}\nfor class indices:\n{_INDEX_LINE}",
        (_of_rows(lambda probe: probe.probs - 1),),
    ),
    Cause(
        "one-hot forgotten",
        "The class index itself is subtracted: p − target, as if the number of a class were its probability.",
        _INDEX_LINE,
        (_of_rows(lambda probe: probe.probs - probe.target.argmax(axis=1)[:, None]),),
        targets=("index",),
    ),
    Cause(
        "1 subtracted in the columns of all labels",
        "g[:, target] -= 1 subtracts 1 in every row at the classes of all labels; one entry of each row is meant.",
        _INDEX_LINE,
        (_of_rows(_subtracted_in_all_rows),),
        targets=("index",),
    ),
    Cause(
        "gradient of log(p + eps)",
        "This is the gradient of −Σ y log(p + eps) with eps = {parameter}: where p is smaller, the gradient "
        "fades to zero, and the most wrong rows stop learning.",
        f"{_LINE}\nit needs no logarithm and no eps",
        families=(_of_rows_with_constant(_with_added_constant),),
        parameter="eps",
    ),
    Cause(
        "gradient of a clipped loss",
        "Where p is below {parameter}, the target's part of the gradient is zero, as autograd of log(clip(p)) gives: "
        "the most wrong rows stop learning.",
        f"{_LINE}\nit needs no logarithm and no limit",
        families=(_of_rows_with_constant(_with_clipping),),
        parameter="threshold",
    ),
    Cause(
        "gradient of the squared error",
        "The result is that of Σ (p − y)², taken through softmax.",
        _LINE,
        (_of_rows(lambda probe: 2 * _through_softmax(probe.probs - probe.target, probe)),),
    ),
    Cause(
        "gradient of half the squared error",
        "The result is that of Σ (p − y)² / 2, taken through softmax.",
        _LINE,
        (_of_rows(lambda probe: _through_softmax(probe.probs - probe.target, probe)),),
        # For class indices this is p − y, multiplied again by the derivative of softmax.
        targets=("probabilities",),
    ),
    Cause(
        "logarithm of an underflowed probability",
        "The gradient goes through log(softmax(z)): where a probability is stored as 0, −y/p is infinite or 0/0, and "
        "times p = 0 it is NaN. The gradient itself is finite there: p Σy − y.",
        f"{_LINE}\nwith autograd: differentiate log_softmax(z), not log(softmax(z))",
        (_of_rows(lambda probe: _through_softmax(-probe.target / probe.probs, probe)),),
    ),
    Cause(
        "summed over the batch",
        "There is one gradient of C numbers for the whole batch; every row of logits has its own.",
        _LINE,
        (lambda probe: _right(probe).sum(axis=0), lambda probe: _right(probe).mean(axis=0)),
    ),
    Cause(
        "loss instead of gradient",
        "The result is the loss; its gradient has the shape of z.",
        _LINE,
        (
            lambda probe: formulas.cross_entropy(probe.probs, probe),
            lambda probe: -(probe.target * sg.log_softmax(probe.logits)).sum(axis=1),
            lambda probe: -probe.target * sg.log_softmax(probe.logits),
        ),
    ),
    reshaped(_right),
    *probability_causes(
        formulas.cross_entropy_grad,
        _of_rows(_twice),
        logits_as_probs=(lambda probe: formulas.cross_entropy_grad(probe.logits, probe),),
    ),
)
