"""Arrays of float32 that several suites measure, the same in every call; logits have a deviation of 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from softgrad._typing import Array


def logits(shape: tuple[int, ...]) -> Array:
    """Rows of logits."""
    return 3 * np.random.default_rng(0).standard_normal(shape, np.float32)


def labelled_logits(shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Rows of logits, and their labels."""
    rng = np.random.default_rng(0)
    return 3 * rng.standard_normal(shape, np.float32), rng.integers(shape[1], size=shape[0])


def linear_head(shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Features, coefficients and labels, for a shape of rows × features × classes."""
    rows, features, classes = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, features), np.float32)
    W = rng.standard_normal((classes, features), np.float32)
    W *= np.float32(3 / np.sqrt(features))
    return x, W, rng.integers(classes, size=rows)
