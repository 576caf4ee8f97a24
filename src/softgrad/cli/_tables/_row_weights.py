"""The columns of --weight and --groups: the weight and the group of every row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._number_format import reading_advice
from softgrad.cli._tables._typed_columns import row_number

if TYPE_CHECKING:
    import pandas as pd

    from softgrad._typing import Array


def row_weights(column: pd.Series[Any]) -> Array:
    """Return the numbers of a column, of which none is negative and one is positive."""
    import pandas as pd  # noqa: PLC0415

    weights = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    good = np.isfinite(weights) & (weights >= 0)  # comparisons with NaN are false
    if not good.all():
        row = int((~good).argmax())
        value = column.iloc[row]
        received, way = ("a missing value", "fill it in, or drop the row") if pd.isna(value) else _unusable(value)
        raise CommandError(
            f"--weight: column {str(column.name)!r}, data row {row_number(column.index[row])}: {received}; expected a "
            f"finite number of at least 0; {way}"
        )
    if not weights.any():
        raise CommandError(f"--weight: column {str(column.name)!r} is 0 in every row; expected numbers above 0")
    return weights


def _unusable(value: object) -> tuple[str, str]:
    """Return a weight that is no number of at least 0 as text, and what to do about it."""
    text = str(value)
    way = reading_advice([text]) if isinstance(value, str) else None
    return repr(text), way or "mend it, or drop the row"


def group_codes(column: pd.Series[Any]) -> Array:
    """Return the number of the group of every row, whose values in the column are equal."""
    codes, _ = column.factorize()
    if (codes < 0).any():
        row = row_number(column.index[int((codes < 0).argmax())])
        raise CommandError(
            f"--groups: column {str(column.name)!r}, data row {row}: a missing value; expected the group of the row; "
            "fill it in, or drop the row"
        )
    return np.asarray(codes)
