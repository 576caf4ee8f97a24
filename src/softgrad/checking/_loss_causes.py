"""Mistakes in the value of the cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Concatenate, ParamSpec

import numpy as np

import softgrad as sg
from softgrad.checking import _probability_formulas as formulas
from softgrad.checking._cause import CODE, DENSE, IF_ONE_HOT, Cause, Formula
from softgrad.checking._probability_causes import log_probability_causes

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad.checking._batches import Array, Batch

Constants = ParamSpec("Constants")


def _of_rows(
    loss: Callable[Concatenate[Batch, Constants], Array],
) -> Callable[Concatenate[Batch, Constants], Array]:
    """The losses of the rows, reduced as requested."""

    def reduced(batch: Batch, /, *args: Constants.args, **kwargs: Constants.kwargs) -> Array:
        return formulas.reduced(loss(batch, *args, **kwargs), batch)

    return reduced


def _row_losses(batch: Batch) -> Array:
    losses: Array = -(batch.target * batch.log_probs).sum(axis=1)
    return losses


def _with_log_probs(
    log_probs: Callable[Concatenate[Batch, Constants], Array],
) -> Callable[Concatenate[Batch, Constants], Array]:
    """−Σ_j y_j a_j, with another array a for log p."""

    def losses(batch: Batch, /, *args: Constants.args, **kwargs: Constants.kwargs) -> Array:
        rows: Array = -(batch.target * log_probs(batch, *args, **kwargs)).sum(axis=1)
        return rows

    return _of_rows(losses)


def _without_maximum(shift: Callable[[Array], Array]) -> Formula:
    """Σy · log Σ exp(z) − Σ_j y_j z_j, after a shift that does not keep it from overflowing."""

    def loss(batch: Batch) -> Array:
        z = shift(batch.logits)
        losses: Array = batch.mass[:, 0] * np.log(np.exp(z).sum(axis=1)) - (batch.target * z).sum(axis=1)
        return losses

    return _of_rows(loss)


def _log_of_quotient(shift: Callable[[Array], Array]) -> Formula:
    """−Σ y log(e / Σe) in one product: 0 · log 0 is NaN."""

    def log_probs(batch: Batch) -> Array:
        e = np.exp(shift(batch.logits))
        log_p: Array = np.log(e / e.sum(axis=1, keepdims=True))
        return log_p

    return _with_log_probs(log_probs)


def _largest_class_only(batch: Batch) -> Array:
    losses: Array = -batch.log_probs[np.arange(batch.rows), batch.labels]
    return losses


def _labels(batch: Batch) -> Array:
    """The class indices as a column of numbers."""
    column: Array = batch.labels[:, None].astype(np.float64)
    return column


CROSS_ENTROPY = (
    Cause(
        "log(p + eps)",
        "A constant of {parameter} is added to p inside the logarithm. The loss is too small for every p, and never "
        "exceeds −log of that constant: confidently wrong rows hardly count.",
        f"take log p without a constant:\n{CODE}",
        parametric=(_with_log_probs(lambda batch, eps: np.log(batch.probs + eps)),),
        parameter="eps",
    ),
    Cause(
        "probabilities clipped before the logarithm",
        "p is clipped at {parameter} before the logarithm. The loss of every smaller p is that of the limit: "
        "confidently wrong rows hardly count, and have no gradient.",
        f"take log p without a limit:\n{CODE}",
        parametric=(
            _with_log_probs(lambda batch, eps: np.log(np.maximum(batch.probs, eps))),
            _with_log_probs(lambda batch, eps: np.log(np.clip(batch.probs, eps, 1 - eps))),
        ),
        parameter="eps",
    ),
    Cause(
        "logarithm of an underflowed probability",
        "The softmax is right, but probabilities below 1e-308 are stored as 0, and log 0 is −inf (0 · log 0 is NaN). "
        "The exact loss is finite, and about as large as the logits.",
        f"take the logarithm of softmax itself:\n{CODE}",
        (
            _with_log_probs(lambda batch: np.log(batch.probs)),
            lambda batch: formulas.cross_entropy(batch.probs, batch),
        ),
    ),
    Cause(
        "factor Σy forgotten",
        "The result is lse(z) − Σ y z, which is the loss where the target sums to one. Rows may sum to Σy ≠ 1, and "
        "lse(z) counts Σy times.",
        f"{CODE}\n{IF_ONE_HOT}",
        (_of_rows(lambda batch: sg.logsumexp(batch.logits) - (batch.target * batch.logits).sum(axis=1)),),
        targets=DENSE,
    ),
    Cause(
        "targets normalised",
        "Every row of the target is divided by its sum. The sum is the weight of the row, and remains in the loss.",
        "use the target as it is given",
        (_of_rows(lambda batch: _row_losses(batch) / batch.mass[:, 0]),),
        targets=DENSE,
    ),
    Cause(
        "only the target's largest class",
        "Only the largest entry of the target counts, as if it were a class index: −log p of that class, with or "
        "without its weight. All classes with y > 0 count.",
        CODE,
        (
            _of_rows(_largest_class_only),
            _of_rows(lambda batch: _largest_class_only(batch) * batch.target.max(axis=1)),
        ),
        targets=DENSE,
    ),
    Cause(
        "one-hot forgotten",
        "The class indices are used as numbers: they multiply log p instead of choosing one of its entries.",
        CODE,
        (
            _of_rows(lambda batch: -(_labels(batch) * batch.log_probs).sum(axis=1)),
            _of_rows(lambda batch: _labels(batch)[:, 0] * _row_losses(batch)),
        ),
        targets=("index",),
    ),
    Cause(
        "labels off by one",
        "The logarithm is taken of the class before or after the label, as where labels count from 1.",
        CODE,
        (
            _of_rows(lambda batch: -(np.roll(batch.target, -1, axis=1) * batch.log_probs).sum(axis=1)),
            _of_rows(lambda batch: -(np.roll(batch.target, 1, axis=1) * batch.log_probs).sum(axis=1)),
        ),
        targets=("index",),
    ),
    Cause(
        "all pairs of rows and labels",
        "log_p[:, target] takes the columns of all labels for every row, instead of one entry of each row.",
        CODE,
        (
            lambda batch: np.asarray(-batch.log_probs[:, batch.labels].sum() * batch.row_weight),
            lambda batch: -batch.log_probs[:, batch.labels],
            lambda batch: np.asarray(-batch.log_probs[:, batch.labels].mean()),
        ),
        targets=("index",),
    ),
    Cause(
        "logarithm forgotten",
        "The result is −Σ y p; the logarithm of p is missing.",
        CODE,
        (_with_log_probs(lambda batch: batch.probs),),
    ),
    Cause(
        "log-sum-exp forgotten",
        "The result is −Σ y z: the log-sum-exp that makes log p of a logit is missing.",
        CODE,
        (
            _with_log_probs(lambda batch: batch.logits),
            _with_log_probs(lambda batch: batch.logits - batch.logits.max(axis=1, keepdims=True)),
        ),
    ),
    Cause(
        "maximum subtracted in one place only",
        "The maximum is subtracted before exp and not outside it, or the other way round: z − m − log Σ exp(z − m) has "
        "it in both places.",
        CODE,
        (
            _with_log_probs(lambda batch: batch.log_probs + batch.logits.max(axis=1, keepdims=True)),
            _with_log_probs(lambda batch: batch.log_probs - batch.logits.max(axis=1, keepdims=True)),
        ),
    ),
    Cause(
        "logarithm to another base",
        "The logarithm is to base 2 (bits) or 10; the cross-entropy here, and its gradient p − y, are in nats.",
        f"np.log, the natural logarithm:\n{CODE}",
        (
            _of_rows(lambda batch: _row_losses(batch) / np.log(2)),
            _of_rows(lambda batch: _row_losses(batch) / np.log(10)),
        ),
    ),
    Cause(
        "binary cross-entropy",
        "Every class is treated as a binary problem: −Σ y log p + (1 − y) log(1 − p). With softmax only the first term "
        "belongs to the loss.",
        CODE,
        (_of_rows(lambda batch: _row_losses(batch) - ((1 - batch.target) * np.log1p(-batch.probs)).sum(axis=1)),),
    ),
    Cause(
        "squared error",
        "The result is Σ (p − y)², or half of it.",
        CODE,
        (
            _of_rows(lambda batch: ((batch.probs - batch.target) ** 2).sum(axis=1)),
            _of_rows(lambda batch: ((batch.probs - batch.target) ** 2).sum(axis=1) / 2),
        ),
    ),
    Cause(
        "Kullback–Leibler divergence",
        "The result is Σ y log(y/p): the entropy of the target is subtracted. The gradient is the same, the value is "
        "not.",
        CODE,
        (
            _of_rows(
                lambda batch: _row_losses(batch) + (batch.target * np.log(np.maximum(batch.target, 1e-300))).sum(axis=1)
            ),
        ),
        targets=DENSE,
    ),
    Cause(
        "p and y exchanged",
        "The result is −Σ p log y; the logarithm belongs to the prediction p.",
        CODE,
        (_of_rows(lambda batch: -(batch.probs * np.log(batch.target)).sum(axis=1)),),
        targets=DENSE,
    ),
    Cause(
        "not reduced",
        "The result has one loss for every row, or a number for every entry; one number was requested.",
        'sum it (for the mean, also divide by len(z)), or check with reduction="none" (--reduction none)',
        (_row_losses, lambda batch: _row_losses(batch)[:, None], lambda batch: -batch.target * batch.log_probs),
        reductions=("sum", "mean"),
    ),
    Cause(
        "not summed over the classes",
        "The result is −y log p, a number for every entry; the loss of a row is their sum over the classes.",
        CODE,
        (lambda batch: -batch.target * batch.log_probs,),
        reductions=("none",),
    ),
    Cause(
        "already reduced",
        "The result is one number, the sum or mean over the batch; the losses of the rows were requested.",
        'sum over axis=1 only, or check with reduction="sum" or "mean" (--reduction sum or mean)',
        (lambda batch: np.asarray(_row_losses(batch).sum()), lambda batch: np.asarray(_row_losses(batch).mean())),
        reductions=("none",),
    ),
    Cause(
        "right numbers in another shape",
        "The numbers are right, but there is an axis too many or too few.",
        "one number for the sum or mean, shape (); one for each row otherwise, shape (B,)",
        (
            lambda batch: formulas.reduced(_row_losses(batch), batch)[..., None],
            lambda batch: formulas.reduced(_row_losses(batch), batch)[..., None, None],
            lambda batch: formulas.reduced(_row_losses(batch), batch)[None],
        ),
    ),
    Cause(
        "right numbers in another shape",
        "The numbers are right, but the batch axis is missing for a batch of one row.",
        "keep the batch axis also where B = 1: no squeeze",
        (lambda batch: np.squeeze(_row_losses(batch)),),
        reductions=("none",),
    ),
    *log_probability_causes(
        formulas.cross_entropy,
        lambda batch: formulas.cross_entropy(sg.softmax(batch.probs), batch),
        lambda shift: (_without_maximum(shift), _log_of_quotient(shift)),
    ),
)
