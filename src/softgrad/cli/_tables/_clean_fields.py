"""Fields and names of a table without the blanks around them, and missing where ``--na`` says so."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import pandas as pd
    from numpy.typing import NDArray

    Array = NDArray[Any]


# Spaces of every width, the tab, and marks without any width; a line end inside a field is no accident.
_BLANKS = (
    " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u202f\u205f\u3000\ufeff"
)
_WHOLE = re.compile(r"[+-]?\d+")
_PADDED = re.compile(r"[+-]?0\d+")


class Fields(NamedTuple):
    """A table whose fields are clean, and what was done to them."""

    frame: pd.DataFrame
    stripped: int
    """Fields that had blanks around them."""
    example: str
    """One of them, with its column; empty if there is none."""
    unmatched: tuple[str, ...]
    """Texts that mean a missing value and that no field held."""


def stripped_names(names: Iterable[object]) -> tuple[list[str], int]:
    """Names of columns without blanks around them, and how many had some.

    A name that is there already gets a number, as pandas gives it.
    """
    found: dict[str, None] = {}
    for position, name in enumerate(names):
        plain = str(name).strip(_BLANKS) or f"Unnamed: {position}"
        number, unique = 0, plain
        while unique in found:
            number += 1
            unique = f"{plain}.{number}"
        found[unique] = None
    return list(found), sum(str(name) != str(name).strip(_BLANKS) for name in names)


def clean_fields(
    frame: pd.DataFrame, missing: Collection[str], *, text: Collection[str], verbatim: Collection[str], parsed: bool
) -> Fields:
    """Strip the blanks around text, and leave out what means a missing value.

    Parameters
    ----------
    frame : DataFrame
        As it was read, with unique names; the empty field is missing already.
    missing : collection of str
        Texts that mean a missing value; numbers among them are compared as numbers.
    text : collection of str
        Columns that stay text, whatever they hold.
    verbatim : collection of str
        Columns in which no text of `missing` means a missing value.
    parsed : bool
        Whether the file holds text alone, such as CSV: a column that is all numbers without its blanks and missing
        values is then a column of numbers.
    """
    import pandas as pd  # noqa: PLC0415

    names = {text.strip(_BLANKS) for text in missing} - {""}
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
    matched |= _leave_out_numbers(frame, names, verbatim)
    unmatched = tuple(text for text in missing if text.strip(_BLANKS) and text.strip(_BLANKS) not in matched)
    return Fields(frame, stripped, example, unmatched)


def _clean_text(values: pd.Series[Any], missing: set[str]) -> tuple[pd.Series[Any], int, set[str], str]:
    """The values, how many had blanks, which texts of `missing` there were, and the first with blanks."""
    import pandas as pd  # noqa: PLC0415

    codes, different = pd.factorize(values.astype(object))
    if not all(isinstance(value, str) for value in different):  # categories that are numbers
        return values, 0, set(), ""
    plain = [value.strip(_BLANKS) for value in different]
    blank = np.array([a != b for a, b in zip(plain, different, strict=True)], bool)
    gap = np.array([not value or value in missing for value in plain], bool)
    if not blank.any() and not gap.any():
        return values, 0, set(), ""
    # The last is what a missing value's code, -1, refers to.
    table = np.array([*(None if out else value for value, out in zip(plain, gap, strict=True)), None], object)
    clean = pd.Series(table[codes], index=values.index, name=values.name, dtype="str")
    first = different[int(blank.argmax())] if blank.any() else ""
    return clean, int(np.append(blank, False)[codes].sum()), missing.intersection(plain), first


def _parsed(values: pd.Series[Any]) -> pd.Series[Any]:
    """The column as pandas reads it from CSV, where it may be one of numbers."""
    import pandas as pd  # noqa: PLC0415

    file = io.StringIO(values.to_csv(index=False, header=False))
    table = pd.read_csv(
        file, header=None, keep_default_na=False, na_values=[""], skip_blank_lines=False, low_memory=False
    )
    return table[0].set_axis(values.index).rename(str(values.name))


def _leave_out_numbers(frame: pd.DataFrame, missing: set[str], verbatim: Collection[str]) -> set[str]:
    """Make numbers that mean a missing value missing, in place; which texts of `missing` there were."""
    names = [name for name, dtype in frame.dtypes.items() if dtype.kind in "iuf" and name not in verbatim]
    found = set()
    for text in missing:
        number = _number(text)
        if number is None:
            continue
        equal = frame[names] == number
        for name in equal.columns[equal.any()]:
            found.add(text)
            frame[name] = frame[name].mask(equal[name])
    return found


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def stripped_labels(labels: Array) -> tuple[Array, int]:
    """Labels that are text without the blanks around them, and how many had some."""
    if labels.dtype.kind != "U":
        return labels, 0
    plain = np.strings.strip(labels, _BLANKS)
    return plain, int((plain != labels).sum())


def padded_number(fields: Iterable[str | None]) -> str | None:
    """The first number with zeros before it, such as "007", of a column of nothing but numbers, read as text."""
    plain = [field.strip(_BLANKS) for field in fields if field and not field.isspace()]
    padded = next(filter(_PADDED.fullmatch, plain), None)
    return padded if padded is not None and all(map(_WHOLE.fullmatch, plain)) else None


def blanks_remark(fields: int, names: int = 0, example: str = "") -> list[str]:
    """The count of what was stripped, for the user; nothing if that is nothing."""
    parts = [f"{count} {what}{'s' * (count != 1)}" for count, what in ((fields, "field"), (names, "name")) if count]
    such = f", such as {example}" if example else ""
    return [f"stripped the blanks around {' and '.join(parts)}{such}"] if parts else []
