"""Columns that give the label away: they make a fit look perfect, and are not there where it is to be used."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.cli._tables._leakage_detection import Columns, Finding, balanced_sample, findings

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[Any]

_SHOWN = 8  # warnings
_SHOWN_COLUMNS = 20  # of a group
_SPARSE_ENTRIES = 3  # that the sample must hold of a sparse column: fewer decide nothing that it can show


def leaks(rows: pd.DataFrame, labels: Array, target: str) -> list[str]:
    """A warning for each column that should hardly be a feature, with what to write.

    These are columns of the target's name, without a name, that number the rows, or that decide the label: each of
    their values goes with one label, or each label with one range of numbers, or with whether there is a value, or a
    group of one-hot columns marks the labels, and that is no chance.

    Parameters
    ----------
    rows : DataFrame
        The features, which `numbers_and_text` made, in the order of the file.
    labels : ndarray
        One for each row.
    target : str
        The name of the column of labels.
    """
    codes = _codes(labels)
    sample = balanced_sample(codes)
    numeric = np.array([dtype.kind == "f" for dtype in rows.dtypes])
    parts = [_numbers(rows, np.flatnonzero(numeric), sample), _texts(rows, np.flatnonzero(~numeric), sample)]
    names = [str(name) for name in rows.columns]
    found = {finding.positions: finding for finding in findings(parts, codes, sample, len(names))}
    for position, name in enumerate(names):
        reason = _reason_of_name(name, target, found.get((position,)))
        if reason:
            found[position,] = Finding((position,), reason)
    warnings = []
    for finding in sorted(found.values()):
        chosen = [repr(names[position]) for position in finding.positions]
        drop = " ".join(f"--drop {name}" for name in chosen[:_SHOWN_COLUMNS])
        warnings.append(f"{_subject('column', chosen)} {finding.reason}; if that gives the label away, write {drop}")
    return _first(warnings)


def leaks_of_array(features: Any, labels: Array, numbers: Callable[[int], int]) -> list[str]:
    """The same for columns without names: a matrix, maybe mapped from its file, or SciPy's CSR.

    Parameters
    ----------
    features : ndarray or csr_matrix
        One row for each label.
    labels : ndarray
        The labels.
    numbers : callable
        The number in the file of the column at a position.
    """
    codes = _codes(labels)
    sample = balanced_sample(codes)
    dense = isinstance(features, np.ndarray)
    part = _of_matrix(features, sample) if dense else _of_sparse(features, sample)
    warnings = []
    for finding in sorted(findings([part], codes, sample, features.shape[1])):
        chosen = [str(numbers(position)) for position in finding.positions]
        shown = ", ".join(chosen[:_SHOWN_COLUMNS])
        way = (
            f"leave it out of the array: numpy.delete(X, {shown if len(chosen) == 1 else f'[{shown}]'}, axis=1)"
            if dense
            else f"leave {'its values' if len(chosen) == 1 else 'their values'} out of the file"
        )
        subject = _subject("column" if dense else "index", chosen)
        warnings.append(f"{subject} {finding.reason}; if that gives the label away, {way}")
    return _first(warnings)


def _codes(labels: Array) -> Array:
    return np.unique(labels, return_inverse=True)[1].ravel()


def _subject(kind: str, chosen: list[str]) -> str:
    if len(chosen) == 1:
        return f"{kind} {chosen[0]}"
    more = f" and {len(chosen) - _SHOWN_COLUMNS} more" if len(chosen) > _SHOWN_COLUMNS else ""
    return f"{'columns' if kind == 'column' else 'indices'} {', '.join(chosen[:_SHOWN_COLUMNS])}{more}"


def _first(warnings: list[str]) -> list[str]:
    return warnings if len(warnings) <= _SHOWN else [*warnings[:_SHOWN], f"and {len(warnings) - _SHOWN} more alike"]


def _reason_of_name(name: str, target: str, finding: Finding | None) -> str | None:
    if _same_name(name, target):
        return f"has the name of the target, {target!r}"
    if re.fullmatch(r"Unnamed: \d+(\.\d+)?", name):
        numbering = finding is not None and finding.numbering
        return f"has no name in the file{' and numbers the rows' if numbering else ''}, as an index of to_csv() does"
    return None


def _same_name(name: str, target: str) -> bool:
    """Whether two names are one: apart from case, and from the number that readers add to a name's repetition."""
    name, target = name.casefold(), target.casefold()
    shorter, longer = sorted((name, target), key=len)
    return longer.startswith(shorter) and re.fullmatch(r"(\.\d)?", longer[len(shorter) :]) is not None


def _numbers(rows: pd.DataFrame, positions: Array, sample: Array) -> Columns:
    sampled = rows.iloc[sample, positions].to_numpy(np.float64)
    return Columns(
        positions,
        True,
        lambda part: sampled[:, part],
        lambda index: rows.iloc[:, positions[index]].to_numpy(),
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
        # Entries of one index add up, as they do in the fit.
        chosen = matrix.indices == positions[index]
        entry_rows = np.searchsorted(matrix.indptr, np.flatnonzero(chosen), side="right") - 1
        return np.bincount(entry_rows, matrix.data[chosen], matrix.shape[0])

    return Columns(positions, True, lambda part: sampled[:, positions[part]].toarray(), whole)
