"""Stripping blanks around the fields of a table, and treating fields as missing where ``--na`` says so."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._tables._number_format import as_number

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd


# Spaces of every width, the tab, and zero-width marks; a newline inside a field is there on purpose.
BLANKS = (
    " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u202f\u205f\u3000\ufeff"
)


class CleanFields(NamedTuple):
    """A table with clean fields, and a count of the changes."""

    frame: pd.DataFrame
    stripped: int
    """Number of fields that had blanks around them."""
    example: str
    """One of them and its column, for a message; empty if there is none."""
    unmatched: tuple[str, ...]
    """Values of --na that no field held."""


def clean_fields(
    frame: pd.DataFrame, missing: Collection[str], *, text: Collection[str], verbatim: Collection[str], parsed: bool
) -> CleanFields:
    """Strip the blanks around text, and make the given values missing.

    Parameters
    ----------
    frame : DataFrame
        The table as read, with unique names; empty fields are missing already.
    missing : collection of str
        Values to treat as missing; those that are numbers are compared as numbers.
    text : collection of str
        Columns that stay text even if all their values are numbers.
    verbatim : collection of str
        Columns to which `missing` does not apply.
    parsed : bool
        Whether the file is text, such as CSV: a column that holds only numbers once stripped then becomes numeric.
    """
    import pandas as pd  # noqa: PLC0415

    names = {text.strip(BLANKS) for text in missing} - {""}
    matched: set[str] = set()
    frame = frame.copy(deep=False)
    stripped, example = 0, ""
    for name in frame.columns[[dtype.kind == "O" for dtype in frame.dtypes]]:
        before = frame[name]
        if pd.api.types.infer_dtype(before, skipna=True) not in ("string", "categorical"):
            continue
        values, blanks, found, first = _clean_text(before, set() if name in verbatim else names)
        stripped, matched = stripped + blanks, matched | found
        example = example or (first and f"{first!r} in column {name!r}")
        if values is not before:
            frame[name] = _parsed(values) if parsed and name not in text else values
    matched |= _make_numbers_missing(frame, names, verbatim)
    unmatched = tuple(text for text in missing if text.strip(BLANKS) and text.strip(BLANKS) not in matched)
    return CleanFields(frame, stripped, example, unmatched)


def _clean_text(values: pd.Series[Any], missing: set[str]) -> tuple[pd.Series[Any], int, set[str], str]:
    """Return the values, how many had blanks, the values of `missing` that occurred, and the first with blanks."""
    import pandas as pd  # noqa: PLC0415

    codes, different = pd.factorize(values.astype(object))
    if not all(isinstance(value, str) for value in different):  # a Categorical of numbers
        return values, 0, set(), ""
    plain = [value.strip(BLANKS) for value in different]
    blank = np.array([a != b for a, b in zip(plain, different, strict=True)], bool)
    gap = np.array([not value or value in missing for value in plain], bool)
    if not blank.any() and not gap.any():
        return values, 0, set(), ""
    # Missing values have the code -1, which refers to the last entry.
    table = np.array([*(None if out else value for value, out in zip(plain, gap, strict=True)), None], object)
    clean = pd.Series(table[codes], index=values.index, name=values.name, dtype="str")
    first = different[int(blank.argmax())] if blank.any() else ""
    return clean, int(np.append(blank, False)[codes].sum()), missing.intersection(plain), first


def _parsed(values: pd.Series[Any]) -> pd.Series[Any]:
    """Parse a column of text as pandas parses CSV, where it may become numeric."""
    import pandas as pd  # noqa: PLC0415

    file = io.StringIO(values.to_csv(index=False, header=False))
    table = pd.read_csv(
        file, header=None, keep_default_na=False, na_values=[""], skip_blank_lines=False, low_memory=False
    )
    return table[0].set_axis(values.index).rename(str(values.name))


def _make_numbers_missing(frame: pd.DataFrame, missing: set[str], verbatim: Collection[str]) -> set[str]:
    """Make numbers in `missing` missing, in place; return those that occurred."""
    names = [name for name, dtype in frame.dtypes.items() if dtype.kind in "iuf" and name not in verbatim]
    found = set()
    for text in missing:
        number = as_number(text)
        if number is None:
            continue
        equal = frame[names] == number
        for name in equal.columns[equal.any()]:
            found.add(text)
            frame[name] = frame[name].mask(equal[name])
    return found


def stripped_fields_warning(fields: int, names: int = 0, example: str = "") -> list[str]:
    """Return a warning that counts the stripped fields and names, if there are any."""
    parts = [f"{count} {what}{'s' * (count != 1)}" for count, what in ((fields, "field"), (names, "name")) if count]
    such = f", such as {example}" if example else ""
    return [f"stripped the blanks around {' and '.join(parts)}{such}"] if parts else []
