"""Dividing files into parts, and numbering their rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._csv_dialect import detect_dialect
from softgrad.cli._tables._decompression import is_gzipped, open_decompressed
from softgrad.cli._tables._file_format import detect_format
from softgrad.cli._tables._file_part import FilePart
from softgrad.cli._tables._numpy_files import map_array
from softgrad.cli._tables._parquet import open_parquet
from softgrad.cli._tables._read_options import TEXT_FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from softgrad.cli._tables._csv_dialect import Dialect
    from softgrad.cli._tables._read_options import ReadOptions

# A worker holds some copies of a part for each of its threads.
_TEXT_BYTES = 2**26
_NUMBERS = 2**24
_CHUNK = 2**22


def split_file(path: Path, options: ReadOptions) -> list[FilePart]:
    """Divide a file into parts of a size that depends on the file only."""
    file_format = detect_format(path, options)
    if file_format in TEXT_FORMATS:
        return list(_text_parts(path, detect_dialect(path, file_format, options), options))
    if file_format == "parquet":
        return list(_parquet_parts(path))
    if file_format == "npy":
        return list(_npy_parts(path))
    raise CommandError(
        f"{path} is read as {file_format}; with --dask expected Parquet, CSV, TSV or .npy; leave out --dask"
    )


def numbered(files: list[list[FilePart]]) -> list[FilePart]:
    """Number the rows of all files, one file after the other."""
    parts: list[FilePart] = []
    above = 0
    for file in files:
        parts += [part._replace(first_number=above + part.first_row) for part in file]
        above += max((part.end_row for part in file), default=0)
    return parts


def _parquet_parts(path: Path) -> Iterator[FilePart]:
    with open_parquet(path) as file:
        metadata = file.metadata
        rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        most = max(_NUMBERS // max(1, metadata.num_columns), 1)
    ends = np.cumsum([0, *rows])
    start = 0
    for stop in range(1, len(rows) + 1):
        if stop == len(rows) or ends[stop + 1] - ends[start] > most:
            if ends[stop] > ends[start]:
                yield FilePart(path, start, stop, int(ends[start]), int(ends[stop]))
            start = stop


def _npy_parts(path: Path) -> Iterator[FilePart]:
    shape = map_array(path, str(path)).shape
    rows = shape[0] if shape else 1
    step = max(_NUMBERS // max(1, math.prod(shape[1:])), 1)
    for start in range(0, rows, step):
        yield FilePart(path, start, min(start + step, rows), start, min(start + step, rows))


def _text_parts(path: Path, dialect: Dialect, options: ReadOptions) -> Iterator[FilePart]:
    """Divide text at ends of lines outside quotes; gzipped text, UTF-16 and UTF-32 stay whole."""
    whole = is_gzipped(path) or dialect.encoding.startswith(("utf-16", "utf-32"))
    above = dialect.skip + options.header
    start, first_row = 0, 0
    offset = lines = quotes = 0
    with open_decompressed(path) as file:
        while chunk := file.read(_CHUNK):
            content = np.frombuffer(chunk, np.uint8)
            ends, marks = (np.flatnonzero(content == ord(character)) for character in '\n"')
            places = offset + ends + 1
            outside = (quotes + np.searchsorted(marks, ends)) % 2 == 0
            found = np.flatnonzero(outside & (places >= start + _TEXT_BYTES))
            if found.size and not whole:
                stop, row = int(places[found[0]]), lines + int(found[0]) + 1 - above
                yield FilePart(path, start, stop, first_row, row)
                start, first_row = stop, row
            offset, lines, quotes = offset + len(chunk), lines + len(ends), quotes + len(marks)
    if offset > start:
        # The last line may have no end.
        yield FilePart(path, start, offset, first_row, max(lines + 1 - above, first_row))
