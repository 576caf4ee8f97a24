"""Targets of a loss: labels or class probabilities, and how much classes and rows weigh.

.. math:: y_{nj} = s_n w_j ((1 - ε) q_{nj} + ε/C)

for a distribution q (one-hot at a label), class weights w, row weights s and label smoothing ε. This is the only
module that evaluates y, for arrays of any library.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from softgrad._arrays import accumulator, along, device_of, namespace, row_sums
from softgrad._loss_spec import Reduction

if TYPE_CHECKING:
    from softgrad._loss_spec import LossSpec


class Targets(NamedTuple):
    """Checked targets of rows of logits, given by either `labels` or `probabilities`."""

    classes: int
    labels: Any = None  # class indices, one for every row
    probabilities: Any = None  # of the shape of the logits; rows need not sum to one
    axis: int = 1  # of the classes, in the logits
    class_weight: Any = None  # (classes,); None: 1
    row_weight: Any = None  # one for every row; None: 1
    summed_weight: tuple[float, float] | None = None  # of all rows that count, in two parts, where it is known
    first_class: int | None = None  # of the logits at hand, where they are a block of the classes

    def part(self, rows: Any) -> Targets:
        """The targets of some of the rows, with the summed weight of all rows; the classes are the last axis."""
        labels, probabilities, weight = (
            None if array is None else array[rows] for array in (self.labels, self.probabilities, self.row_weight)
        )
        return self._replace(labels=labels, probabilities=probabilities, row_weight=weight)

    def block(self, classes: slice) -> Targets:
        """The same targets for a block of the classes, which are the last axis."""
        probabilities = None if self.probabilities is None else self.probabilities[..., classes]
        return self._replace(probabilities=probabilities, first_class=classes.start)

    def kept(self, spec: LossSpec) -> Any:
        """A mask of the rows that the target does not ignore; None for all."""
        if self.labels is None or spec.ignore_index is None:
            return None
        return self.labels != spec.ignore_index

    def are_classes(self) -> Any:
        """A mask of the labels that are classes."""
        return (self.labels >= 0) & (self.labels < self.classes)

    def positions(self) -> Any:
        """The labels as indices, 0 where they are no classes."""
        return namespace(self.labels).where(self.are_classes(), self.labels, 0)

    def label_weight(self, spec: LossSpec) -> Any:
        """The class weight of every row's label, 0 in rows that are ignored; None where it is 1."""
        if self.class_weight is None:
            return None
        xp, kept, labels = namespace(self.class_weight), self.kept(spec), self.positions()
        weight = xp.reshape(xp.take(self.class_weight, xp.reshape(labels, (-1,)), axis=0), labels.shape)
        return weight if kept is None else xp.where(kept, weight, 0)

    def mass(self, spec: LossSpec) -> Any:
        """Σ_j y_j of every row; None where it is 1. Undefined in ignored rows."""
        if self.labels is None:
            mass = row_sums(self.probabilities, self.class_weight, self.axis)
        else:
            mass = self.label_weight(spec)
        if mass is not None and spec.label_smoothing:
            mean_weight = 1.0 if self.class_weight is None else namespace(mass).mean(self.class_weight)
            mass = (1 - spec.label_smoothing) * mass + spec.label_smoothing * mean_weight
        if self.row_weight is None:
            return mass
        return self.row_weight if mass is None else self.row_weight * mass

    def denominator(self, spec: LossSpec, axis: tuple[int, ...] | None = None) -> tuple[Any, float]:
        """The divisor of the sum of losses along some axes of the rows, or along all: a number in two parts."""
        if spec.reduction is not Reduction.mean:
            return 1.0, 0.0
        if self.summed_weight is not None:
            return self.summed_weight
        shape = self.labels.shape if self.labels is not None else _without(self.probabilities.shape, self.axis)
        weight = None if self.labels is None else self.label_weight(spec)
        if weight is None:
            weight = self.kept(spec)
        if weight is None:
            count = math.prod(shape if axis is None else (shape[i] for i in axis))
            return float(count) if isinstance(count, int) else count, 0.0  # JAX has symbolic dimensions
        xp = namespace(weight)
        return xp.sum(weight, axis=axis, dtype=accumulator(weight)), 0.0

    def dense(self, spec: LossSpec, like: Any) -> Any:
        """The targets y, of the shape and dtype of logits."""
        xp = namespace(like)
        q = self.is_label(like) if self.labels is not None else self.probabilities
        y = xp.astype(q, like.dtype)
        if spec.label_smoothing:
            y = (1 - spec.label_smoothing) * y + spec.label_smoothing / self.classes
        if self.class_weight is None:
            return y
        first = self.first_class or 0
        weight = self.class_weight[first : first + like.shape[self.axis]]
        return y * along(weight, like.ndim, self.axis)

    def is_label(self, like: Any) -> Any:
        """A mask of the labels, of the shape of the logits."""
        xp = namespace(like)
        first, count = self.first_class or 0, like.shape[self.axis]
        classes = xp.arange(first, first + count, dtype=self.labels.dtype, device=device_of(like))
        return xp.expand_dims(self.labels, axis=self.axis) == along(classes, like.ndim, self.axis)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])
