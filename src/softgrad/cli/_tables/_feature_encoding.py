"""Encoding named columns as features: numbers as they are, text one-hot, missing values filled in on request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._number_format import reading_advice
from softgrad.cli._tables._read_options import ReadOptions
from softgrad.cli._tables._typed_columns import MANY_CATEGORIES, row_number

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd

    from softgrad._typing import Array

Fill = Literal["refuse", "mean", "median", "most-frequent"]

# More distinct texts are ids or prose, and each would be a feature. So are more than MANY_CATEGORIES that are also more
# than half of the rows.
_MOST_CATEGORIES = 1000


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
        found = []
        gaps = table[[column.name for column in self.columns]].isna().sum().tolist()
        for column, count in zip(self.columns, gaps, strict=True):
            if count:
                found.append(f"column {column.name!r}: {_rows(count)} without a value, filled in with {column.fill!r}")
            if column.categories is None:
                continue
            values = table[column.name]
            unknown = values[values.notna() & ~values.isin(column.categories)]
            if len(unknown):
                found.append(
                    f"column {column.name!r}: {_rows(len(unknown))} with text that no training row has, first "
                    f"{unknown.iloc[0]!r} in data row {row_number(unknown.index[0])}; the column's features are 0 there"
                )
        return found if len(found) <= 8 else [*found[:8], f"and {len(found) - 8} more columns"]


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
    empty = table.isna().all()
    if empty.any():
        name = str(empty.idxmax())
        raise CommandError(f"column {name!r} has no value in the training rows; write --drop {name!r}")
    numeric = table.columns[[dtype.kind == "f" for dtype in table.dtypes]]
    fills = dict(zip(numeric, _fill_values(table[numeric], fill), strict=True))
    columns = [
        ColumnEncoding(str(name), None, fills[name]) if name in fills else _categories(table[name], fill)
        for name in table.columns
    ]
    return FeatureEncoding(
        tuple(column._replace(verbatim=column.name in verbatim) for column in columns), reading or ReadOptions()
    )


def _categories(values: pd.Series[Any], fill: Fill) -> ColumnEncoding:
    """Return the encoding of a column of text."""
    name = str(values.name)
    there = values.dropna()
    categories = sorted(there.unique())
    count = len(categories)
    if count > _MOST_CATEGORIES or (count > MANY_CATEGORIES and 2 * count > len(there)):
        raise CommandError(
            f"column {name!r} is text with {count} different values in {_rows(len(there))}, such as "
            f"{categories[0][:40]!r}; expected categories, at most {_MOST_CATEGORIES} and at most half as many as "
            f"rows; write --drop {name!r}"
        )
    return ColumnEncoding(name, tuple(categories), None if fill == "refuse" else str(there.mode().iloc[0]))


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
            return [_most_frequent(column[~np.isnan(column)]) for column in numbers.to_numpy().T]


def _most_frequent(numbers: Array) -> float:
    different, counts = np.unique(numbers, return_counts=True)
    return float(different[counts.argmax()])


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
