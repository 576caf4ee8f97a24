"""A part of a file: some of the rows of a table, which one task reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class FilePart(NamedTuple):
    """Some of the rows of a file."""

    path: Path
    start: int
    """First row group of Parquet, byte of text, or row of .npy."""
    stop: int
    first_row: int
    """Number of rows above it in the file; of text, of lines."""
    end_row: int
    first_number: int = 0
    """Number of rows above it in all files; of text, of lines."""
