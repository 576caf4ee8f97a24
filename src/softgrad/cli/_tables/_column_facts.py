"""Facts about the columns of a part of a table, which add up to those of all its parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._column_names import ColumnError, check_columns
from softgrad.cli._tables._feature_encoding import (
    ColumnEncoding,
    FeatureEncoding,
    most_frequent,
    text_encoding,
    without_values,
)
from softgrad.cli._tables._typed_columns import MOST_CATEGORIES, refuse_many_texts

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    import pandas as pd

    from softgrad._typing import Array
    from softgrad.cli._tables._feature_encoding import Fill
    from softgrad.cli._tables._read_options import ReadOptions

_MOST_NUMBERS = 100_000  # different ones of which the most frequent is found


class ColumnFacts(NamedTuple):
    """Facts about a column of a part."""

    name: str
    is_text: bool | None
    """None if all values are missing."""
    example: str
    """A value and where it is, for a message."""
    values: int
    """Number of training rows with a value."""
    total: float
    """Sum of the numbers of training rows."""
    counts: dict[Any, int]
    """Number of training rows of each text; of each number only for --missing most-frequent."""


def column_facts(table: pd.DataFrame, training: Array, fill: Fill, path: Path) -> list[ColumnFacts]:
    """Return the facts about the columns of a result of `typed_columns`; `training` marks its training rows."""
    rows = table[training]
    present, values = table.notna(), rows.notna().sum().tolist()
    numeric = [dtype.kind == "f" for dtype in table.dtypes]
    totals = iter(rows.loc[:, numeric].sum().tolist())

    def facts(column: tuple[str, bool, int]) -> ColumnFacts:
        name, is_number, count = column
        total = next(totals) if is_number else 0.0
        there = present[name].to_numpy()
        if not there.any():
            return ColumnFacts(name, None, "", 0, 0.0, {})
        example = f"{table[name].iloc[int(there.argmax())]!r} in {path}"
        counts = {} if is_number and fill != "most-frequent" else rows[name].value_counts().to_dict()
        if len(counts) > (_MOST_NUMBERS if is_number else MOST_CATEGORIES):
            raise _too_many(name, is_number, len(counts))
        return ColumnFacts(name, not is_number, example, count, total, counts)

    return check_columns(facts, zip(map(str, table.columns), numeric, values, strict=True))


def merged_encoding(
    parts: Sequence[Sequence[ColumnFacts]], fill: Fill, reading: ReadOptions, verbatim: Collection[str]
) -> FeatureEncoding:
    """Return the encoding of a table from the facts about its parts, which have the same columns."""
    by_name = [{column.name: column for column in part} for part in parts]
    columns = check_columns(lambda first: _encoding([part[first.name] for part in by_name], fill), parts[0])
    return FeatureEncoding(tuple(column._replace(verbatim=column.name in verbatim) for column in columns), reading)


def _encoding(parts: list[ColumnFacts], fill: Fill) -> ColumnEncoding:
    name, known = parts[0].name, [part for part in parts if part.is_text is not None]
    texts, numbers = ([part for part in known if part.is_text is kind] for kind in (True, False))
    if texts and numbers:
        raise ColumnError(
            name,
            f"column {name!r} holds text, {texts[0].example}, and numbers, {numbers[0].example}; expected one of the "
            "two in all files",
            f"--text {name!r} if the numbers are names, or ",
        )
    values = sum(part.values for part in known)
    if not values:
        raise without_values(name)
    counts: dict[Any, int] = {}
    for part in known:
        for value, count in part.counts.items():
            counts[value] = counts.get(value, 0) + count
    if texts:
        refuse_many_texts(name, counts)
        return text_encoding(name, counts, fill)
    if len(counts) > _MOST_NUMBERS:
        raise _too_many(name, True, len(counts))
    filled = None
    if fill == "mean":
        filled = math.fsum(part.total for part in known) / values
    elif fill == "most-frequent":
        filled = float(most_frequent(counts))
    return ColumnEncoding(name, None, filled)


def _too_many(name: str, is_number: bool, count: int) -> CommandError:
    if is_number:
        return CommandError(
            f"--missing most-frequent: column {name!r} has {count} different numbers or more; expected at most "
            f"{_MOST_NUMBERS} with --dask; write --missing mean"
        )
    return ColumnError(
        name,
        f"column {name!r} is text with {count} different values or more; expected categories, at most "
        f"{MOST_CATEGORIES}",
    )
