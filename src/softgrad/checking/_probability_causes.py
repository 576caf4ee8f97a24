"""Mistakes in the probabilities themselves, which every formula that uses them inherits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import numpy as np

import softgrad as sg
from softgrad.checking._cause import CODE, Cause, Formula

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from softgrad.checking._batches import Array, Batch

    FormulaOfProbs = Callable[[Array, Batch], Array]

Constants = ParamSpec("Constants")


def probability_causes(
    formula: FormulaOfProbs, softmax_twice: Formula, *, logits_as_probs: tuple[Formula, ...]
) -> tuple[Cause, ...]:
    """The causes for a formula in p; `softmax_twice` is its derivative through a second softmax."""

    def of(
        *softmaxes: Callable[Concatenate[Array, Constants], Array],
    ) -> tuple[Callable[Concatenate[Batch, Constants], Array], ...]:
        return tuple(map(of_one, softmaxes))

    def of_one(
        softmax: Callable[Concatenate[Array, Constants], Array],
    ) -> Callable[Concatenate[Batch, Constants], Array]:
        def mistaken(batch: Batch, /, *args: Constants.args, **kwargs: Constants.kwargs) -> Array:
            return formula(softmax(batch.logits, *args, **kwargs), batch)

        return mistaken

    return (
        Cause(
            "softmax along the wrong axis",
            "The sum in the softmax runs over the batch (axis 0), so the columns sum to one and rows depend on each "
            "other.",
            CODE,
            of(lambda z: sg.softmax(z, axis=0), lambda z: _quotient(_shifted_exp(z), axis=0)),
        ),
        Cause(
            "softmax over the whole batch",
            "The sum in the softmax runs over all entries of the batch, as a sum without an axis does, so that the "
            "whole array sums to one instead of every row.",
            CODE,
            of(lambda z: sg.softmax(z, axis=None), lambda z: _quotient(_shifted_exp(z), axis=None)),
        ),
        Cause(
            "maximum along the wrong axis",
            "The maximum subtracted before exp is that of each column. Softmax is invariant only to a shift that is "
            "the same for a whole row.",
            CODE,
            of(lambda z: sg.softmax(z - z.max(axis=0))),
        ),
        Cause(
            "softmax applied twice",
            "Softmax is applied twice: once outside the function or layer and once inside it. The second one sees "
            "numbers between 0 and 1, and flattens them.",
            f"apply softmax once:\n{CODE}",
            (*of(lambda z: sg.softmax(sg.softmax(z))), softmax_twice),
        ),
        Cause(
            "logits used where probabilities are meant",
            "The formula is the right one in p = softmax(z), but it is given z itself: softmax was never applied.",
            CODE,
            logits_as_probs,
        ),
        Cause(
            "sign of the logits",
            "The exponent is −z: small logits get the large probabilities.",
            CODE,
            of(lambda z: sg.softmax(-z)),
        ),
        Cause(
            "sigmoid in place of softmax",
            "The sigmoid 1/(1 + exp(−z)) is applied to each class on its own; softmax divides by the sum over the "
            "classes.",
            CODE,
            of(lambda z: 1 / (1 + np.exp(-z))),
        ),
        Cause(
            "division by the sum forgotten",
            "The exponentials are not normalised; they become probabilities when divided by their sum.",
            CODE,
            of(np.exp, _shifted_exp),
        ),
        Cause(
            "a constant added to the denominator",
            "The probabilities are e/(Σe + {parameter}), and sum to less than one. With the maximum subtracted the sum "
            "is at least 1, so no constant is needed.",
            CODE,
            parametric=of(lambda z, eps: _quotient(_shifted_exp(z), 1, eps)),
            parameter="eps",
        ),
        Cause(
            "no maximum subtracted",
            "exp(z) overflows for large logits, and inf/inf is NaN; for very negative ones a whole row underflows, and "
            "0/0 is NaN.",
            CODE,
            of(
                lambda z: _quotient(np.exp(z), axis=1),
                lambda z: np.exp(z - np.log(np.exp(z).sum(axis=1, keepdims=True))),
            ),
            # A constant that keeps 0/0 away.
            of(lambda z, eps: _quotient(np.exp(z), 1, eps)),
            "eps",
        ),
        Cause(
            "one maximum for the whole batch",
            "z.max() without an axis is subtracted. That prevents overflow, but rows far below the largest logit of "
            "the batch underflow to zeros, and 0/0 is NaN.",
            CODE,
            of(
                lambda z: _quotient(np.exp(z - z.max()), axis=1),
                lambda z: np.exp(z - z.max() - np.log(np.exp(z - z.max()).sum(axis=1, keepdims=True))),
            ),
            of(lambda z, eps: _quotient(np.exp(z - z.max()), 1, eps)),
            "eps",
        ),
        Cause(
            "no maximum below zero subtracted",
            "The maximum is taken over the logits and 0, as by a loop that starts at 0. Rows of very negative logits "
            "underflow to zeros, and 0/0 is NaN.",
            CODE,
            of(lambda z: _quotient(np.exp(z - np.maximum(z.max(axis=1, keepdims=True), 0)), axis=1)),
        ),
        Cause(
            "logits clipped",
            "The logits are clipped to {parameter} in size before exp. That prevents overflow, but all logits beyond "
            "the limit become equal, and so do their probabilities.",
            CODE,
            parametric=of(lambda z, c: sg.softmax(np.clip(z, -c, c)), lambda z, c: sg.softmax(np.minimum(z, c))),
            parameter="limit",
        ),
    )


# Shifts of the logits that do not keep exp from overflowing.
_OVERFLOWS: dict[str, Callable[[Array], Array]] = {
    "no maximum subtracted": lambda z: z,
    "one maximum for the whole batch": lambda z: z - z.max(),
}
# Logarithms of negative logits are NaN, which fits nothing; log(exp(z)) is z: the log-sum-exp is missing.
_INAPPLICABLE = ("logits used where probabilities are meant", "division by the sum forgotten")


def log_probability_causes(
    formula: FormulaOfProbs,
    softmax_twice: Formula,
    overflowing: Callable[[Callable[[Array], Array]], tuple[Formula, ...]],
) -> Iterator[Cause]:
    """The causes for a formula in log p, which may overflow without p: see `overflowing`, given a shift of z."""
    for cause in probability_causes(formula, softmax_twice, logits_as_probs=()):
        if shift := _OVERFLOWS.get(cause.name):
            yield replace(cause, formulas=(*cause.formulas, *overflowing(shift)))
        elif cause.name not in _INAPPLICABLE:
            yield cause


def _shifted_exp(z: Array) -> Array:
    e: Array = np.exp(z - z.max(axis=1, keepdims=True))
    return e


def _quotient(e: Array, axis: int | None, constant: float = 0.0) -> Array:
    quotient: Array = e / (e.sum(axis=axis, keepdims=True) + constant)
    return quotient
