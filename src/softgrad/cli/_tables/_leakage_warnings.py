"""Warnings of target leakage: features that give the label away and make a model look better than it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.cli._tables._column_names import drop_option
from softgrad.cli._tables._leakage_detection import Columns, Leak, balanced_sample, find_leaks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd

    from softgrad._typing import Array

_MOST_WARNINGS = 8
_MOST_NAMES = 20  # columns of a group to name
_SPARSE_ENTRIES = 3  # entries that a sparse column needs in the sample; fewer prove nothing


def leakage_warnings(rows: pd.DataFrame, labels: Array, target: str) -> list[str]:
    """Return a warning for each suspicious column or group of columns, with the option that drops it.

    Suspicious are columns with the target's name or without a name, columns that number the rows, and columns that
    determine the label more reliably than chance would: by their values, by ranges of numbers, by whether a value is
    missing, or, as a group of one-hot columns, together.

    Parameters
    ----------
    rows : DataFrame
        The features, a result of `typed_columns`, in the order of the file.
    labels : ndarray
        One label per row.
    target : str
        Name of the label column.
    """
    codes = np.unique(labels, return_inverse=True)[1].ravel()
    sample = balanced_sample(codes)
    numeric = np.array([dtype.kind == "f" for dtype in rows.dtypes])
    parts = [_numbers(rows, np.flatnonzero(numeric), sample), _texts(rows, np.flatnonzero(~numeric), sample)]
    names = [str(name) for name in rows.columns]
    found = {leak.positions: leak for leak in find_leaks(parts, codes, sample, len(names))}
    for position, name in enumerate(names):
        reason = _suspicious_name(name, target, found.get((position,)))
        if reason:
            found[position,] = Leak((position,), reason)

    def drop(positions: Sequence[int]) -> str:
        return f"write {drop_option([names[position] for position in positions])}"

    return _warnings(found.values(), "columns", lambda position: repr(names[position]), drop)


def array_leakage_warnings(features: Any, labels: Array, numbering: Callable[[int], int]) -> list[str]:
    """Return the same for columns without names, of a matrix or SciPy CSR matrix.

    Parameters
    ----------
    features : ndarray or csr_matrix
        One row per label.
    labels : ndarray
        The labels.
    numbering : callable
        Map from the position of a feature to its number in the file.
    """
    codes = np.unique(labels, return_inverse=True)[1].ravel()
    sample = balanced_sample(codes)
    dense = isinstance(features, np.ndarray)
    part = _of_matrix(features, sample) if dense else _of_sparse(features, sample)

    def leave_out(positions: Sequence[int]) -> str:
        chosen = [str(numbering(position)) for position in positions]
        single = len(chosen) == 1
        if not dense:
            return f"leave {'its' if single else 'their'} values out of the file"
        listed = ", ".join(chosen)
        them, columns = ("it", listed) if single else ("them", f"[{listed}]")
        return f"leave {them} out of the array: numpy.delete(X, {columns}, axis=1)"

    leaks = find_leaks([part], codes, sample, features.shape[1])
    return _warnings(leaks, "columns" if dense else "indices", lambda position: str(numbering(position)), leave_out)


def _warnings(
    leaks: Iterable[Leak], kind: str, name_of: Callable[[int], str], remedy: Callable[[Sequence[int]], str]
) -> list[str]:
    warnings = []
    for leak in sorted(leaks):
        names = [name_of(position) for position in leak.positions]
        subject = f"{kind} {', '.join(names[:_MOST_NAMES])}"
        if len(names) == 1:
            subject = f"{'column' if kind == 'columns' else 'index'} {names[0]}"
        elif len(names) > _MOST_NAMES:
            subject += f" and {len(names) - _MOST_NAMES} more"
        warnings.append(f"{subject} {leak.reason}; if that gives the label away, {remedy(leak.positions)}")
    more = len(warnings) - _MOST_WARNINGS
    return [*warnings[:_MOST_WARNINGS], f"and {more} more"] if more > 0 else warnings


def _suspicious_name(name: str, target: str, leak: Leak | None) -> str | None:
    if _same_name(name, target):
        return f"has the name of the target, {target!r}"
    if re.fullmatch(r"Unnamed: \d+(\.\d+)?", name):
        numbering = leak is not None and leak.numbering
        return f"has no name in the file{' and numbers the rows' if numbering else ''}, like an index from to_csv()"
    return None


def _same_name(name: str, target: str) -> bool:
    """Return whether two names are equal apart from case and the number that pandas appends to a repeated name."""
    name, target = name.casefold(), target.casefold()
    shorter, longer = sorted((name, target), key=len)
    return longer.startswith(shorter) and re.fullmatch(r"(\.\d)?", longer[len(shorter) :]) is not None


def _numbers(rows: pd.DataFrame, positions: Array, sample: Array) -> Columns:
    sampled = rows.iloc[sample, positions].to_numpy(np.float64)
    return Columns(
        positions, True, lambda part: sampled[:, part], lambda index: rows.iloc[:, positions[index]].to_numpy()
    )


def _texts(rows: pd.DataFrame, positions: Array, sample: Array) -> Columns:
    def whole(index: int) -> Array:
        codes, _ = rows.iloc[:, positions[index]].factorize()
        return np.where(codes < 0, np.nan, codes)

    def sampled(part: slice) -> Array:
        return np.stack([whole(index)[sample] for index in range(len(positions))[part]], axis=1)

    return Columns(positions, False, sampled, whole)


def _of_matrix(matrix: Array, sample: Array) -> Columns:
    return Columns(
        np.arange(matrix.shape[1]),
        True,
        lambda part: matrix[sample, part],
        lambda index: np.asarray(matrix[:, index], np.float64),
    )


def _of_sparse(matrix: Any, sample: Array) -> Columns:
    sampled = matrix[sample].tocsc()
    positions = np.flatnonzero(np.diff(sampled.indptr) >= _SPARSE_ENTRIES)

    def whole(index: int) -> Array:
        # Repeated entries are added up, as in the fit.
        chosen = matrix.indices == positions[index]
        entry_rows = np.searchsorted(matrix.indptr, np.flatnonzero(chosen), side="right") - 1
        return np.bincount(entry_rows, matrix.data[chosen], matrix.shape[0])

    return Columns(positions, True, lambda part: sampled[:, positions[part]].toarray(), whole)
