"""Reading CSV and TSV."""

from __future__ import annotations

import itertools
import re
import warnings
from typing import TYPE_CHECKING, NamedTuple

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._clean_fields import BLANKS
from softgrad.cli._tables._column_names import stripped_names
from softgrad.cli._tables._csv_dialect import (
    Dialect,
    decoding_error,
    detect_dialect,
    find_long_row,
    first_rows,
    open_text,
)
from softgrad.cli._tables._decompression import check_text_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    import pandas as pd

    from softgrad.cli._tables._file_part import FilePart
    from softgrad.cli._tables._read_options import FileFormat, ReadOptions

_HEAD = 200  # rows to search for numbers such as 007
_WHOLE = re.compile(r"[+-]?\d+")
_PADDED = re.compile(r"[+-]?0\d+")
_PANDAS = "Error tokenizing data. C error: "
_UNCLOSED = re.compile(r"EOF inside string starting at row (\d+)")


class CsvTable(NamedTuple):
    """A table as pandas parses it."""

    frame: pd.DataFrame
    warnings: list[str]
    padded: dict[str, str]
    """Numeric columns with leading zeros, and the first such number of each."""


def read_csv(
    path: Path, file_format: FileFormat, options: ReadOptions, text: Collection[str], part: FilePart | None = None
) -> CsvTable:
    """Read CSV or TSV, or a part of it; the columns `text` are not parsed as numbers."""
    dialect = detect_dialect(path, file_format, options)
    check_text_size(path)
    as_text = []
    if text:
        header = _parse(path, dialect, options, rows=0 if options.header else 1).columns
        names, _ = stripped_names(header)
        # `text` holds stripped names; without a header, pandas names the columns by number.
        as_text = [name for name, plain in zip(header, names, strict=True) if plain in text]
    frame = _parse(path, dialect, options, as_text, part=part)
    messages = []
    if dialect.row_names:
        if not frame.index.is_unique:
            raise CommandError(
                f"{path}: the header has one field less than the rows, whose first fields are not row names, because "
                f"{frame.index[frame.index.duplicated()][0]!r} is repeated; complete the header, or write --no-header "
                "if the first line is a row"
            )
        frame = frame.reset_index(drop=True)
        messages.append(
            "the header has one field less than the rows; their first fields are taken for the names of the "
            "rows, as R writes them, and left out"
        )
    rows = itertools.zip_longest(*first_rows(path, dialect, _HEAD)[options.header :])
    columns = zip(stripped_names(frame.columns)[0], list(rows)[dialect.row_names :], strict=False)
    padded = {name: _padded_number(fields) for name, fields in columns if name not in text}
    return CsvTable(frame, messages, {name: number for name, number in padded.items() if number is not None})


def _padded_number(fields: Iterable[str | None]) -> str | None:
    """Return the first number with leading zeros, such as "007", in a column of whole numbers."""
    plain = [field.strip(BLANKS) for field in fields if field and not field.isspace()]
    padded = next(filter(_PADDED.fullmatch, plain), None)
    return padded if padded is not None and all(map(_WHOLE.fullmatch, plain)) else None


def _parse(
    path: Path,
    dialect: Dialect,
    options: ReadOptions,
    text: Collection[object] = (),
    rows: int | None = None,
    part: FilePart | None = None,
) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    try:
        with open_text(path, dialect, part, header=options.header) as file, warnings.catch_warnings():
            # pandas only warns of a row longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Only empty fields are missing; "NA" or "-" is reported, for the user to decide.
            frame = pd.read_csv(
                file,
                sep=r"\s+" if dialect.sep == " " else dialect.sep,
                header=0 if options.header else None,
                dtype=dict.fromkeys(text, str) or None,  # an empty dict is four times slower
                nrows=rows,
                # None takes row names as the index.
                index_col=None if dialect.row_names else False,
                decimal=options.decimal or ".",
                keep_default_na=False,
                na_values=[""],
                low_memory=False,
            )
            return frame.copy()  # one block per dtype instead of one per column
    except pd.errors.EmptyDataError:
        expected = "a header line and rows" if options.header else "rows"
        raise CommandError(f"{path} is empty; expected {expected}") from None
    except UnicodeError:
        raise decoding_error(path, dialect.encoding) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise CommandError(_parse_error(path, dialect, str(error))) from None


def _parse_error(path: Path, dialect: Dialect, problem: str) -> str:
    """Explain why pandas cannot parse the text."""
    sep = {"\t": "tabs", " ": "blanks"}.get(dialect.sep, repr(dialect.sep))
    unclosed = _UNCLOSED.search(problem)
    if unclosed:
        return f'{path}: a quote (") that opens in row {int(unclosed[1]) + 1 + dialect.skip} is never closed'
    longer = find_long_row(path, dialect)
    if longer:
        return (
            f"{path}: {longer}, separated by {sep}; write --sep if that is wrong, --skip-lines if the table begins "
            "further down, or mend the line"
        )
    return f"{path} is not text separated by {sep}: {' '.join(problem.split()).removeprefix(_PANDAS)}"
