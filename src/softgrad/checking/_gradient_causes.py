"""Mistakes in the gradient of the cross-entropy with respect to the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Concatenate, ParamSpec

import numpy as np

import softgrad as sg
from softgrad.checking import _probability_formulas as formulas
from softgrad.checking._cause import CODE, DENSE, IF_ONE_HOT, Cause, summed_over_batch, wrong_shape
from softgrad.checking._probability_causes import probability_causes

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad.checking._batches import Array, Batch

Constants = ParamSpec("Constants")


def _of_rows(
    gradient: Callable[Concatenate[Batch, Constants], Array],
) -> Callable[Concatenate[Batch, Constants], Array]:
    """The gradient of the losses of the rows, divided as the reduction requires."""

    def divided(batch: Batch, /, *args: Constants.args, **kwargs: Constants.kwargs) -> Array:
        return batch.row_weight * (gradient(batch, *args, **kwargs) + formulas.z_loss_grad(batch))

    return divided


def _exact(batch: Batch) -> Array:
    return formulas.cross_entropy_grad(batch.probs, batch)


def _difference(batch: Batch) -> Array:
    return batch.probs * batch.mass - batch.target


def _through_softmax(gradient_in_p: Array, batch: Batch) -> Array:
    """The gradient with respect to the logits, from the one with respect to p."""
    return formulas.jacobian_product(batch.probs, gradient_in_p)


def _with_added_constant(batch: Batch, eps: float) -> Array:
    return _through_softmax(-batch.target / (batch.probs + eps), batch)


def _with_clipping(batch: Batch, eps: float) -> Array:
    kept = batch.probs > eps
    return _through_softmax(-batch.target * kept / np.where(kept, batch.probs, 1), batch)


def _largest_class(batch: Batch) -> Array:
    one_hot: Array = np.eye(batch.classes)[batch.labels]
    return one_hot


def _subtracted_in_all_rows(batch: Batch) -> Array:
    g = batch.probs.copy()
    g[:, batch.labels] -= 1
    return g


def _at_shifted_labels(batch: Batch, shift: int) -> Array:
    """The gradient with a one-hot y at the class before or after the label; after the last one comes the first."""
    y: Array = np.roll(batch.target, shift, axis=1)
    return batch.probs * batch.mass - y


def _softmax_twice(batch: Batch) -> Array:
    return _through_softmax(sg.softmax(batch.probs) * batch.mass - batch.target, batch)


UNWEIGHTED = Cause(
    "p − y where Σy ≠ 1",
    "The result is p − y, which is the gradient where the target sums to one. Every class adds y_j p to the gradient, "
    "so p is multiplied by Σy.",
    f"{CODE}\n{IF_ONE_HOT}",
    (_of_rows(lambda batch: batch.probs - batch.target),),
    targets=DENSE,
)

CROSS_ENTROPY_GRAD = (
    Cause(
        "gradient with respect to probabilities",
        "The result is −y/p, the derivative of the loss with respect to p. The chain rule continues through softmax "
        "to the logits, where the division by p cancels.",
        CODE,
        (_of_rows(lambda batch: -batch.target / batch.probs),),
        (_of_rows(lambda batch, eps: -batch.target / (batch.probs + eps)),),
        "eps",
    ),
    Cause(
        "gradient with respect to log-probabilities",
        "The result is −y, the derivative of the loss with respect to log p. The chain rule continues through "
        "log-softmax to the logits, which adds p Σy.",
        CODE,
        (_of_rows(lambda batch: -batch.target),),
    ),
    Cause(
        "p − y multiplied again by p(1 − p)",
        "The result is (Σy p − y) p(1 − p). p − y already is the derivative with respect to the logits: it includes "
        "the derivative of softmax.",
        CODE,
        (
            _of_rows(lambda batch: _difference(batch) * batch.probs * (1 - batch.probs)),
            _of_rows(lambda batch: (batch.probs - batch.target) * batch.probs * (1 - batch.probs)),
            _of_rows(lambda batch: _through_softmax(_difference(batch), batch)),
        ),
    ),
    UNWEIGHTED,
    Cause(
        "targets normalised",
        "The result is p − y/Σy: every row of the target is divided by its sum. The sum is the weight of the row, and "
        "remains in the gradient.",
        CODE,
        (_of_rows(lambda batch: batch.probs - batch.target / batch.mass),),
        targets=DENSE,
    ),
    Cause(
        "only the diagonal of the softmax's Jacobian",
        "The result is −y(1 − p): −y/p times p(1 − p). The chain rule sums over all outputs p_j, because each depends "
        "on every logit.",
        CODE,
        (_of_rows(lambda batch: -batch.target * (1 - batch.probs)),),
        # For class indices this is zero but in the entry of the target, where it is right.
        targets=DENSE,
    ),
    Cause(
        "only the target entry filled",
        "The gradient is right in the entry of the target class and zero in all others. Every other logit has the "
        "gradient p_k Σy − y_k: raising it lowers the probability of the target.",
        CODE,
        (
            _of_rows(lambda batch: _difference(batch) * _largest_class(batch)),
            _of_rows(lambda batch: (batch.probs - 1) * _largest_class(batch)),
        ),
    ),
    Cause(
        "only the target's largest class",
        "The result is p − 1 in the largest entry of the target and p elsewhere, as if the target were a class index.",
        CODE,
        (
            _of_rows(lambda batch: batch.probs - _largest_class(batch)),
            _of_rows(lambda batch: (batch.probs - _largest_class(batch)) * batch.mass),
        ),
        targets=DENSE,
    ),
    Cause(
        "target never subtracted",
        "The result is p, or p Σy: the gradient of log-sum-exp alone. The target is not subtracted.",
        CODE,
        (_of_rows(lambda batch: batch.probs * batch.mass), _of_rows(lambda batch: batch.probs)),
    ),
    Cause(
        "p kept in ignored rows",
        "In rows whose label is ignored nothing is subtracted, but p remains: the gradient of an ignored row is zero.",
        CODE,
        (_of_rows(lambda batch: batch.probs * np.where(batch.kept, batch.mass, 1) - batch.target),),
        targets=("index",),
    ),
    Cause(
        "1 subtracted in every entry",
        "The result is p − 1 in all entries; the 1 belongs in the entry of the target only.",
        CODE,
        (_of_rows(lambda batch: batch.probs - 1),),
    ),
    Cause(
        "one-hot forgotten",
        "The class index itself is subtracted: p − target, as if the number of a class were its probability.",
        CODE,
        (_of_rows(lambda batch: batch.probs - batch.labels[:, None]),),
        targets=("index",),
    ),
    Cause(
        "1 subtracted in the columns of all labels",
        "g[:, target] -= 1 subtracts 1 in every row at the classes of all labels, instead of in one entry of each row.",
        CODE,
        (_of_rows(_subtracted_in_all_rows),),
        targets=("index",),
    ),
    Cause(
        "labels off by one",
        "The 1 is subtracted at the class before or after the label, as where labels count from 1.",
        CODE,
        (_of_rows(lambda batch: _at_shifted_labels(batch, -1)), _of_rows(lambda batch: _at_shifted_labels(batch, 1))),
        targets=("index",),
    ),
    Cause(
        "gradient of log(p + eps)",
        "This is the gradient of −Σ y log(p + eps) with eps = {parameter}: where p is smaller, the gradient "
        "vanishes, and confidently wrong rows are no longer corrected.",
        f"{CODE}\nit needs no logarithm and no eps",
        parametric=(_of_rows(_with_added_constant),),
        parameter="eps",
    ),
    Cause(
        "gradient of a clipped loss",
        "Where p is below {parameter}, the part of the gradient from the target is zero, as autograd of log(clip(p)) "
        "gives: confidently wrong rows are no longer corrected.",
        f"{CODE}\nit needs no logarithm and no limit",
        parametric=(_of_rows(_with_clipping),),
        parameter="threshold",
    ),
    Cause(
        "gradient of the squared error",
        "The result is the gradient of Σ (p − y)² through softmax.",
        CODE,
        (_of_rows(lambda batch: 2 * _through_softmax(batch.probs - batch.target, batch)),),
    ),
    Cause(
        "gradient of half the squared error",
        "The result is the gradient of Σ (p − y)² / 2 through softmax.",
        CODE,
        (_of_rows(lambda batch: _through_softmax(batch.probs - batch.target, batch)),),
        # Where Σy = 1 this is p − y, multiplied again by the derivative of softmax.
        targets=("weighted",),
    ),
    Cause(
        "logarithm of an underflowed probability",
        "The gradient is taken through log(softmax(z)): where a probability is stored as 0, −y/p is infinite or 0/0, "
        "and times p = 0 it is NaN. The exact gradient is finite there: p Σy − y.",
        f"{CODE}\nwith autograd: differentiate log_softmax(z), not log(softmax(z))",
        (_of_rows(lambda batch: _through_softmax(-batch.target / batch.probs, batch)),),
    ),
    summed_over_batch(
        _exact, "The result is one gradient of C numbers for the whole batch; expected one for each row.", CODE
    ),
    Cause(
        "loss instead of gradient",
        "The result is the loss; its gradient has the shape of z.",
        CODE,
        (
            lambda batch: formulas.cross_entropy(batch.probs, batch),
            lambda batch: -(batch.target * sg.log_softmax(batch.logits)).sum(axis=1),
            lambda batch: -batch.target * sg.log_softmax(batch.logits),
        ),
    ),
    wrong_shape(_exact),
    *probability_causes(
        formulas.cross_entropy_grad,
        _of_rows(_softmax_twice),
        logits_as_probs=(lambda batch: formulas.cross_entropy_grad(batch.logits, batch),),
    ),
)
