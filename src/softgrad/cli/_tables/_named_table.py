"""Tables with named columns: CSV, TSV and Parquet."""

from __future__ import annotations

import difflib
import itertools
import re
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._clean_fields import blanks_remark, clean_fields, padded_number, stripped_names
from softgrad.cli._tables._csv_dialect import TextFormat, first_rows, opened, text_format, too_long, undecodable
from softgrad.cli._tables._file_format import check_inflation, kind_of
from softgrad.cli._tables._number_format import Notation
from softgrad.cli._tables._read_options import ReadOptions

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from softgrad.cli._tables._read_options import Format

    Array = NDArray[Any]

_HEAD = 200  # rows in which numbers such as 007 are looked for
_EXACT = 2**53  # beyond, float64 no longer tells whole numbers apart
_PANDAS = "Error tokenizing data. C error: "
_UNCLOSED = re.compile(r"EOF inside string starting at row (\d+)")


class NamedTable(NamedTuple):
    """Rows under the names of their columns."""

    frame: pd.DataFrame
    remarks: list[str]
    """What the user should know of how it was read."""
    unmatched: tuple[str, ...]
    """Texts that mean a missing value and that no field held."""
    padded: dict[str, str]
    """Columns of numbers, and the first of theirs with zeros before it."""


def read_frame(
    path: Path,
    options: ReadOptions | None = None,
    *,
    text: Collection[str] = (),
    verbatim: Collection[str] = (),
) -> NamedTable:
    """A CSV, TSV or Parquet file with at least one row, without blanks around its names and fields.

    Parameters
    ----------
    path : Path
        The file.
    options : ReadOptions, optional
        How it is read. Without a header, columns are named by position from 0; Parquet has names.
    text : collection of str
        Columns to read as they stand, "007" as text.
    verbatim : collection of str
        Columns in which only the empty field is missing.
    """
    options, text = options or ReadOptions(), frozenset(text)
    kind = kind_of(path, options)
    table = NamedTable(_read_parquet(path), [], (), {}) if kind == "parquet" else _read_text(path, kind, options, text)
    if table.frame.empty:
        raise CommandError(f"{path} holds {'a header' if options.header else 'columns'} but no rows")
    names, changed = stripped_names(table.frame.columns)
    fields = clean_fields(
        table.frame.set_axis(names, axis=1), options.missing, text=text, verbatim=verbatim,
        parsed=kind != "parquet" and not options.local_numbers,
    )  # fmt: skip
    if kind != "parquet" and options.local_numbers:
        _read_local_numbers(fields.frame, options, text)
    remarks = [*table.remarks, *blanks_remark(fields.stripped, changed, fields.example)]
    return NamedTable(fields.frame, remarks, fields.unmatched, table.padded)


def _read_text(path: Path, kind: Format, options: ReadOptions, text: Collection[str]) -> NamedTable:
    layout = text_format(path, kind, options)
    as_text = []
    if text:
        header = _parsed(path, layout, options, rows=0 if options.header else 1).columns
        names, _ = stripped_names(header)
        # The user writes names without their blanks; without a header pandas calls columns by number.
        as_text = [name for name, plain in zip(header, names, strict=True) if plain in text]
    frame = _parsed(path, layout, options, as_text)
    remarks = []
    if layout.row_names:
        if not frame.index.is_unique:
            raise CommandError(
                f"{path}: the header has one field less than the rows, whose first fields are no names of rows, for "
                f"{frame.index[frame.index.duplicated()][0]!r} stands there twice; complete the header, or write "
                "--no-header if the first line is a row"
            )
        frame = frame.reset_index(drop=True)
        remarks.append(
            f"{path}: the header has one field less than the rows; their first fields are taken for the names of the "
            "rows, as R writes them, and left out"
        )
    rows = itertools.zip_longest(*first_rows(path, layout, _HEAD)[options.header :])
    columns = zip(stripped_names(frame.columns)[0], list(rows)[layout.row_names :], strict=False)
    padded = {name: padded_number(fields) for name, fields in columns if name not in text}
    return NamedTable(frame, remarks, (), {name: number for name, number in padded.items() if number is not None})


def _read_local_numbers(frame: pd.DataFrame, options: ReadOptions, text: Collection[str]) -> None:
    """Turn columns of text that are all numbers in the notation of the options into numbers."""
    notation = Notation(options.decimal or ".", options.thousands)
    for name, dtype in frame.dtypes.items():
        if name in text or dtype.kind != "O":
            continue
        numbers = {value: notation.read(value) for value in frame[name].dropna().unique()}
        if None not in numbers.values():
            frame[name] = frame[name].map(numbers).astype(np.float64)


def _parsed(
    path: Path, layout: TextFormat, options: ReadOptions, text: Collection[object] = (), rows: int | None = None
) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    try:
        with opened(path, layout) as file, warnings.catch_warnings():
            # pandas only warns when a row is longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Only an empty field is missing: of "NA" or "-" the user shall hear what stands there.
            frame = pd.read_csv(
                file,
                sep=r"\s+" if layout.sep == " " else layout.sep,
                header=0 if options.header else None,
                dtype=dict.fromkeys(text, str) or None,  # an empty dict takes four times as long
                nrows=rows,
                # Without a column for the index pandas takes the names of rows for it.
                index_col=None if layout.row_names else False,
                decimal=options.decimal or ".",
                keep_default_na=False,
                na_values=[""],
                low_memory=False,
            )
            return frame.copy()  # in one block for each type, not one for each column
    except pd.errors.EmptyDataError:
        expected = "a header line and rows" if options.header else "rows"
        raise CommandError(f"{path} is empty; expected {expected}") from None
    except UnicodeError:
        raise undecodable(path, layout.encoding) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise CommandError(_misfit(path, layout, str(error))) from None


def _misfit(path: Path, layout: TextFormat, problem: str) -> str:
    """What is wrong with text that pandas does not parse."""
    sep = {"\t": "tabs", " ": "blanks"}.get(layout.sep, repr(layout.sep))
    unclosed = _UNCLOSED.search(problem)
    if unclosed:
        return f'{path}: a quote (") that opens in row {int(unclosed[1]) + 1 + layout.skip} of the file is never closed'
    longer = too_long(path, layout)
    if longer:
        return (
            f"{path}: {longer}, separated by {sep}; write --sep if that is wrong, --skip-lines if the table begins "
            "further down, or mend the line"
        )
    return f"{path} is no text separated by {sep}: {' '.join(problem.split()).removeprefix(_PANDAS)}"


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        from pyarrow import parquet  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        raise CommandError(f'{path}: Parquet needs pyarrow; write pip install "softgrad[parquet]"', 1) from None
    try:
        with parquet.ParquetFile(path) as file:
            facts = file.metadata
            # Runs of one value take next to nothing in the file.
            check_inflation(8 * facts.num_rows * facts.num_columns, path.stat().st_size, str(path))
            return file.read().to_pandas()
    except OSError as error:
        if error.errno is not None:
            raise
        raise CommandError(f"{path} is damaged: {error}") from None
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:  # what pyarrow's errors derive from
        raise CommandError(f"{path} is not Parquet, or damaged: {error}") from None


def column_named(given: str, names: list[str], path: Path, option: str) -> str:
    """The column that the user means: by name, or by position from 0, or from the end if negative."""
    given = given.strip()
    if given in names:
        return given
    try:
        position = int(given)
    except ValueError:
        close = difflib.get_close_matches(given, names, n=1) or [n for n in names if n.lower() == given.lower()]
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise CommandError(f"{option}: {path} has no column {given!r}{hint}; its columns: {listing(names)}") from None
    if not -len(names) <= position < len(names):
        raise CommandError(
            f"{option} {given}: {path} has {len(names)} columns; expected a name, or a position from 0 to "
            f"{len(names) - 1}, or from -1 for the last to {-len(names)}"
        )
    return names[position]


def labels_of(column: pd.Series[Any]) -> Array:
    """A column's labels: whole numbers, booleans or text, none of them missing."""
    where = f"column {str(column.name)!r}"
    gaps = column.isna().to_numpy()
    if gaps.any():
        raise CommandError(f"{where}, data row {int(gaps.argmax()) + 1}: no label; drop such rows, or fill them in")
    if column.dtype.kind in "Mm":
        raise CommandError(f"{where} holds {column.dtype}; expected labels, integers or text")
    if column.dtype.kind in "biuf":
        return whole_labels(column.to_numpy(), where)
    values = column.tolist()
    if all(isinstance(value, bool) for value in values):
        return np.array(values)
    return np.array([str(value) for value in values], dtype=str)


def whole_labels(values: Array, where: str) -> Array:
    """Labels that are numbers; floats must be whole, and become integers."""
    if values.dtype.kind != "f":
        return values
    # NaN, which compares false, is no label either.
    whole = (np.abs(values) <= _EXACT) & (values == np.floor(values))
    if not whole.all():
        row = int((~whole).argmax())
        raise CommandError(
            f"{where}, data row {row + 1}: {values[row].item()!r} is a measurement; expected labels, integers or text; "
            "name the column of labels, or divide the values into classes"
        )
    return values.astype(np.int64)


def listing(names: list[str]) -> str:
    """Names for a message, at most a dozen."""
    shown = names if len(names) <= 12 else [*names[:8], "...", *names[-3:]]
    return ", ".join(shown) + ("" if shown is names else f" ({len(names)} in all)")
