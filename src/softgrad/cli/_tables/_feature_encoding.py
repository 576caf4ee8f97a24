"""Encoding named columns as features: numbers as they are, text one-hot, missing values filled in on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._column_names import ColumnError, check_columns
from softgrad.cli._tables._number_format import reading_advice
from softgrad.cli._tables._read_options import ReadOptions
from softgrad.cli._tables._typed_columns import row_number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from softgrad._typing import Array

Fill = Literal["refuse", "mean", "median", "most-frequent"]


class ColumnEncoding(NamedTuple):
    """The encoding of one column."""

    name: str
    categories: tuple[str, ...] | None
    """Sorted texts; None for a column of numbers."""
    fill: float | str | None
    """Replaces missing values; None if they are an error."""
    verbatim: bool = False
    """Whether only empty fields are missing, as in columns of --text."""

    @property
    def features(self) -> list[str]:
        """Names of the features."""
        return [self.name] if self.categories is None else [f"{self.name}={value}" for value in self.categories]


class FeatureEncoding(NamedTuple):
    """The encoding of a table, estimated from the training rows and saved with the model."""

    columns: tuple[ColumnEncoding, ...]
    reading: ReadOptions
    """Format of the values in the training table, by which later tables are read."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values for the model file."""
        return {"columns": [column._asdict() for column in self.columns], **self.reading.to_json()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> FeatureEncoding:
        """Restore the result of `to_json`."""
        columns = []
        for entry in record["columns"]:
            categories = entry["categories"]
            texts = None if categories is None else tuple(categories)
            columns.append(ColumnEncoding(entry["name"], texts, entry["fill"], entry["verbatim"]))
        return cls(tuple(columns), ReadOptions.from_json(record))

    @property
    def text(self) -> list[str]:
        """Names of the columns of text."""
        return [column.name for column in self.columns if column.categories is not None]

    @property
    def verbatim(self) -> list[str]:
        """Names of the columns in which only empty fields are missing."""
        return [column.name for column in self.columns if column.verbatim]

    def transform(self, table: pd.DataFrame) -> pd.DataFrame:
        """Encode a result of `typed_columns` as float64 features."""
        import pandas as pd  # noqa: PLC0415

        _refuse_gaps(table, self.columns)
        names = [name for column in self.columns for name in column.features]
        matrix = np.zeros((len(table), len(names)))
        places, fills = [], []
        at = 0
        for column in self.columns:
            if column.categories is None:
                places.append(at)
                fills.append(column.fill)  # None becomes NaN
            else:
                # An unknown category leaves all features of the column 0.
                values = table[column.name].fillna(column.fill) if column.fill is not None else table[column.name]
                code = pd.Index(column.categories, dtype=object).get_indexer(pd.Index(values))
                rows = np.flatnonzero(code >= 0)
                matrix[rows, at + code[rows]] = 1.0
            at += len(column.features)
        block = _numbers(table[[column.name for column in self.columns if column.categories is None]])
        matrix[:, places] = np.where(np.isnan(block), np.array(fills, np.float64), block)
        return pd.DataFrame(matrix, columns=names, copy=False)

    def warnings(self, table: pd.DataFrame) -> list[str]:
        """Describe filled-in values and unknown categories in a table."""
        return self.describe(self.substitutions(table))

    def substitutions(self, table: pd.DataFrame, path: Path | None = None) -> dict[str, Substitutions]:
        """Count filled-in values and unknown categories, by column; `path` is named where there are several tables."""
        found = {}
        gaps = table[[column.name for column in self.columns]].isna().sum().tolist()
        for column, count in zip(self.columns, gaps, strict=True):
            unknown, example = 0, ""
            if column.categories is not None:
                values = table[column.name]
                others = values[values.notna() & ~values.isin(column.categories)]
                unknown = len(others)
                if unknown:
                    row = f"data row {row_number(others.index[0])}{'' if path is None else f' of {path}'}"
                    example = f"{others.iloc[0]!r} in {row}"
            if count or unknown:
                found[column.name] = Substitutions(count, unknown, example)
        return found

    def describe(self, found: dict[str, Substitutions]) -> list[str]:
        """Return a sentence for each kind of substitution in each column."""
        messages = []
        for column in self.columns:
            gaps, unknown, example = found.get(column.name, Substitutions())
            if gaps:
                messages.append(
                    f"column {column.name!r}: {_rows(gaps)} without a value, filled in with {column.fill!r}"
                )
            if unknown:
                messages.append(
                    f"column {column.name!r}: {_rows(unknown)} with text that no training row has, first {example}; "
                    "the column's features are 0 there"
                )
        return messages if len(messages) <= 8 else [*messages[:8], f"and {len(messages) - 8} more columns"]


class Substitutions(NamedTuple):
    """Values of a column that the encoding replaces."""

    gaps: int = 0
    """Number of missing values."""
    unknown: int = 0
    """Number of values that no training row has."""
    example: str = ""
    """The first of them, and its row."""


def merged_substitutions(tables: Iterable[dict[str, Substitutions]]) -> dict[str, Substitutions]:
    """Add up what was counted in several tables."""
    total: dict[str, Substitutions] = {}
    for table in tables:
        for name, more in table.items():
            known = total.get(name, Substitutions())
            total[name] = Substitutions(
                known.gaps + more.gaps, known.unknown + more.unknown, known.example or more.example
            )
    return total


def fit_encoding(
    table: pd.DataFrame, fill: Fill, reading: ReadOptions | None = None, *, verbatim: Collection[str] = ()
) -> FeatureEncoding:
    """Estimate the encoding from the training rows.

    Parameters
    ----------
    table : DataFrame
        A result of `typed_columns`.
    fill : str
        What replaces missing numbers: the mean, median or most frequent value of the column; missing text always
        becomes the most frequent category. With "refuse", missing values are an error.
    reading : ReadOptions, optional
        How the table was read.
    verbatim : collection of str
        Columns in which only empty fields are missing.
    """
    empty = table.columns[table.isna().all()]
    numeric = table.columns[[dtype.kind == "f" for dtype in table.dtypes]].difference(empty, sort=False)
    fills = dict(zip(numeric, _fill_values(table[numeric], fill), strict=True))

    def encoding(name: str) -> ColumnEncoding:
        if name in empty:
            raise without_values(name)
        if name in fills:
            return ColumnEncoding(name, None, fills[name], name in verbatim)
        return text_encoding(name, table[name].value_counts().to_dict(), fill)._replace(verbatim=name in verbatim)

    return FeatureEncoding(tuple(check_columns(encoding, table.columns)), reading or ReadOptions())


def without_values(name: str) -> ColumnError:
    """Return the error for a column whose values are all missing."""
    return ColumnError(name, f"column {name!r} has no value in the training rows")


def text_encoding(name: str, counts: Mapping[Any, int], fill: Fill) -> ColumnEncoding:
    """Return the encoding of a column of text; `counts` are the numbers of rows of each value."""
    return ColumnEncoding(name, tuple(sorted(counts)), None if fill == "refuse" else most_frequent(counts))


def most_frequent(counts: Mapping[Any, int]) -> Any:
    """Return the value of most rows; of several, the smallest."""
    most = max(counts.values())
    return min(value for value, count in counts.items() if count == most)


def _fill_values(numbers: pd.DataFrame, fill: Fill) -> list[float | None]:
    """Return what replaces missing values in each column of numbers."""
    match fill:
        case "refuse":
            return [None] * len(numbers.columns)
        case "mean":
            return [float(mean) for mean in numbers.mean()]
        case "median":
            return [float(median) for median in numbers.median()]
        case "most-frequent":
            return [float(most_frequent(numbers[name].value_counts().to_dict())) for name in numbers.columns]


def _numbers(table: pd.DataFrame) -> Array:
    """Return the columns as a matrix; one that is not numeric is an error."""
    import pandas as pd  # noqa: PLC0415

    wrong = [name for name, dtype in table.dtypes.items() if dtype.kind != "f"]
    if wrong:
        there = table[wrong[0]].dropna()
        other = pd.to_numeric(there, errors="coerce").isna().to_numpy()
        at = int(other.argmax())  # 0, the first, if all are numbers in quotes
        way = reading_advice(there.unique())
        raise CommandError(
            f"column {wrong[0]!r}, data row {row_number(there.index[at])}: {there.iloc[at]!r}; expected a finite "
            f"number, as in the training rows{f'; {way}' if way else ''}"
        )
    return table.to_numpy(np.float64)


def _refuse_gaps(table: pd.DataFrame, columns: Sequence[ColumnEncoding]) -> None:
    gaps = table[[column.name for column in columns if column.fill is None]].isna()
    if gaps.to_numpy().any():
        name = gaps.any().idxmax()
        raise CommandError(
            f"column {name!r}, data row {row_number(gaps[name].idxmax())}: a missing value; fill it in, or fit a model "
            "with --missing mean, median or most-frequent"
        )


def _rows(count: int) -> str:
    return f"{count} row{'s' if count != 1 else ''}"
