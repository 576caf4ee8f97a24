"""Random samples of rows without a list of all rows: every row has a fixed random key, and the smallest are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from softgrad._typing import Array


def sampling_keys(rows: Array) -> Array:
    """Return 64 random bits for each row number.

    They are those of SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014,
    Figure 1), whose state after n steps is a multiple of n: a mixing function of the row number.
    """
    z = (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def draw(rows: Array, count: int) -> Array:
    """Return the positions of the `count` rows with the smallest keys, in order, or of all if there are fewer."""
    if count >= len(rows):
        return np.arange(len(rows))
    return np.sort(np.argpartition(sampling_keys(rows), count)[:count])
