"""Mistakes in the value of the cross-entropy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

import softgrad as sg
from softgrad.checking import _formulas as formulas
from softgrad.checking._cause import Cause, Family, Imitation, code
from softgrad.checking._probability_causes import probability_causes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]

_LOG_LINES = code(
    "d = z - z.max(axis=1, keepdims=True)",
    "log_p = d - np.log(np.exp(d).sum(axis=1, keepdims=True))",
    "losses = -(y * log_p).sum(axis=1)",
)
_SUM_LINE = code("-(y * log_p).sum(axis=1)")
_INDEX_LINE = code("-log_p[np.arange(len(z)), target]")


def _of_rows(loss: Imitation) -> Imitation:
    """The rows' losses, reduced as asked for."""
    return lambda probe: formulas.reduced(loss(probe), probe)


def _of_rows_with_constant(loss: Family) -> Family:
    return lambda probe, constant: formulas.reduced(loss(probe, constant), probe)


def _log_probs(probe: Probe) -> Array:
    log_p: Array = sg.log_softmax(probe.logits)
    return log_p


def _row_losses(probe: Probe) -> Array:
    losses: Array = -(probe.target * _log_probs(probe)).sum(axis=1)
    return losses


def _against(numbers: Callable[[Probe], Array]) -> Imitation:
    """−Σ_j y_j a_j, with something else than log p for a."""
    return _of_rows(lambda probe: -(probe.target * numbers(probe)).sum(axis=1))


def _without_maximum(shift: Callable[[Array], Array]) -> Imitation:
    """Σy · log Σ exp(z) − Σ_j y_j z_j, after a shift that does not keep it from overflowing."""

    def loss(probe: Probe) -> Array:
        z = shift(probe.logits)
        losses: Array = probe.mass[:, 0] * np.log(np.exp(z).sum(axis=1)) - (probe.target * z).sum(axis=1)
        return losses

    return _of_rows(loss)


def _log_of_quotient(shift: Callable[[Array], Array]) -> Imitation:
    """−Σ y log(e / Σe) in one product: 0 · log 0 is NaN."""

    def log_probs(probe: Probe) -> Array:
        e = np.exp(shift(probe.logits))
        log_p: Array = np.log(e / e.sum(axis=1, keepdims=True))
        return log_p

    return _against(log_probs)


def _largest_class_only(probe: Probe) -> Array:
    losses: Array = -_log_probs(probe)[np.arange(probe.rows), probe.target.argmax(axis=1)]
    return losses


def _labels(probe: Probe) -> Array:
    """The class indices as a column of numbers."""
    column: Array = probe.target.argmax(axis=1)[:, None].astype(np.float64)
    return column


_PROBABILITY_CAUSES = probability_causes(
    formulas.cross_entropy,
    lambda probe: formulas.cross_entropy(sg.softmax(probe.probs), probe),
    logits_as_probs=(),
)
# Logarithms of negative logits are NaN, which fits nothing; log(exp(z)) is z, which "log-sum-exp forgotten" names.
_INAPPLICABLE = ("logits used where probabilities are meant", "division by the sum forgotten")
# The same overflows where log p is computed without p.
_SHIFTS: dict[str, Callable[[Array], Array]] = {
    "no maximum subtracted": lambda z: z,
    "one maximum for the whole batch": lambda z: z - z.max(),
}

CROSS_ENTROPY = (
    Cause(
        "log(p + eps)",
        "A constant of {parameter} is added to p inside the logarithm. The loss is too small for every p, and never "
        "exceeds −log of that constant: confidently wrong rows stop counting.",
        f"take the logarithm of softmax itself, which needs no constant:\n{_LOG_LINES}",
        families=(_of_rows_with_constant(lambda probe, eps: -(probe.target * np.log(probe.probs + eps)).sum(axis=1)),),
        parameter="eps",
    ),
    Cause(
        "probabilities clipped before the logarithm",
        "p is kept above {parameter} before the logarithm. The loss of every smaller p is that of the limit: "
        "confidently wrong rows stop counting, and have no gradient.",
        f"take the logarithm of softmax itself, which needs no limit:\n{_LOG_LINES}",
        families=(
            _of_rows_with_constant(
                lambda probe, eps: -(probe.target * np.log(np.maximum(probe.probs, eps))).sum(axis=1)
            ),
            _of_rows_with_constant(
                lambda probe, eps: -(probe.target * np.log(np.clip(probe.probs, eps, 1 - eps))).sum(axis=1)
            ),
        ),
        parameter="eps",
    ),
    Cause(
        "logarithm of an underflowed probability",
        "softmax is right, but probabilities below 1e-308 are stored as 0, and log 0 is −inf (0 · log 0 is NaN), "
        "where the loss is a finite number of the size of the logits.",
        f"take the logarithm of softmax itself:\n{_LOG_LINES}",
        (
            _against(lambda probe: np.log(probe.probs)),
            lambda probe: formulas.cross_entropy(probe.probs, probe),
        ),
    ),
    Cause(
        "factor Σy forgotten",
        "The result is lse(z) − Σ y z, which is the loss where the target sums to one. Rows may sum to Σy ≠ 1, and "
        "lse(z) counts Σy times.",
        code("y.sum(axis=1) * lse - (y * z).sum(axis=1)"),
        (_of_rows(lambda probe: sg.logsumexp(probe.logits) - (probe.target * probe.logits).sum(axis=1)),),
        targets=("probabilities",),
    ),
    Cause(
        "targets normalised",
        "Every row of the target is divided by its sum. The sum is the row's weight, and stays in the loss.",
        "use the target as it is given",
        (_of_rows(lambda probe: _row_losses(probe) / probe.mass[:, 0]),),
        targets=("probabilities",),
    ),
    Cause(
        "only the target's largest class",
        "Only the largest entry of the target counts, as if it were a class index: −log p of that class, with or "
        "without its weight. All classes with y > 0 count.",
        _SUM_LINE,
        (
            _of_rows(_largest_class_only),
            _of_rows(lambda probe: _largest_class_only(probe) * probe.target.max(axis=1)),
        ),
        targets=("probabilities",),
    ),
    Cause(
        "one-hot forgotten",
        "The class indices are used as numbers: they multiply log p instead of choosing one of its entries.",
        _INDEX_LINE,
        (
            _of_rows(lambda probe: -(_labels(probe) * _log_probs(probe)).sum(axis=1)),
            _of_rows(lambda probe: _labels(probe)[:, 0] * _row_losses(probe)),
        ),
        targets=("index",),
    ),
    Cause(
        "all pairs of rows and labels",
        "log_p[:, target] takes the columns of all labels for every row; one entry of each row is meant.",
        _INDEX_LINE,
        (
            lambda probe: np.asarray(-_log_probs(probe)[:, probe.target.argmax(axis=1)].sum() * probe.share),
            lambda probe: -_log_probs(probe)[:, probe.target.argmax(axis=1)],
            lambda probe: np.asarray(-_log_probs(probe)[:, probe.target.argmax(axis=1)].mean()),
        ),
        targets=("index",),
    ),
    Cause(
        "logarithm forgotten",
        "The result is −Σ y p; the logarithm of p is missing.",
        _LOG_LINES,
        (_against(lambda probe: probe.probs),),
    ),
    Cause(
        "log-sum-exp forgotten",
        "The result is −Σ y z: the log-sum-exp that makes log p of a logit is missing.",
        _LOG_LINES,
        (
            _against(lambda probe: probe.logits),
            _against(lambda probe: probe.logits - probe.logits.max(axis=1, keepdims=True)),
        ),
    ),
    Cause(
        "logarithm to another base",
        "The logarithm is to base 2 (bits) or 10; the cross-entropy here, and its gradient p − y, are in nats.",
        "np.log, the natural logarithm",
        (
            _of_rows(lambda probe: _row_losses(probe) / np.log(2)),
            _of_rows(lambda probe: _row_losses(probe) / np.log(10)),
        ),
    ),
    Cause(
        "binary cross-entropy",
        "Every class is taken as a question of its own: −Σ y log p + (1 − y) log(1 − p). With softmax only the first "
        "term belongs to the loss.",
        _SUM_LINE,
        (_of_rows(lambda probe: _row_losses(probe) - ((1 - probe.target) * np.log1p(-probe.probs)).sum(axis=1)),),
    ),
    Cause(
        "squared error",
        "The result is Σ (p − y)², or half of it.",
        _LOG_LINES,
        (
            _of_rows(lambda probe: ((probe.probs - probe.target) ** 2).sum(axis=1)),
            _of_rows(lambda probe: ((probe.probs - probe.target) ** 2).sum(axis=1) / 2),
        ),
    ),
    Cause(
        "Kullback–Leibler divergence",
        "The result is Σ y log(y/p): the entropy of the target is subtracted. The gradient is the same, the value is "
        "not.",
        _SUM_LINE,
        (
            _of_rows(
                lambda probe: _row_losses(probe) + (probe.target * np.log(np.maximum(probe.target, 1e-300))).sum(axis=1)
            ),
        ),
        targets=("probabilities",),
    ),
    Cause(
        "p and y exchanged",
        "The result is −Σ p log y; the logarithm belongs to the prediction p.",
        _SUM_LINE,
        (_of_rows(lambda probe: -(probe.probs * np.log(probe.target)).sum(axis=1)),),
        targets=("probabilities",),
    ),
    Cause(
        "not reduced",
        "The result has one loss for every row, or a number for every entry; one number was asked for.",
        'sum it (for the mean, also divide by len(z)), or check with reduction="none" (--reduction none)',
        (_row_losses, lambda probe: _row_losses(probe)[:, None], lambda probe: -probe.target * _log_probs(probe)),
        reductions=("sum", "mean"),
    ),
    Cause(
        "not summed over the classes",
        "The result is −y log p, a number for every entry; a row's loss is their sum over the classes.",
        _SUM_LINE,
        (lambda probe: -probe.target * _log_probs(probe),),
        reductions=("none",),
    ),
    Cause(
        "already reduced",
        "The result is one number, the sum or mean over the batch; every row's own loss was asked for.",
        'sum over axis=1 only, or check with reduction="sum" or "mean" (--reduction sum or mean)',
        (lambda probe: np.asarray(_row_losses(probe).sum()), lambda probe: np.asarray(_row_losses(probe).mean())),
        reductions=("none",),
    ),
    Cause(
        "right numbers in another shape",
        "The numbers are right, but there is an axis too many or too few.",
        "one number for the sum or mean, shape (); one for each row otherwise, shape (B,)",
        (
            lambda probe: formulas.reduced(_row_losses(probe), probe)[..., None],
            lambda probe: formulas.reduced(_row_losses(probe), probe)[..., None, None],
            lambda probe: formulas.reduced(_row_losses(probe), probe)[None],
        ),
    ),
    Cause(
        "right numbers in another shape",
        "The numbers are right, but for a batch of one row the axis of the rows is missing.",
        "keep the batch axis also where B = 1: no squeeze",
        (lambda probe: np.squeeze(_row_losses(probe)),),
        reductions=("none",),
    ),
    *(
        replace(
            cause,
            imitations=(
                *cause.imitations,
                _without_maximum(_SHIFTS[cause.name]),
                _log_of_quotient(_SHIFTS[cause.name]),
            ),
        )
        if cause.name in _SHIFTS
        else cause
        for cause in _PROBABILITY_CAUSES
        if cause.name not in _INAPPLICABLE
    ),
)
