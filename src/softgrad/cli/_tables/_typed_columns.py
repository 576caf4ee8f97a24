"""What the columns of a table are: numbers or text, each with its missing values; anything else is refused."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._named_table import listing
from softgrad.cli._tables._number_format import advice, is_number, units

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

# More different texts than this look like no categories, unless they recur.
MANY_CATEGORIES = 20


def numbers_and_text(table: pd.DataFrame, *, text: Collection[str] = (), declared: bool = False) -> pd.DataFrame:
    """Every column as float64 or as text, NaN where a value is missing.

    Parameters
    ----------
    table : DataFrame
        As it was read.
    text : collection of str
        Columns that are text whatever they hold.
    declared : bool
        Whether the file says which columns are text, as Parquet does; otherwise numbers and text in one column are
        refused, because one of them is a mistake.
    """
    import pandas as pd  # noqa: PLC0415

    text = frozenset(text)
    numbers = [name for name, dtype in table.dtypes.items() if dtype.kind in "biuf" and name not in text]
    others = [
        as_text(table[name]) if name in text else _as_numbers_or_text(table[name], declared)
        for name in table.columns.difference(numbers, sort=False)
    ]
    # Numbers in one block: a call for each of thousands of columns would take longer than the fit.
    return pd.concat([_finite(table[numbers]), *others], axis=1)[list(table.columns)]


def refuse_missing(table: pd.DataFrame) -> None:
    """Name all columns that miss values at once."""
    gaps = table.isna().sum()
    gaps = gaps[gaps > 0]
    if len(gaps):
        shown = listing([f"{name!r} in {count}" for name, count in gaps.items()])
        raise CommandError(
            f"missing values, of {len(table)} rows: {shown}; write --missing mean, median or most-frequent to fill "
            "them in, or --drop COLUMN"
        )


def as_text(values: pd.Series[Any]) -> pd.Series[Any]:
    """A column as text; missing values stay missing."""
    return values.astype(object).map(_text, na_action="ignore").astype(object)


def row_number(label: Any) -> int:
    """For a message: from 1, as the table had it before it was split."""
    return int(label) + 1


def _as_numbers_or_text(values: pd.Series[Any], declared: bool) -> pd.Series[Any]:
    name = str(values.name)
    if values.dtype.kind in "Mm":
        raise CommandError(f"column {name!r} holds {values.dtype}; expected numbers or text; write --drop {name!r}")
    kinds = {type(value) for value in values.dropna()}
    if kinds == {str}:
        if not declared:
            _refuse_mixture(values)
        return as_text(values)
    if all(issubclass(kind, Real) or kind.__name__ == "Decimal" for kind in kinds):
        return _finite(values.to_frame().astype(object)).iloc[:, 0]
    found = " and ".join(sorted(kind.__name__ for kind in kinds))
    raise CommandError(f"column {name!r} holds {found}; expected numbers or text; write --drop {name!r}")


def _finite(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of numbers as float64."""
    numbers = table.astype(np.float64)
    infinite = np.isinf(numbers.to_numpy())
    if infinite.any():
        column, row = np.argwhere(infinite.T)[0]
        name = str(numbers.columns[column])
        raise CommandError(
            f"column {name!r}, data row {row + 1}: {str(numbers.iloc[row, column])!r}; expected a finite number; "
            f"drop such rows, or write --drop {name!r}"
        )
    return numbers


def _refuse_mixture(values: pd.Series[Any]) -> None:
    """Refuse text in which some of the values, or all in a notation that was not asked for, are numbers."""
    name = str(values.name)
    there = values.dropna()
    different = there.drop_duplicates()
    numbers = {text: is_number(text) for text in different}
    ways = f"--text {name!r} if these are names, or --drop {name!r}"
    if not any(numbers.values()):
        measured = units(different, MANY_CATEGORIES)
        if measured:
            raise CommandError(
                f"column {name!r}, data row {row_number(different.index[0])}: {different.iloc[0]!r}; expected numbers "
                f"such as 1234.5; write them in one unit, without {' and '.join(map(repr, measured))}, {ways}"
            )
        return
    if all(numbers.values()):
        raise CommandError(
            f"column {name!r}, data row {row_number(different.index[0])}: {different.iloc[0]!r}; expected numbers such "
            f"as 1234.5; {advice(different)}, {ways}"
        )
    at = next(position for position, text in enumerate(different) if not numbers[text])
    text = different.iloc[at]
    raise CommandError(
        f"column {name!r}, data row {row_number(different.index[at])}: {text!r}; expected a finite number, as in other "
        f"rows; write --na {text!r} if it means a missing value, --text {name!r} if the numbers are names, or "
        f"--drop {name!r}"
    )


def _text(value: object) -> str:
    # Integers beside missing values come as floats.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
