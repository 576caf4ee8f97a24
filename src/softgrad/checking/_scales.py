"""Mistakes that multiply the right answer: its sign, and what it is divided by."""

from __future__ import annotations

from softgrad.checking._cause import Scale, code

_NO_MEAN = "sum over the batch, and divide by nothing"
_MEAN = "divide the sum over the batch by B once:\n" + code("(...).sum() / len(z)")

NEGATED = Scale(
    "negated",
    "Every entry has the right size and the opposite sign.",
    "a minus before the result",
    lambda probe: -1.0,
)
GRADIENT_NEGATED = Scale(
    "gradient negated",
    "The result is y − p Σy, the direction of steepest descent; the gradient is p Σy − y.",
    code("p * y.sum(axis=1, keepdims=True) - y"),
    lambda probe: -1.0,
)
LOSS_NEGATED = Scale(
    "loss negated",
    "The result is Σ y log p, the log-likelihood; the cross-entropy is minus that.",
    code("-(y * log_p).sum(axis=1)"),
    lambda probe: -1.0,
)
# What the answer is divided by.
REDUCTIONS = (
    Scale(
        "mean instead of sum",
        "The result is divided by the batch size B, as for the mean of the rows' losses; the sum was asked for.",
        f'{_NO_MEAN}, or check with reduction="mean" (--reduction mean) if the mean is meant',
        lambda probe: 1 / probe.rows,
        reductions=("sum",),
    ),
    Scale(
        "sum instead of mean",
        "The result is that of the rows' summed losses; the mean over the batch was asked for.",
        f'{_MEAN}\nor check with reduction="sum" (--reduction sum) if the sum is meant',
        lambda probe: float(probe.rows),
        reductions=("mean",),
    ),
    Scale(
        "mean taken twice",
        "The result is divided by B², so the mean is taken once too often: in the loss and once more in its "
        "gradient, say.",
        _MEAN,
        lambda probe: 1 / probe.rows,
        reductions=("mean",),
    ),
    Scale(
        "divided by the batch size",
        "Every row is divided by the batch size B, as for the mean; every row's own loss was asked for.",
        'leave out the division, or check with reduction="mean" (--reduction mean) if the mean is meant',
        lambda probe: 1 / probe.rows,
        reductions=("none",),
    ),
    Scale(
        "divided by B·C",
        "The result is divided by the number of all entries, B·C, as .mean() over a (B, C) array does. A row's loss is "
        "the sum over its classes.",
        "sum over the classes, then take the sum or mean over the rows:\n" + code("(...).sum(axis=1)"),
        lambda probe: 1 / (probe.rows * probe.classes * probe.share),
    ),
    Scale(
        "divided by C",
        "The result is divided by the number of classes, as .mean(axis=1) does. A row's loss is the sum over its "
        "classes.",
        code("(...).sum(axis=1)"),
        lambda probe: 1 / (probe.classes * probe.share),
    ),
    Scale(
        "divided by the sum of the targets",
        "The result is divided by the sum of all targets, Σ_n Σ_j y_nj. The sum divides by nothing, the mean by the "
        "number of rows B.",
        "divide by nothing for the sum, by len(z) for the mean",
        lambda probe: 1 / (float(probe.mass.sum()) * probe.share),
        targets=("probabilities",),
        reductions=("sum", "mean"),
    ),
)
