"""Refuse what NumPy would silently convert to numbers: masked arrays, dates and durations."""

from __future__ import annotations

import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from softgrad import _validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DURATIONS = (datetime.timedelta, np.timedelta64)
_DATES = (datetime.date, datetime.time, np.datetime64, *_DURATIONS)
_UNMASKED = {
    "X": "write X.filled(...) with the number that the masked entries stand for, or drop such rows",
    "y": "drop such rows: write X[~numpy.ma.getmaskarray(y)] and y.compressed()",
    "sample_weight": "write sample_weight.filled(0) to leave such rows out",
    "classes": "write classes.compressed()",
}


def refuse_masks_and_dates(value: Any, name: str) -> None:
    """Raise TypeError for a masked array, and for dates or durations in an array, a list or a column of a frame."""
    if _validation.is_masked(value):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; {_UNMASKED[name]}")
    for column, dtype, values in _columns(value):
        kind = _temporal_kind(dtype, values)
        if kind:
            place = f"column {column!r} of {name}" if column is not None else name
            content = "durations" if kind == "m" else "dates"
            raise TypeError(f"{place} holds {content} ({dtype}); expected {_expected(name, column, kind)}")


def _columns(value: Any) -> Iterator[tuple[Any, Any, Callable[[], Any]]]:
    """Yield name, dtype and a function for the values of every column of a frame, or of the array, named None."""
    if hasattr(value, "columns") and hasattr(value, "dtypes"):
        indexer = value.iloc if hasattr(value, "iloc") else value
        for i, (name, dtype) in enumerate(zip(value.columns, value.dtypes, strict=True)):
            yield name, dtype, partial(indexer.__getitem__, (slice(None), i))
        return
    if not hasattr(value, "dtype"):
        try:
            value = np.asarray(value)
        except ValueError:  # ragged, which is refused elsewhere
            return
    yield None, value.dtype, lambda: value


def _temporal_kind(dtype: Any, values: Callable[[], Any]) -> Literal["M", "m"] | None:
    """Return NumPy's kind, M for dates and m for durations, or None for anything else."""
    categories = getattr(dtype, "categories", None)
    if categories is not None:
        dtype, values = categories.dtype, lambda: categories
    kind = getattr(dtype, "kind", None)  # in NumPy and pandas
    if kind == "M" or str(dtype).startswith(("Date", "Time", "period")):  # polars' names, and pandas' periods
        return "M"
    if kind == "m" or str(dtype).startswith("Duration"):
        return "m"
    if kind != "O" or str(dtype).startswith("str"):
        return None
    types = {type(element) for element in np.asarray(values(), object).flat}
    if any(issubclass(kind, _DURATIONS) for kind in types):
        return "m"
    return "M" if any(issubclass(kind, _DATES) or kind.__name__ == "Period" for kind in types) else None


def _expected(name: str, column: Any, kind: Literal["M", "m"]) -> str:
    if name == "sample_weight":
        return "real numbers, one for every row of X"
    if name != "X":
        return f"integers, strings or booleans; write {name}.astype(str)"
    if column is None:
        days = "X" if kind == "m" else "(X - numpy.datetime64('2000-01-01'))"
        return f"numbers; write {days} / numpy.timedelta64(1, 'D') for days, or drop them"
    if kind == "m":
        return f"numbers; write X[{column!r}].dt.total_seconds(), or drop the column"
    return f"numbers; write (X[{column!r}] - pandas.Timestamp('2000-01-01')).dt.days for days, or drop the column"
