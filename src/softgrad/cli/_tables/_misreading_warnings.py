"""Warnings of fields that were probably not meant as they were read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.cli._tables._number_format import as_number

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

    from softgrad._typing import Array
    from softgrad.cli._tables._named_table import NamedTable

# Common spellings of a missing value; not "None" and "-", which are also answers.
_MISSING = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "?")
# The first line is a row rather than a header if at least this share of its fields are values of their columns.
_DATA = 0.75


def misreading_warnings(table: NamedTable, *, header: bool, text: Collection[str]) -> list[str]:
    """Return a warning for each likely misreading, with the option that prevents it.

    Parameters
    ----------
    table : NamedTable
        The table as read, without dropped columns.
    header : bool
        Whether the names come from the first line of a text file.
    text : collection of str
        Columns of --text.
    """
    frame = table.frame
    found = [*table.warnings, *(f"--na {text!r} matched no field" for text in table.unmatched)]
    if header and _header_is_data(frame):
        names = ", ".join(str(name) for name in frame.columns[:4])
        found.append(f"the header {names}, ... looks like a row of data; if it is one, write --no-header")
    for name, number in table.padded.items():
        if name in frame.columns:
            found.append(f"column {name!r}: {number!r} is read as a number; write --text {name!r} to keep it as text")
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        if dtype.kind == "O" and name not in text:
            found.extend(_missing_value_warnings(frame[name]))
    return found


def label_case_warnings(labels: Array) -> list[str]:
    """Warn of labels that differ only by case."""
    if labels.dtype.kind not in "OU":
        return []
    spellings: dict[str, list[str]] = {}
    for label in sorted({str(label) for label in labels.tolist()}):
        spellings.setdefault(label.casefold(), []).append(label)
    alike = [" and ".join(map(repr, group)) for group in spellings.values() if len(group) > 1]
    more = f" (and {len(alike) - 3} more)" if len(alike) > 3 else ""
    return [f"labels that differ only by case are different classes: {'; '.join(alike[:3])}{more}"] if alike else []


def _missing_value_warnings(values: pd.Series[Any]) -> list[str]:
    missing = values.isin(_MISSING)
    if not missing.any():
        return []
    counts = values[missing].value_counts()
    name = str(values.name)
    return [
        f"column {name!r}: {text!r} in {count} row{'s' * (count != 1)} is read as text; write --na {text!r} if it "
        f"means a missing value, --text {name!r} if not"
        for text, count in counts.items()
    ]


def _header_is_data(frame: pd.DataFrame) -> bool:
    """Return whether most names could be values of their columns: a number above numbers, or a text of the column."""
    # pandas appends a number to a repeated name.
    names = [name if as_number(name) is not None else re.sub(r"(?<=.)\.\d+$", "", name) for name in map(str, frame)]
    numbers = [as_number(name) for name in names]
    # Evenly spaced numbers are names: positions, or years.
    steps = np.diff([number for number in numbers if number is not None])
    if len(steps) and (steps == (1 if len(steps) == 1 else steps[0])).all():
        return False
    fitting = [
        numbers[i] is not None if dtype.kind in "iuf" else bool((frame.iloc[:, i] == names[i]).any())
        for i, dtype in enumerate(frame.dtypes)
    ]
    return sum(fitting) >= max(_DATA * len(fitting), 2)
