"""What is fitted: scikit-learn's digits, synthetic data, and the CSV tables of a folder."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli import CommandError
from softgrad.cli._reading import ReadOptions
from softgrad.cli._table import labels_of, read_frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[Any]

_TARGETS = ("class", "target", "label")
# Columns whose ranges differ by more are measured raw and standardised.
_SCALES = 100.0


class DataSet(NamedTuple):
    """Rows to fit to."""

    name: str
    x: Any
    """(N, D), dense or CSR."""
    y: Array


def digits(shrink: int = 1) -> DataSet:
    """Scikit-learn's 1797 images of 8 × 8 pixels."""
    from sklearn.datasets import load_digits  # noqa: PLC0415

    x, y = load_digits(return_X_y=True)
    rows = len(x) // shrink
    return DataSet("digits", x[:rows], y[:rows])


def synthetic(shrink: int = 1) -> Iterator[DataSet]:
    """Overlapping clusters, columns of very different scale, and sparse counts such as words of texts."""
    rng = np.random.default_rng(0)
    x, y = _clusters(rng, 20000 // shrink, 16, 26)
    yield DataSet("clusters", x, y)
    x, y = _clusters(rng, 6000 // shrink, 50, 7)
    yield DataSet("unequal scales", (x + 1) * np.logspace(0, 3, 50), y)
    yield DataSet("sparse", *_words(rng, 8000 // shrink, 20000, 4))


def _clusters(rng: np.random.Generator, rows: int, features: int, classes: int) -> tuple[Array, Array]:
    mixing = rng.standard_normal((features, features)) / np.sqrt(features)
    centres = 0.7 * rng.standard_normal((classes, features))
    y = rng.integers(classes, size=rows)
    return (centres[y] + rng.standard_normal((rows, features))) @ mixing, y


def _words(rng: np.random.Generator, rows: int, words: int, classes: int) -> tuple[Any, Array]:
    """Texts of 40 words: word k has the frequency 1/k (Zipf's law), times a factor of the class; TF-IDF of them."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415
    from sklearn.feature_extraction.text import TfidfTransformer  # noqa: PLC0415

    frequency = np.exp(0.7 * rng.standard_normal((classes, words))) / np.arange(1, words + 1)
    y = rng.integers(classes, size=rows)
    length = 40
    column = np.empty((rows, length), np.intp)
    for k in range(classes):
        text = y == k
        column[text] = rng.choice(words, (int(text.sum()), length), p=frequency[k] / frequency[k].sum())
    row = np.repeat(np.arange(rows), length)
    return TfidfTransformer().fit_transform(csr_matrix((np.ones(column.size), (row, column.ravel())), (rows, words))), y


def tables(folder: Path) -> Iterator[DataSet]:
    """Every CSV table of a folder, by name; those whose columns differ much in scale also standardised."""
    paths = sorted(folder.glob("*.csv"))
    if not paths:
        raise CommandError(f"--data {folder}: no file there ends in .csv; name a folder of CSV tables")
    for path in paths:
        x, y = _table(path)
        if len(np.unique(y)) < 2:
            raise CommandError(f"{path}: the labels are all the same; take it out of the folder")
        yield DataSet(path.stem, x, y)
        if isinstance(x, np.ndarray) and _scales_differ(x):
            deviation = x.std(axis=0)
            standard = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
            yield DataSet(f"{path.stem}, scaled", standard, y)


def _scales_differ(x: Array) -> bool:
    ranges = np.ptp(x, axis=0)
    ranges = ranges[ranges > 0]
    return bool(ranges.size and ranges.max() > _SCALES * ranges.min())


def _table(path: Path) -> tuple[Any, Array]:
    """X and the labels; texts as TF-IDF, categories one-hot."""
    frame = read_frame(path, ReadOptions(header=_has_header(path))).frame
    if len(frame.columns) < 2:
        raise CommandError(f"{path} has one column; expected features and labels")
    gaps = frame.columns[frame.isna().any()]
    if len(gaps):
        raise CommandError(f"{path}: column {gaps[0]!r} misses values; fill them in, or take it out of the folder")
    y = labels_of(frame.pop(_target(frame)))
    if all(_is_text(frame[name]) for name in frame) and any(_is_prose(frame[name]) for name in frame):
        return _tfidf(frame), y
    return _numbers(frame), y


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


def _is_text(column: pd.Series[Any]) -> bool:
    return column.dtype.kind not in "biuf"


def _is_prose(column: pd.Series[Any]) -> bool:
    """Whether a column is text that seldom repeats."""
    return _is_text(column) and 2 * column.nunique() > len(column)


def _numbers(frame: pd.DataFrame) -> Array:
    import pandas as pd  # noqa: PLC0415

    return pd.get_dummies(frame).to_numpy(np.float64)


def _tfidf(frame: pd.DataFrame) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    return TfidfVectorizer().fit_transform(frame.agg(" ".join, axis=1))
