"""The rows of a fit with their targets: what an objective needs of them, and the form that is in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad._loss_spec import DEFAULT
from softgrad.linear_model._problem._sampling import draw
from softgrad.linear_model._problem._tree_sum import rows_in_leaf, sum_by_class, sum_of_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets
    from softgrad._typing import Array


class Sample(NamedTuple):
    """Some rows of positive weight, in their order."""

    x: Any  # these and possibly other rows
    rows: Array  # the positions of the sample in x
    mass: Array  # of each
    is_all: bool  # whether they are all rows of the fit


class Totals(NamedTuple):
    """Sums over all rows."""

    weight: float  # Σ s_n
    mass: float  # Σ s_n Σ_j y_nj
    weighted: int  # rows of positive mass
    by_class: Array  # Σ s_n q_nk, without label smoothing

    @classmethod
    def of(cls, sums: Array) -> Totals:
        """Return the totals of the sums of `weight_sums`."""
        weight, mass, weighted, *by_class = sums.tolist()
        return cls(weight, mass, int(weighted), np.array(by_class))


class Rows(ABC):
    """X with its targets, wherever the rows are."""

    shape: tuple[int, int]  # of X
    dtype: np.dtype[Any]
    elements: int  # that a pass reads
    is_sparse: bool
    classes: int
    spec: LossSpec

    @abstractmethod
    def sum(self, function: Callable[..., Array], *args: Any) -> Array:
        """Return the sum of function(rows, *args) over parts of the rows, added as in `_tree_sum`."""

    @abstractmethod
    def largest(self, function: Callable[..., Array], *args: Any) -> Array:
        """Return the elementwise maximum of function(rows, *args) over parts of the rows."""

    @abstractmethod
    def heaviest(self) -> tuple[float, Array]:
        """Return the largest weight of a row, and x of the first row that has it, in float64."""

    @abstractmethod
    def sample(self, count: int) -> Sample:
        """Return `count` rows of positive weight, or all if there are fewer; larger samples contain smaller ones."""

    @cached_property
    def totals(self) -> Totals:
        """The sums of the weights."""
        return Totals.of(self.sum(weight_sums))


class LocalRows(Rows):
    """Rows in memory."""

    def __init__(self, x: Any, targets: Targets, spec: LossSpec = DEFAULT, leaf_rows: int | None = None) -> None:
        self.x = x
        self.targets = targets
        self.spec = spec
        self.shape = x.shape
        self.dtype = x.dtype
        self.is_sparse = not isinstance(x, np.ndarray)
        self.elements = x.nnz if self.is_sparse else x.size
        self.classes = targets.classes
        self.leaf_rows = leaf_rows or rows_in_leaf(x.shape, self.elements, self.classes)

    def part(self, rows: slice) -> LocalRows:
        """Return some of the rows, which begin with a leaf."""
        return LocalRows(self.x[rows], self.targets.part(rows), self.spec, self.leaf_rows)

    @cached_property
    def mass(self) -> Array:
        """s_n Σ_j y_nj, the factor of the softmax Jacobian in every row's Hessian."""
        mass: Array = self.targets.mass(self.spec)
        return mass

    def sum(self, function: Callable[..., Array], *args: Any) -> Array:
        return function(self, *args)

    def largest(self, function: Callable[..., Array], *args: Any) -> Array:
        return function(self, *args)

    def heaviest(self) -> tuple[float, Array]:
        n = int(self.targets.row_weight.argmax())
        row = self.x[[n]].toarray()[0] if self.is_sparse else self.x[n]
        return float(self.targets.row_weight[n]), row.astype(np.float64)

    def sample(self, count: int) -> Sample:
        weighted = np.flatnonzero(self.mass)
        drawn = weighted[draw(weighted, count)]
        return Sample(self.x, drawn, self.mass[drawn], len(drawn) == len(self.mass))


def weight_sums(rows: LocalRows) -> Array:
    """Return the sums of `Totals` in one array."""
    targets = rows.targets
    with np.errstate(over="ignore"):  # `location_and_scale` refuses weights whose sum is infinite
        if targets.labels is None:
            by_class = sum_of_rows(targets.row_weight[:, None] * targets.probabilities)
        else:
            by_class = sum_by_class(targets.labels, targets.row_weight, targets.classes)
        sums = sum_of_rows(targets.row_weight), sum_of_rows(rows.mass), np.count_nonzero(rows.mass)
    return np.array([*sums, *by_class])
