"""Columns as numbers or text; anything else is an error."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._column_names import ColumnError, check_columns, drop_option, name_list
from softgrad.cli._tables._number_format import find_units, is_number, is_plain, reading_advice

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pandas as pd

# More distinct texts than this are categories only if they recur: if they are at most half as many as the rows.
_MANY_CATEGORIES = 20
# More distinct texts are ids or prose, and each would be a feature.
MOST_CATEGORIES = 1000


def typed_columns(
    table: pd.DataFrame, *, text: Collection[str] = (), declared: bool = False, categories: bool = False
) -> pd.DataFrame:
    """Convert every column to float64 or text, with NaN for missing values.

    Parameters
    ----------
    table : DataFrame
        The table as read.
    text : collection of str
        Columns to keep as text even if all values are numbers.
    declared : bool
        Whether the file declares which columns are text, as Parquet does. Otherwise a column of both numbers and text
        is an error, because one of the two is a mistake.
    categories : bool
        Whether text must be categories, as in a fit. All rows decide, so that the seed of the held-out rows does not.
    """
    import pandas as pd  # noqa: PLC0415

    text = frozenset(text)
    numbers = [name for name, dtype in table.dtypes.items() if dtype.kind in "biuf" and name not in text]

    def typed(name: str) -> pd.Series[Any]:
        values = as_text(table[name]) if name in text else _as_numbers_or_text(table[name], declared)
        if categories and values.dtype.kind == "O":
            refuse_many_texts(name, values.value_counts().to_dict())
        return values

    others = check_columns(typed, table.columns.difference(numbers, sort=False))
    # All numbers at once: one call for each of thousands of columns would take longer than the fit.
    return pd.concat([_finite(table[numbers]), *others], axis=1)[list(table.columns)]


def refuse_missing(table: pd.DataFrame) -> None:
    """Raise an error that names all columns with missing values."""
    gaps = table.isna().sum()
    gaps = gaps[gaps > 0]
    if len(gaps):
        listed = name_list([f"{name!r} in {count}" for name, count in gaps.items()])
        first = row_number(table[gaps.index].isna().any(axis=1).idxmax())
        raise CommandError(
            f"missing values in {len(table)} rows: {listed}; write --missing mean, median or most-frequent to fill "
            f"them in, or {drop_option(list(gaps.index))}; the first is in data row {first}"
        )


def refuse_many_texts(name: str, counts: Mapping[Any, int]) -> None:
    """Raise an error if a column of text is ids or prose; `counts` are the numbers of rows of each value."""
    count, rows = len(counts), sum(counts.values())
    if count > MOST_CATEGORIES or (count > _MANY_CATEGORIES and 2 * count > rows):
        raise ColumnError(
            name,
            f"column {name!r} is text with {count} different values in {rows} rows, such as {min(counts)[:40]!r}; "
            f"expected categories, at most {MOST_CATEGORIES} and at most half as many as rows",
        )


def as_text(values: pd.Series[Any]) -> pd.Series[Any]:
    """Convert a column to text; missing values stay missing."""
    return values.astype(object).map(_text, na_action="ignore").astype(object)


def row_number(label: Any) -> int:
    """Return the number of a row in the file, from 1, for a message; `label` is its index in the table."""
    return int(label) + 1


def _as_numbers_or_text(values: pd.Series[Any], declared: bool) -> pd.Series[Any]:
    name = str(values.name)
    if values.dtype.kind in "Mm":
        raise ColumnError(name, f"column {name!r} holds {values.dtype}; expected numbers or text")
    kinds = {type(value) for value in values.dropna()}
    if kinds == {str}:
        if not declared:
            _refuse_mixture(values)
        return values.astype(object)
    if all(issubclass(kind, Real) or kind.__name__ == "Decimal" for kind in kinds):
        return _finite(values.to_frame().astype(object)).iloc[:, 0]
    found = " and ".join(sorted(kind.__name__ for kind in kinds))
    raise ColumnError(name, f"column {name!r} holds {found}; expected numbers or text")


def _finite(table: pd.DataFrame) -> pd.DataFrame:
    """Convert columns of numbers to float64; an infinite one is an error."""
    try:
        numbers = table.astype(np.float64)
    except OverflowError:  # integers of more than 308 digits
        numbers = table.map(_float, na_action="ignore").astype(np.float64)
    infinite = np.isinf(numbers.to_numpy())
    if infinite.any():
        column, row = np.argwhere(infinite.T)[0]
        name = str(numbers.columns[column])
        raise CommandError(
            f"column {name!r}, data row {row_number(numbers.index[row])}: {str(numbers.iloc[row, column])!r}; expected "
            f"a finite number; drop such rows, or write {drop_option([name])}"
        )
    return numbers


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _refuse_mixture(values: pd.Series[Any]) -> None:
    """Refuse text of which some values are numbers, or all are in another number format."""
    name = str(values.name)
    different = values.dropna().drop_duplicates()
    numbers = {text: is_number(text) for text in different}
    ways = f"--text {name!r} if these are names, or "
    if not any(numbers.values()):
        measured = find_units(different, _MANY_CATEGORIES)
        if measured:
            raise ColumnError(
                name,
                f"column {name!r}, data row {row_number(different.index[0])}: {different.iloc[0]!r}; expected numbers "
                "such as 1234.5",
                f"them in one unit, without {' and '.join(map(repr, measured))}, {ways}",
            )
        return
    if all(numbers.values()):
        at = next((position for position, text in enumerate(different) if not is_plain(text)), 0)
        example = different.iloc[at]
        raise ColumnError(
            name,
            f"column {name!r}, data row {row_number(different.index[at])}: {example!r}; expected numbers such as "
            "1234.5",
            f"{str(reading_advice([example, *different])).removeprefix('write ')}, {ways}",
        )
    at = next(position for position, text in enumerate(different) if not numbers[text])
    text = different.iloc[at]
    raise ColumnError(
        name,
        f"column {name!r}, data row {row_number(different.index[at])}: {text!r}; expected a finite number, as in other "
        "rows",
        f"--na {text!r} if it means a missing value, --text {name!r} if the numbers are names, or ",
    )


def _text(value: object) -> str:
    # In a column with missing values, pandas stores integers as floats.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
