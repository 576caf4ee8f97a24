"""What the rows are to be classified as: labels or class probabilities, and how much each row counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Targets:
    """y_n and s_n of the objective Σ s_n CE(W x_n + b, y_n)."""

    classes: int
    labels: Array | None  # (N,) int64; None: probabilities
    probabilities: Array | None  # (N, K) float64, rows need not sum to one
    weight: Array  # (N,) float64, s_n
    label_smoothing: float = 0.0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.weight)

    def rows(self, part: slice | Array) -> Targets:
        """Those of some rows."""
        labels = None if self.labels is None else self.labels[part]
        probabilities = None if self.probabilities is None else self.probabilities[part]
        return replace(self, labels=labels, probabilities=probabilities, weight=self.weight[part])

    @property
    def mass(self) -> Array:
        """s_n Σ_j y_nj, the factor of the softmax's Jacobian in every row's Hessian."""
        if self.probabilities is None:
            return self.weight
        of_rows = self.probabilities.sum(axis=1)
        return self.weight * ((1 - self.label_smoothing) * of_rows + self.label_smoothing)

    def class_weights(self) -> Array:
        """Σ_n s_n y_nk of every class k, before smoothing."""
        if self.probabilities is not None:
            return self.weight @ self.probabilities
        return np.bincount(self.labels, weights=self.weight, minlength=self.classes)  # type: ignore[arg-type]
