"""Sparse matrices: validated and converted to canonical CSR, and restricted to the columns that have entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from scipy.sparse import coo_array, csr_array, csr_matrix, issparse

if TYPE_CHECKING:
    from softgrad._typing import Array

_ADVICE = "rebuild X from valid indices, for example with scipy.sparse.coo_array((values, (rows, columns)), shape)"


def canonical_rows(X: Any) -> Any:
    """Return a sparse matrix as CSR of float32 or float64: sorted columns, no duplicates, indices of one type.

    Canonical CSR is returned without a copy, and anything but a sparse matrix of real numbers unchanged. Invalid index
    arrays and masked values raise TypeError or ValueError.
    """
    if not issparse(X) or X.ndim != 2 or X.dtype.kind not in "biuf":
        return X
    match X.format:
        case "csr" | "csc" | "bsr":
            x = _compressed(X)
        case "coo":
            x = _coordinates(X)
        case "dia":
            x = type(X)((_values(X), _integers(X.offsets, "offsets")), shape=X.shape)
        case _:
            x = X.tocsr()
            x = _compressed(csr_array((_values(x), x.indices, x.indptr), shape=x.shape))
    rows = x.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy() if rows is x else rows
        rows.sum_duplicates()
    return rows


def used_columns(x: Any) -> Array | None:
    """Return the columns of CSR rows that have entries; None for dense rows, or if that is half of the columns."""
    if isinstance(x, np.ndarray):
        return None
    has_entries = np.zeros(x.shape[1], bool)
    has_entries[x.indices] = True
    used = np.flatnonzero(has_entries)
    return used if 2 * len(used) < x.shape[1] else None


def select_columns(x: Any, used: Array) -> Any:
    """Return CSR rows without the other columns: those have no entries, and their coefficients are 0."""
    position = np.zeros(x.shape[1], x.indices.dtype)
    position[used] = np.arange(len(used))
    return csr_matrix((x.data, position[x.indices], x.indptr), shape=(x.shape[0], max(len(used), 1)))


def expand_columns(coefficients: Array, used: Array, columns: int) -> Array:
    """Return coefficients of all columns, with 0 for the unused ones."""
    full = np.zeros((len(coefficients), columns), coefficients.dtype)
    full[:, used] = coefficients[:, : len(used)]
    return full


def _compressed(X: Any) -> Any:
    """Return the matrix on validated arrays, without flags that X may have cached for earlier ones."""
    starts, indices = _integers(X.indptr, "indptr"), _integers(X.indices, "indices")
    major, minor = X.shape if X.format != "csc" else X.shape[::-1]
    if X.format == "bsr":
        major, minor = major // X.blocksize[0], minor // X.blocksize[1]
    if starts.shape != (major + 1,):
        _reject(f"X.indptr has shape {starts.shape}; expected ({major + 1},) for X of shape {X.shape}")
    if starts[0] != 0:
        _reject(f"X.indptr[0] is {starts[0]}; expected 0")
    falls = starts[1:] < starts[:-1]
    if falls.any():
        at = int(falls.argmax())
        _reject(f"X.indptr[{at + 1}] is {starts[at + 1]}, less than the {starts[at]} before it; expected no fall")
    entries = int(starts[-1])
    if min(len(indices), len(X.data)) < entries:
        _reject(f"X.indptr ends at {entries}, X.indices has {len(indices)} entries and X.data {len(X.data)}; expected "
                "that many")  # fmt: skip
    indices = indices[:entries]
    _check_range(indices, minor, "indices")
    wide = np.int64 if indices.dtype.itemsize > 4 or starts.dtype.itemsize > 4 else np.int32
    same = type(X)(X.shape, **({"blocksize": X.blocksize} if X.format == "bsr" else {}))
    same.data = _values(X)[:entries]
    same.indices, same.indptr = indices.astype(wide, copy=False), starts.astype(wide, copy=False)
    return same


def _coordinates(X: Any) -> Any:
    rows, columns = _integers(X.row, "row"), _integers(X.col, "col")
    if not len(rows) == len(columns) == len(X.data):
        _reject(f"X has {len(rows)} row and {len(columns)} column indices for {len(X.data)} values")
    _check_range(rows, X.shape[0], "row")
    _check_range(columns, X.shape[1], "col")
    return coo_array((_values(X), (rows, columns)), shape=X.shape)


def _integers(index: Any, name: str) -> Array:
    """Return indices as int32 or int64, whichever holds their dtype."""
    array = np.asarray(index)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(
            f"X.{name} has shape {array.shape} and dtype {array.dtype}; expected one axis of integers; write "
            f"X.{name} = X.{name}.astype(numpy.int64) if they are integers"
        )
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and array.size and array.max() > np.iinfo(np.int64).max:
        _reject(f"X.{name} holds {array.max()}; expected integers below 2**63")
    narrow = array.dtype.itemsize < 4 or array.dtype.newbyteorder("=") == np.int32
    return np.ascontiguousarray(array, np.int32 if narrow else np.int64)


def _check_range(index: Array, size: int, name: str) -> None:
    if index.size and not (index.min() >= 0 and index.max() < size):
        at = int(((index < 0) | (index >= size)).argmax())
        _reject(f"X.{name}[{at}] is {index[at]}; expected indices from 0 to {size - 1}")


def _values(X: Any) -> Array:
    """Return the values as float32 or float64, so that summing duplicates of a narrow dtype cannot overflow."""
    if isinstance(X.data, np.ma.MaskedArray):
        raise TypeError("X.data is a masked array, whose mask would be lost; write X.data = X.data.filled(0)")
    return np.ascontiguousarray(X.data, np.float32 if X.dtype == np.float32 else np.float64)


def _reject(problem: str) -> NoReturn:
    raise ValueError(f"{problem}; {_ADVICE}")
