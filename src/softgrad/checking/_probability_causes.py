"""Mistakes in the probabilities themselves; every formula that uses them inherits these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import softgrad as sg
from softgrad.checking._cause import Cause, Family, Imitation, code

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]
    Formula = Callable[[Array, Probe], Array]

_SOFTMAX = code("e = np.exp(z - z.max(axis=1, keepdims=True))", "p = e / e.sum(axis=1, keepdims=True)")


def probability_causes(
    formula: Formula, twice: Imitation, *, logits_as_probs: tuple[Imitation, ...]
) -> tuple[Cause, ...]:
    """The causes for a formula in p; `twice` is its derivative through a second softmax."""

    def with_probs(*probabilities: Callable[[Array], Array]) -> tuple[Imitation, ...]:
        return tuple(lambda probe, q=q: formula(q(probe.logits), probe) for q in probabilities)

    def with_constant(*probabilities: Callable[[Array, float], Array]) -> tuple[Family, ...]:
        return tuple(lambda probe, c, q=q: formula(q(probe.logits, c), probe) for q in probabilities)

    return (
        Cause(
            "softmax along the wrong axis",
            "The sum in the softmax runs over the batch (axis 0), so the columns sum to one and rows depend on each "
            "other.",
            _SOFTMAX,
            with_probs(lambda z: sg.softmax(z, axis=0), lambda z: _over(_shifted(z), axis=0)),
        ),
        Cause(
            "softmax over the whole batch",
            "The sum in the softmax runs over all entries of the batch, so that the whole array sums to one instead "
            "of every row; a sum without an axis does that.",
            _SOFTMAX,
            with_probs(lambda z: sg.softmax(z, axis=None), lambda z: _over(_shifted(z), axis=None)),
        ),
        Cause(
            "maximum along the wrong axis",
            "The maximum that is subtracted before exp is that of each column. Softmax forgives a shift that is "
            "the same for a whole row, and no other.",
            code("z - z.max(axis=1, keepdims=True)"),
            with_probs(lambda z: sg.softmax(z - z.max(axis=0))),
        ),
        Cause(
            "softmax applied twice",
            "The logits pass through softmax twice: once outside the function or layer and once inside it. The second "
            "one sees numbers between 0 and 1, and flattens them.",
            "apply softmax once: hand the function logits, not probabilities",
            (*with_probs(lambda z: sg.softmax(sg.softmax(z))), twice),
        ),
        Cause(
            "logits used where probabilities are meant",
            "The formula is the right one in p = softmax(z), but it is given z itself: softmax was never applied.",
            _SOFTMAX,
            logits_as_probs,
        ),
        Cause(
            "sign of the logits",
            "The exponent is −z: small logits get the large probabilities.",
            code("np.exp(z - z.max(axis=1, keepdims=True))  # not np.exp(-z)"),
            with_probs(lambda z: sg.softmax(-z)),
        ),
        Cause(
            "sigmoid in place of softmax",
            "Each class is squashed for itself by 1/(1 + exp(−z)); softmax divides by the sum over the classes.",
            _SOFTMAX,
            with_probs(lambda z: 1 / (1 + np.exp(-z))),
        ),
        Cause(
            "division by the sum forgotten",
            "The exponentials are used as they are; they become probabilities when divided by their sum.",
            code("p = e / e.sum(axis=1, keepdims=True)"),
            with_probs(np.exp, _shifted),
        ),
        Cause(
            "a constant added to the denominator",
            "The probabilities are e/(Σe + {parameter}), and sum to less than one. With the maximum subtracted the sum "
            "is at least 1, and nothing needs adding.",
            _SOFTMAX,
            families=with_constant(lambda z, eps: _over(_shifted(z), 1, eps)),
            parameter="eps",
        ),
        Cause(
            "no maximum subtracted",
            "exp(z) overflows for large logits, and inf/inf is NaN; for very negative ones all of a row underflow, and "
            "0/0 is NaN.",
            _SOFTMAX,
            with_probs(
                lambda z: _over(np.exp(z), axis=1),
                lambda z: np.exp(z - np.log(np.exp(z).sum(axis=1, keepdims=True))),
            ),
            # A constant that keeps 0/0 away.
            with_constant(lambda z, eps: _over(np.exp(z), 1, eps)),
            "eps",
        ),
        Cause(
            "one maximum for the whole batch",
            "z.max() without an axis is subtracted. It stops the overflow, but rows far below the largest logit of "
            "the batch underflow to zeros, and 0/0 is NaN.",
            code("z - z.max(axis=1, keepdims=True)"),
            with_probs(
                lambda z: _over(np.exp(z - z.max()), axis=1),
                lambda z: np.exp(z - z.max() - np.log(np.exp(z - z.max()).sum(axis=1, keepdims=True))),
            ),
            with_constant(lambda z, eps: _over(np.exp(z - z.max()), 1, eps)),
            "eps",
        ),
        Cause(
            "logits clipped",
            "The logits are clipped to {parameter} in size before exp. That stops the overflow, but all logits beyond "
            "become equal, and so do their probabilities.",
            code("z - z.max(axis=1, keepdims=True)  # in place of np.clip(z, ...)"),
            families=with_constant(
                lambda z, c: sg.softmax(np.clip(z, -c, c)), lambda z, c: sg.softmax(np.minimum(z, c))
            ),
            parameter="limit",
        ),
    )


def _shifted(z: Array) -> Array:
    e: Array = np.exp(z - z.max(axis=1, keepdims=True))
    return e


def _over(e: Array, axis: int | None, constant: float = 0.0) -> Array:
    quotient: Array = e / (e.sum(axis=axis, keepdims=True) + constant)
    return quotient
