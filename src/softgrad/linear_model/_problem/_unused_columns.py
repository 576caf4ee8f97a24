"""Columns of sparse rows in which nothing is stored: their coefficients are 0, and a fit need not look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def used_columns(x: Any) -> Array | None:
    """The columns of CSR rows that hold entries, if they are less than half of all; else None, also for dense rows."""
    if isinstance(x, np.ndarray):
        return None
    holds = np.zeros(x.shape[1], bool)
    holds[x.indices] = True
    used = np.flatnonzero(holds)
    return used if 2 * len(used) < x.shape[1] else None


def only(x: Any, used: Array) -> Any:
    """The rows without the other columns, which hold nothing."""
    position = np.zeros(x.shape[1], x.indices.dtype)
    position[used] = np.arange(len(used))
    return csr_matrix((x.data, position[x.indices], x.indptr), shape=(x.shape[0], max(len(used), 1)))


def spread(coefficients: Array, used: Array, columns: int) -> Array:
    """Coefficients of all columns, 0 where nothing is stored."""
    full = np.zeros((len(coefficients), columns), coefficients.dtype)
    full[:, used] = coefficients[:, : len(used)]
    return full
