"""What NumPy would turn into numbers without a word, masked arrays and dates, is refused here."""

from __future__ import annotations

import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

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
        found = _temporal(dtype, values)
        if found:
            what = f"column {column!r} of {name}" if column is not None else name
            kind = "durations" if found == "m" else "dates"
            raise TypeError(f"{what} holds {kind} ({dtype}); expected {_instead(name, column, found)}")


def _columns(value: Any) -> Iterator[tuple[Any, Any, Callable[[], Any]]]:
    """The name and dtype of every column of a frame, and its values if called; else None, the dtype and the value."""
    if hasattr(value, "columns") and hasattr(value, "dtypes"):
        of_column = value.iloc if hasattr(value, "iloc") else value
        for i, (name, dtype) in enumerate(zip(value.columns, value.dtypes, strict=True)):
            yield name, dtype, partial(of_column.__getitem__, (slice(None), i))
        return
    if not hasattr(value, "dtype"):
        try:
            value = np.asarray(value)
        except ValueError:  # of no shape, which is refused elsewhere
            return
    yield None, value.dtype, lambda: value


def _temporal(dtype: Any, values: Callable[[], Any]) -> str | None:
    """M for dates, m for durations, None for anything else."""
    categories = getattr(dtype, "categories", None)
    if categories is not None:
        dtype, values = categories.dtype, lambda: categories
    kind = getattr(dtype, "kind", None)  # of NumPy and pandas
    if kind in ("m", "M"):
        return str(kind)
    if str(dtype).startswith(("Date", "Time", "period")):  # polars' names, and pandas' periods
        return "M"
    if str(dtype).startswith("Duration"):
        return "m"
    if kind != "O" or str(dtype).startswith("str"):
        return None
    types = {type(element) for element in np.asarray(values(), object).flat}
    if any(issubclass(kind, _DURATIONS) for kind in types):
        return "m"
    return "M" if any(issubclass(kind, _DATES) or kind.__name__ == "Period" for kind in types) else None


def _instead(name: str, column: Any, kind: str) -> str:
    if name == "sample_weight":
        return "real numbers, one for every row of X"
    if name != "X":
        return f"integers, strings or booleans; write {name}.astype(str)"
    if column is None:
        days = "X" if kind == "m" else "(X - numpy.datetime64('2000-01-01'))"
        return f"numbers; write {days} / numpy.timedelta64(1, 'D') for days, or drop them"
    of_column = f"X[{column!r}]"
    if kind == "m":
        return f"numbers; write {of_column}.dt.total_seconds(), or drop the column"
    return f"numbers; write ({of_column} - pandas.Timestamp('2000-01-01')).dt.days for days, or drop the column"
