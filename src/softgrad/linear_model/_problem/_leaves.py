"""The number of rows in a leaf of the tree that adds sums over rows; see native/layout/tree_sum.h.

It depends on the columns, the classes and the density of X, but not on the number of rows: so any part of X that begins
with a leaf has nodes of the same tree.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LEAST_ROWS = 512
_MOST_DENSE_ROWS = 4096
_MOST_SPARSE_ROWS = 1 << 20
_ENTRIES_OF_COLUMN = 16  # of CSR in a leaf


def leaf_rows(x: Any, classes: int) -> int:
    """Return the number of rows in a leaf: a power of two, at least `LEAST_ROWS`."""
    rows = LEAST_ROWS
    while rows < min(2 * classes, _MOST_DENSE_ROWS):
        rows *= 2
    if isinstance(x, np.ndarray):
        return rows
    # As many as columns of the average number of entries need.
    while rows < _MOST_SPARSE_ROWS and 2 * rows * x.nnz <= _ENTRIES_OF_COLUMN * x.shape[0] * x.shape[1]:
        rows *= 2
    return rows
