"""What a table may mean otherwise than it was read; the user hears of it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd
    from numpy.typing import NDArray

    from softgrad.cli._tables._named_table import NamedTable

    Array = NDArray[Any]

# What programs write for a missing value. Not "None" and "-", which are answers too.
_MISSING = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "?")
# The share of the names in the first line that are values of their columns, from which on it is a row.
_DATA = 0.75


def misreadings(table: NamedTable, target: str, *, header: bool, text: Collection[str]) -> list[str]:
    """A warning for each, with what to write.

    Parameters
    ----------
    table : NamedTable
        What `read_frame` read, without the columns that the user drops.
    target : str
        The column of labels.
    header : bool
        Whether the first line of text gave the names.
    text : collection of str
        The columns that the user has called text.
    """
    frame = table.frame
    found = [*table.remarks, *(f"--na {text!r} matched no field" for text in table.unmatched)]
    if header and _is_data(frame):
        names = ", ".join(str(name) for name in frame.columns[:4])
        found.append(f"the names of the columns, {names}, ... look like a row; if they are one, write --no-header")
    for name, number in table.padded.items():
        if name in frame.columns:
            found.append(f"column {name!r}: {number!r} is read as a number; write --text {name!r} to keep it as text")
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        if dtype.kind == "O" and name not in text:
            found.extend(_perhaps_missing(frame[name]))
    return [*found, *label_cases(frame[target].dropna().to_numpy())]


def label_cases(labels: Array) -> list[str]:
    """A warning of labels that differ by case alone."""
    if labels.dtype.kind not in "OU":
        return []
    spellings: dict[str, list[str]] = {}
    for label in sorted({str(label) for label in labels.tolist()}):
        spellings.setdefault(label.casefold(), []).append(label)
    alike = [" and ".join(map(repr, group)) for group in spellings.values() if len(group) > 1]
    more = f" (and {len(alike) - 3} more)" if len(alike) > 3 else ""
    return [f"labels that differ only by case are classes of their own: {'; '.join(alike[:3])}{more}"] if alike else []


def _perhaps_missing(values: pd.Series[Any]) -> list[str]:
    counts = values[values.isin(_MISSING)].value_counts()
    name = str(values.name)
    return [
        f"column {name!r}: {text!r} in {count} row{'s' * (count != 1)} is taken as text; write --na {text!r} if it "
        f"means a missing value, --text {name!r} if not"
        for text, count in counts.items()
    ]


def _is_data(frame: pd.DataFrame) -> bool:
    """Whether names are values: numbers over numbers, and over text one of its values."""
    # Readers number a name that occurs twice.
    names = [re.sub(r"(?<=.)\.\d+$", "", str(name)) if _number(name) is None else str(name) for name in frame.columns]
    numbers = [_number(name) for name in names]
    # Columns without names are numbered by position, and years follow each other.
    steps = np.diff([number for number in numbers if number is not None])
    if len(steps) and (steps == (1 if len(steps) == 1 else steps[0])).all():
        return False
    fitting = [
        numbers[i] is not None if dtype.kind in "iuf" else bool((frame.iloc[:, i] == names[i]).any())
        for i, dtype in enumerate(frame.dtypes)
    ]
    return sum(fitting) >= max(_DATA * len(fitting), 2)


def _number(name: object) -> float | None:
    try:
        number = float(str(name))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
