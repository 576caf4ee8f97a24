"""Tables with named columns: CSV, TSV and Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._clean_fields import clean_fields, stripped_fields_warning
from softgrad.cli._tables._column_names import stripped_names
from softgrad.cli._tables._csv import CsvTable, read_csv
from softgrad.cli._tables._file_format import detect_format
from softgrad.cli._tables._number_format import NumberFormat
from softgrad.cli._tables._parquet import read_parquet
from softgrad.cli._tables._read_options import TEXT_FORMATS, ReadOptions

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import pandas as pd

    from softgrad.cli._tables._file_part import FilePart


class NamedTable(NamedTuple):
    """Rows with named columns."""

    frame: pd.DataFrame
    warnings: list[str]
    """Notes on how the table was read."""
    unmatched: tuple[str, ...]
    """Values of --na that no field held."""
    padded: dict[str, str]
    """Numeric columns with leading zeros, and the first such number of each."""


def read_named_table(
    path: Path,
    options: ReadOptions | None = None,
    *,
    text: Collection[str] = (),
    verbatim: Collection[str] = (),
    part: FilePart | None = None,
) -> NamedTable:
    """Read a table with at least one row, and strip the blanks around its names and fields.

    The index counts the rows of the file from 0.

    Parameters
    ----------
    path : Path
        A CSV, TSV or Parquet file.
    options : ReadOptions, optional
        How to read it. Without a header, columns are named by position from 0; Parquet always has names.
    text : collection of str
        Columns to read as text, in which "007" keeps its zeros.
    verbatim : collection of str
        Columns in which only empty fields are missing.
    part : FilePart, optional
        The rows to read.
    """
    import pandas as pd  # noqa: PLC0415

    options, text = options or ReadOptions(), frozenset(text)
    file_format = detect_format(path, options)
    is_text = file_format in TEXT_FORMATS
    table = read_csv(path, file_format, options, text, part) if is_text else CsvTable(read_parquet(path, part), [], {})
    if table.frame.empty:
        raise CommandError(f"{path} holds {'a header' if options.header else 'columns'} but no rows")
    names, changed = stripped_names(table.frame.columns)
    frame = table.frame.set_axis(names, axis=1)
    first = 0 if part is None else part.first_row
    frame.index = pd.RangeIndex(first, first + len(frame))
    parsed = is_text and not options.sets_number_format
    fields = clean_fields(frame, options.missing, text=text, verbatim=verbatim, parsed=parsed)
    if is_text and options.sets_number_format:
        _parse_numbers(fields.frame, options, text)
    warnings = [*table.warnings, *stripped_fields_warning(fields.stripped, changed, fields.example)]
    return NamedTable(fields.frame, warnings, fields.unmatched, table.padded)


def _parse_numbers(frame: pd.DataFrame, options: ReadOptions, text: Collection[str]) -> None:
    """Convert columns in which every field is a number in the format of the options, in place."""
    number_format = NumberFormat(options.decimal or ".", options.thousands)
    for name, dtype in frame.dtypes.items():
        if name in text or dtype.kind != "O":
            continue
        numbers = {value: number_format.parse(value) for value in frame[name].dropna().unique()}
        if None not in numbers.values():
            frame[name] = frame[name].map(numbers).astype(np.float64)
