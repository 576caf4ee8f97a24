"""Calibration of predictions: rows binned by confidence, the probability of the predicted class."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from softgrad._typing import Array

BINS = 15  # as in Guo et al.


class Calibration(NamedTuple):
    """Rows binned by the confidence of their prediction: bin b holds confidences in (edges[b], edges[b + 1]]."""

    edges: Array
    rows: Array
    """Number or weight of the rows of each bin."""
    confidence: Array
    """Mean confidence of each bin; NaN where it is empty."""
    accuracy: Array
    """Accuracy of each bin; NaN where it is empty."""

    @property
    def error(self) -> float:
        """The mean gap between accuracy and confidence, each bin weighted by its rows (Guo et al., eq. 3)."""
        filled = self.rows > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float(gaps @ (self.rows[filled] / self.rows.sum()))


def bin_edges(bins: int = BINS) -> Array:
    """Return the edges of bins of equal width from 0 to 1."""
    return np.arange(bins + 1) / bins


def bin_indices(confidence: Array, edges: Array) -> Array:
    """Return the bin of each confidence; bins are open below and closed above."""
    return np.searchsorted(edges[1:-1], confidence, side="left")


def calibration_of(edges: Array, rows: Array, confidence: Array, correct: Array) -> Calibration:
    """Return the calibration, given the rows, the sum of the confidences and the correct rows of each bin."""
    return Calibration(edges, rows, ratio(confidence, rows), ratio(correct, rows))


def ratio(a: Array, b: Array) -> Array:
    """Return a / b; NaN where b is 0."""
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)
