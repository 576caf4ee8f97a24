"""The CSV tables of a folder, as data sets."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.suites import InputError
from benchmarks.suites.regression.data_sets import DataSet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from softgrad._typing import Array

_TARGETS = ("class", "target", "label")
# Columns whose ranges differ by more are measured both raw and standardised.
_SCALES = 100.0


def data_sets(folder: Path) -> Iterator[DataSet]:
    """Every CSV table of a folder, by name; those whose columns differ much in scale also standardised."""
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise InputError(f"--data {folder}: no file there ends in .csv; name a folder of CSV tables")
    for path in paths:
        x, y = _features_and_labels(path)
        if len(np.unique(y)) < 2:
            raise InputError(f"{path}: the labels are all the same; take it out of the folder")
        yield DataSet(path.stem, x, y)
        if isinstance(x, np.ndarray) and _scales_differ(x):
            deviation = x.std(axis=0)
            standard = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
            yield DataSet(f"{path.stem}, scaled", standard, y)


def _scales_differ(x: Array) -> bool:
    ranges = np.ptp(x, axis=0)
    ranges = ranges[ranges > 0]
    return bool(ranges.size and ranges.max() > _SCALES * ranges.min())


def _features_and_labels(path: Path) -> tuple[Any, Array]:
    """Features and labels of a table: texts as TF-IDF, categories one-hot."""
    frame = _read(path)
    y = _labels(path, frame.pop(_target(frame)))
    if all(_is_text(frame[name]) for name in frame) and any(_is_prose(frame[name]) for name in frame):
        return TfidfVectorizer().fit_transform(frame.agg(" ".join, axis=1)), y
    return pd.get_dummies(frame).to_numpy(np.float64), y


def _read(path: Path) -> pd.DataFrame:
    try:
        # Only the empty field is missing; "NA" may be a category.
        frame = pd.read_csv(
            path, header=0 if _has_header(path) else None, keep_default_na=False, na_values=[""], skipinitialspace=True
        )
    except ValueError as error:  # pandas's errors of parsing, and those of decoding
        raise InputError(f"{path} cannot be read as CSV: {str(error).strip()}; mend it, or take it away") from None
    frame.columns = frame.columns.astype(str)
    if frame.empty:
        raise InputError(f"{path} holds a header but no rows; take it out of the folder")
    if len(frame.columns) < 2:
        raise InputError(f"{path} has one column; expected features and labels")
    gaps = frame.columns[frame.isna().any()]
    if len(gaps):
        raise InputError(f"{path}: column {gaps[0]!r} misses values; fill them in, or take it out of the folder")
    return frame


def _has_header(path: Path) -> bool:
    """Whether no field of the first line is a number."""
    with path.open(encoding="utf-8", newline="") as file:
        first = next(csv.reader(file), [])
    return not any(field.strip().lstrip("+-").replace(".", "", 1).isdecimal() for field in first)


def _target(frame: pd.DataFrame) -> str:
    """The column called class, target or label; without one the last, or the first if the last holds prose."""
    names = list(frame.columns)
    named = [name for wanted in _TARGETS for name in names if name.lower() == wanted]
    if named:
        return str(named[0])
    return str(names[0] if _is_prose(frame[names[-1]]) else names[-1])


def _labels(path: Path, column: pd.Series[Any]) -> Array:
    values: Array = column.to_numpy()
    if values.dtype.kind != "f":
        return values if values.dtype.kind in "biu" else values.astype(str)
    fractions = values[values != np.floor(values)]
    if fractions.size:
        raise InputError(
            f"{path}: column {column.name!r} holds {fractions[0]}, a measurement; expected labels; call the column of "
            f"labels {', '.join(_TARGETS[:-1])} or {_TARGETS[-1]}"
        )
    return values.astype(np.int64)


def _is_text(column: pd.Series[Any]) -> bool:
    return column.dtype.kind not in "biuf"


def _is_prose(column: pd.Series[Any]) -> bool:
    """Whether a column is text that seldom repeats."""
    return _is_text(column) and 2 * column.nunique() > len(column)
