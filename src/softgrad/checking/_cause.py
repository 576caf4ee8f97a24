"""Definition of a known mistake, and the mistakes that rescale or reshape the exact result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from softgrad.checking._batches import Array, Batch

if TYPE_CHECKING:
    from softgrad._loss_spec import ReductionName
    from softgrad.checking._setting import Setting, Target

Formula: TypeAlias = Callable[[Batch], Array]
ParametricFormula: TypeAlias = Callable[[Batch, float], Array]
Factor: TypeAlias = Callable[[Batch], float]
Parameter = Literal["eps", "limit", "threshold"]

DENSE: tuple[Target, ...] = ("weighted", "probabilities")


# Parts of an advice that depend on the setting of the check: the right function, and a hint for free sums of targets.
CODE = "{code}"
IF_ONE_HOT = "{if one-hot}"


def code(*lines: str) -> str:
    """Lines that a report shows as they are."""
    return "\n".join(f"    {line}" for line in lines)


@dataclass(frozen=True)
class Cause:
    """A mistake, and the results of functions with this mistake.

    A formula may have another shape than the exact result. Several formulas are several common ways to make the
    same mistake; the checker solves for the constant of those in `parametric`. A mistake with a `factor` multiplies
    the exact result by a number that depends on the batch alone. Where two mistakes give the same numbers in some
    setting (the factor Σy is 1 for class indices), only one of them applies there.
    """

    name: str
    explanation: str
    advice: str
    formulas: tuple[Formula, ...] = ()
    parametric: tuple[ParametricFormula, ...] = ()
    parameter: Parameter | None = None
    factor: Factor | None = None
    targets: tuple[Target, ...] = (*DENSE, "one-hot", "index")
    reductions: tuple[ReductionName, ...] = ("sum", "mean", "none")

    def applies_to(self, setting: Setting) -> bool:
        # With class weights Σy is not 1 for any target.
        is_weighted = setting.class_weight is not None and "weighted" in self.targets
        return (setting.target in self.targets or is_weighted) and setting.spec.reduction.name in self.reductions


def wrong_shape(exact: Formula) -> Cause:
    """The exact numbers in another shape than that of the logits."""
    return Cause(
        "right numbers in another shape",
        "All numbers are right, but the shape is not that of the logits.",
        "return an array of the shape of z; keep all axes also where B = 1",
        (
            lambda batch: np.squeeze(exact(batch)),
            lambda batch: exact(batch).ravel(),
            lambda batch: exact(batch).T,
            lambda batch: exact(batch)[..., None],
            lambda batch: exact(batch)[:, None],
            lambda batch: exact(batch)[None],
        ),
    )


def summed_over_batch(exact: Formula, explanation: str, advice: str) -> Cause:
    return Cause(
        "summed over the batch",
        explanation,
        advice,
        (lambda batch: exact(batch).sum(axis=0), lambda batch: exact(batch).mean(axis=0)),
    )


NEGATED = Cause(
    "negated",
    "Every entry has the right size and the opposite sign.",
    "a minus before the result",
    factor=lambda batch: -1.0,
)
SCALES = (
    Cause(
        "twice as large",
        "Every entry is twice the exact one: a factor 2, as of the derivative of a square, does not belong here.",
        "leave out the factor 2",
        factor=lambda batch: 2.0,
    ),
    Cause(
        "half as large",
        "Every entry is half the exact one: a factor ½ does not belong here.",
        "leave out the factor 1/2",
        factor=lambda batch: 0.5,
    ),
)
MULTIPLES = (
    Cause(
        "multiplied by C",
        "Every entry is multiplied by the number of classes.",
        "leave out the factor C",
        factor=lambda batch: float(batch.classes),
    ),
    Cause(
        "multiplied by the batch size",
        "Every entry is multiplied by the batch size B.",
        "leave out the factor B",
        factor=lambda batch: float(batch.rows),
        reductions=("sum", "none"),  # of a mean it is the sum
    ),
)
DIVISIONS = (
    Cause(
        "divided by the batch size",
        "Every entry is divided by the batch size B. A mean over the batch is part of the loss; the result for a row "
        "does not depend on the number of rows.",
        "no mean over the batch",
        factor=lambda batch: 1 / batch.rows,
    ),
    Cause(
        "divided by C",
        "Every entry is divided by the number of classes, as .mean(axis=1) does.",
        "leave out the division by C",
        factor=lambda batch: 1 / batch.classes,
    ),
    Cause(
        "divided by B·C",
        "Every entry is divided by the number of all entries, B·C, as .mean() does.",
        "leave out the division by B·C",
        factor=lambda batch: 1 / (batch.rows * batch.classes),
    ),
)
GRADIENT_NEGATED = Cause(
    "gradient negated",
    "The result is y − p Σy, the direction of steepest descent; the gradient is p Σy − y.",
    CODE,
    factor=lambda batch: -1.0,
)
LOSS_NEGATED = Cause(
    "loss negated",
    "The result is Σ y log p, the log-likelihood; the cross-entropy is its negative.",
    CODE,
    factor=lambda batch: -1.0,
)

REDUCTIONS = (
    Cause(
        "mean instead of sum",
        "The result is divided by the batch size B, as for the mean of the losses; the sum was requested.",
        'sum over the batch without dividing, or check with reduction="mean" (--reduction mean) if you want the mean',
        factor=lambda batch: 1 / batch.denominator,
        reductions=("sum",),
    ),
    Cause(
        "sum instead of mean",
        "The result is that of the summed losses; the mean over the batch was requested.",
        f'{CODE}\nor check with reduction="sum" (--reduction sum) if you want the sum',
        factor=lambda batch: batch.denominator,
        reductions=("mean",),
    ),
    Cause(
        "mean taken twice",
        "The result is divided by B², so the mean is taken once too often: for instance in the loss and again in its "
        "gradient.",
        CODE,
        factor=lambda batch: 1 / batch.denominator,
        reductions=("mean",),
    ),
    Cause(
        "divided by the batch size",
        "Every row is divided by the batch size B, as for the mean; the losses of the rows were requested.",
        'leave out the division, or check with reduction="mean" (--reduction mean) if you want the mean',
        factor=lambda batch: 1 / batch.rows,
        reductions=("none",),
    ),
    Cause(
        "divided by B·C",
        "The result is divided by the number of all entries, B·C, as .mean() over a (B, C) array does. The loss of a "
        "row is the sum over its classes.",
        CODE,
        factor=lambda batch: 1 / (batch.rows * batch.classes * batch.row_weight),
    ),
    Cause(
        "divided by C",
        "The result is divided by the number of classes, as .mean(axis=1) does. The loss of a row is the sum over its "
        "classes.",
        CODE,
        factor=lambda batch: 1 / (batch.classes * batch.row_weight),
    ),
    Cause(
        "divided by the sum of the targets",
        "The result is divided by the sum of all targets, Σ_n Σ_j y_nj. The sum is not divided; the mean is divided "
        "by the number of rows B.",
        CODE,
        factor=lambda batch: 1 / (float(batch.mass.sum()) * batch.row_weight),
        targets=("weighted",),
        reductions=("sum", "mean"),
    ),
    Cause(
        "divided by the number of rows",
        "The result is divided by the batch size B. The mean is weighted: it is divided by the sum of the class "
        "weights of the labels that are not ignored.",
        CODE,
        factor=lambda batch: batch.denominator / batch.rows,
        targets=("index",),
        reductions=("mean",),
    ),
)
