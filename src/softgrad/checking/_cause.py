"""Definition of a known mistake, and the mistakes that rescale or reshape the exact result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from softgrad.checking._batches import Array, Batch, Target

if TYPE_CHECKING:
    from softgrad._loss_spec import ReductionName

Formula: TypeAlias = Callable[[Batch], Array]
ParametricFormula: TypeAlias = Callable[[Batch, float], Array]
Factor: TypeAlias = Callable[[Batch], float]
Parameter = Literal["eps", "limit", "threshold"]


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
    targets: tuple[Target, ...] = ("probabilities", "index")
    reductions: tuple[ReductionName, ...] = ("sum", "mean", "none")

    def applies_to(self, batch: Batch) -> bool:
        return batch.target_type in self.targets and batch.spec.reduction.name in self.reductions


def wrong_shape(exact: Formula) -> Cause:
    """The exact numbers in another shape than (B, C)."""
    return Cause(
        "right numbers in another shape",
        "All numbers are right, but the shape is not that of the logits, (B, C).",
        "return the shape of z; keep the batch axis also where B = 1",
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


def divided_by_batch_size(exact: Formula, explanation: str, advice: str) -> Cause:
    return Cause("divided by the batch size", explanation, advice, (lambda batch: exact(batch) / batch.rows,))


NEGATED = Cause(
    "negated",
    "Every entry has the right size and the opposite sign.",
    "a minus before the result",
    factor=lambda batch: -1.0,
)
GRADIENT_NEGATED = Cause(
    "gradient negated",
    "The result is y − p Σy, the direction of steepest descent; the gradient is p Σy − y.",
    code("p * y.sum(axis=1, keepdims=True) - y"),
    factor=lambda batch: -1.0,
)
LOSS_NEGATED = Cause(
    "loss negated",
    "The result is Σ y log p, the log-likelihood; the cross-entropy is its negative.",
    code("-(y * log_p).sum(axis=1)"),
    factor=lambda batch: -1.0,
)

_MEAN = "divide the sum over the batch by B once:\n" + code("(...).sum() / len(z)")
REDUCTIONS = (
    Cause(
        "mean instead of sum",
        "The result is divided by the batch size B, as for the mean of the losses; the sum was requested.",
        'sum over the batch without dividing, or check with reduction="mean" (--reduction mean) if you want the mean',
        factor=lambda batch: 1 / batch.rows,
        reductions=("sum",),
    ),
    Cause(
        "sum instead of mean",
        "The result is that of the summed losses; the mean over the batch was requested.",
        f'{_MEAN}\nor check with reduction="sum" (--reduction sum) if you want the sum',
        factor=lambda batch: float(batch.rows),
        reductions=("mean",),
    ),
    Cause(
        "mean taken twice",
        "The result is divided by B², so the mean is taken once too often: for instance in the loss and again in its "
        "gradient.",
        _MEAN,
        factor=lambda batch: 1 / batch.rows,
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
        "sum over the classes, then take the sum or mean over the rows:\n" + code("(...).sum(axis=1)"),
        factor=lambda batch: 1 / (batch.rows * batch.classes * batch.row_weight),
    ),
    Cause(
        "divided by C",
        "The result is divided by the number of classes, as .mean(axis=1) does. The loss of a row is the sum over its "
        "classes.",
        code("(...).sum(axis=1)"),
        factor=lambda batch: 1 / (batch.classes * batch.row_weight),
    ),
    Cause(
        "divided by the sum of the targets",
        "The result is divided by the sum of all targets, Σ_n Σ_j y_nj. The sum is not divided; the mean is divided "
        "by the number of rows B.",
        "do not divide for the sum; divide by len(z) for the mean",
        factor=lambda batch: 1 / (float(batch.mass.sum()) * batch.row_weight),
        targets=("probabilities",),
        reductions=("sum", "mean"),
    ),
)
