"""Columns that give the label away: they make a fit look perfect, and are not there where it is to be used."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[Any]

# A column decides the label if chance had done so in one of so many tables.
_CHANCE = 1e-6
# Of the rows that are not of the largest class, the share that may be exceptions: slips in one of the two columns.
_EXCEPTIONS = 1e-3
# Rows for each value, so that rows which occur twice decide nothing.
_ROWS_PER_VALUE = 10
_SAMPLE = 500  # rows that rule out most columns
_SAMPLE_EXCEPTIONS = 5
_SHORTEST_NUMBERING = 10


def leaks(rows: pd.DataFrame, labels: Array, target: str) -> list[str]:
    """A warning for each column that should hardly be a feature, with what to write.

    These are columns of the target's name, without a name, that number the rows, or that alone decide the label: each
    of their values goes with one label, or each label with one range of numbers, and that is no chance.

    Parameters
    ----------
    rows : DataFrame
        The features, which `numbers_and_text` made, in the order of the file.
    labels : ndarray
        One for each row.
    target : str
        The name of the column of labels.
    """
    _, codes = np.unique(labels, return_inverse=True)
    found = []
    for name in rows.columns:
        reason = _reason(str(name), rows[name], codes, target, len(rows.columns))
        if reason:
            found.append(f"column {name!r} {reason}; if that gives the label away, write --drop {name!r}")
    return found if len(found) <= 8 else [*found[:8], f"and {len(found) - 8} more columns alike"]


def _reason(name: str, values: pd.Series[Any], codes: Array, target: str, columns: int) -> str | None:
    if _same_name(name, target):
        return f"has the name of the target, {target!r}"
    numbering = _numbers_the_rows(values)
    if re.fullmatch(r"Unnamed: \d+(\.\d+)?", name):
        return f"has no name in the file{' and numbers the rows' if numbering else ''}, as an index of to_csv() does"
    if numbering:
        return f"numbers the rows, from {values.iloc[0]:g} to {values.iloc[-1]:g}"
    return _decides(values, codes, columns)


def _same_name(name: str, target: str) -> bool:
    """Whether two names are one: apart from case, and from the number that readers add to a name's repetition."""
    name, target = name.casefold(), target.casefold()
    longer, shorter = (name, target) if len(name) >= len(target) else (target, name)
    return longer == shorter or re.fullmatch(re.escape(shorter) + r"\.\d", longer) is not None


def _numbers_the_rows(values: pd.Series[Any]) -> bool:
    numbers = values.to_numpy()
    return bool(
        numbers.dtype.kind == "f"
        and len(numbers) >= _SHORTEST_NUMBERING
        and numbers[0] in (0, 1)
        and (np.diff(numbers) == 1).all()
    )


def _decides(values: pd.Series[Any], codes: Array, columns: int) -> str | None:
    there = values.notna().to_numpy()
    if 2 * there.sum() < len(values):
        return None
    if not there.all():
        values, codes = values[there], codes[there]
    sample = np.linspace(0, len(values) - 1, min(_SAMPLE, len(values))).astype(np.int64)
    if _by_values(values.iloc[sample], codes[sample], columns, sampled=True):
        reason = _by_values(values, codes, columns)
        if reason:
            return reason
    numeric = values.dtype.kind == "f" and _by_ranges(values.iloc[sample].to_numpy(), codes[sample])
    if numeric and _by_ranges(values.to_numpy(), codes) and _chance_of_ranges(codes) < _CHANCE / columns:
        return "alone decides the label: each label has a range of its own"
    return None


def _by_values(values: pd.Series[Any], codes: Array, columns: int, *, sampled: bool = False) -> str | None:
    """Why each value goes with one label, if it does."""
    import pandas as pd  # noqa: PLC0415

    places, different = pd.factorize(values)
    pairs, rows = np.unique(places * (codes.max() + 1) + codes, return_counts=True)
    largest = np.zeros(len(different), np.int64)
    np.maximum.at(largest, pairs // (codes.max() + 1), rows)
    exceptions = len(codes) - int(largest.sum())
    shares = np.bincount(codes) / len(codes)
    if sampled:
        return "perhaps" if exceptions <= _SAMPLE_EXCEPTIONS else None
    if exceptions > _EXCEPTIONS * (1 - shares.max()) * len(codes) or len(codes) < _ROWS_PER_VALUE * len(different):
        return None
    # That all rows of a value have one label by chance.
    sizes, times = np.unique(np.bincount(places), return_counts=True)
    most = shares.max()  # taken out of the powers, which would underflow
    pure = [size * math.log(most) + math.log(((shares / most) ** size).sum()) for size in sizes.tolist()]
    chance = float(np.dot(times, pure))
    if chance >= math.log(_CHANCE / columns):
        return None
    but = f" but in {exceptions} of {len(codes)} rows" if exceptions else ""
    return f"alone decides the label{but}: each of its {len(different)} values goes with one"


def _by_ranges(numbers: Array, codes: Array) -> bool:
    """Whether the ranges of the labels' numbers do not meet."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    least = np.minimum.reduceat(numbers[order], starts)
    most = np.maximum.reduceat(numbers[order], starts)
    by_least = np.argsort(least)
    return len(starts) > 1 and bool((most[by_least][:-1] < least[by_least][1:]).all())


def _chance_of_ranges(codes: Array) -> float:
    """The share of all orders of the rows in which every label's rows stand together."""
    counts = np.bincount(codes)
    counts = counts[counts > 0].tolist()
    log = math.lgamma(len(counts) + 1) + sum(math.lgamma(n + 1) for n in counts) - math.lgamma(sum(counts) + 1)
    return math.exp(log)
