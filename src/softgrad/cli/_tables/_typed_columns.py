"""Columns as numbers or text; anything else is an error."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._column_names import name_list
from softgrad.cli._tables._number_format import find_units, is_number, is_plain, reading_advice

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

# More distinct texts than this are categories only if they recur.
MANY_CATEGORIES = 20


def typed_columns(table: pd.DataFrame, *, text: Collection[str] = (), declared: bool = False) -> pd.DataFrame:
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
    """
    import pandas as pd  # noqa: PLC0415

    text = frozenset(text)
    numbers = [name for name, dtype in table.dtypes.items() if dtype.kind in "biuf" and name not in text]
    others = [
        as_text(table[name]) if name in text else _as_numbers_or_text(table[name], declared)
        for name in table.columns.difference(numbers, sort=False)
    ]
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
            f"them in, or --drop COLUMN; the first is in data row {first}"
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
        raise CommandError(f"column {name!r} holds {values.dtype}; expected numbers or text; write --drop {name!r}")
    kinds = {type(value) for value in values.dropna()}
    if kinds == {str}:
        if not declared:
            _refuse_mixture(values)
        return values.astype(object)
    if all(issubclass(kind, Real) or kind.__name__ == "Decimal" for kind in kinds):
        return _finite(values.to_frame().astype(object)).iloc[:, 0]
    found = " and ".join(sorted(kind.__name__ for kind in kinds))
    raise CommandError(f"column {name!r} holds {found}; expected numbers or text; write --drop {name!r}")


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
            f"a finite number; drop such rows, or write --drop {name!r}"
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
    ways = f"--text {name!r} if these are names, or --drop {name!r}"
    if not any(numbers.values()):
        measured = find_units(different, MANY_CATEGORIES)
        if measured:
            raise CommandError(
                f"column {name!r}, data row {row_number(different.index[0])}: {different.iloc[0]!r}; expected numbers "
                f"such as 1234.5; write them in one unit, without {' and '.join(map(repr, measured))}, {ways}"
            )
        return
    if all(numbers.values()):
        at = next((position for position, text in enumerate(different) if not is_plain(text)), 0)
        example = different.iloc[at]
        raise CommandError(
            f"column {name!r}, data row {row_number(different.index[at])}: {example!r}; expected numbers such as "
            f"1234.5; {reading_advice([example, *different])}, {ways}"
        )
    at = next(position for position, text in enumerate(different) if not numbers[text])
    text = different.iloc[at]
    raise CommandError(
        f"column {name!r}, data row {row_number(different.index[at])}: {text!r}; expected a finite number, as in other "
        f"rows; write --na {text!r} if it means a missing value, --text {name!r} if the numbers are names, or "
        f"--drop {name!r}"
    )


def _text(value: object) -> str:
    # In a column with missing values, pandas stores integers as floats.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
