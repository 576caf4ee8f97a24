"""Reading Parquet, and whether pyarrow is there to read or write it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._decompression import check_decompressed_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

    from softgrad.cli._tables._file_part import FilePart


def read_parquet(path: Path, part: FilePart | None = None) -> pd.DataFrame:
    """Read a Parquet file, or some of its row groups; it must not be much larger in memory than on the disk."""
    with open_parquet(path) as file:
        facts = file.metadata
        # Repeated values take next to no space in the file.
        check_decompressed_size(8 * facts.num_rows * facts.num_columns, path.stat().st_size, str(path))
        return (file.read() if part is None else file.read_row_groups(range(part.start, part.stop))).to_pandas()


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet file; what pyarrow cannot read is an error of one line."""
    check_parquet(str(path))
    from pyarrow import parquet  # type: ignore[import-untyped]  # noqa: PLC0415

    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except OSError as error:
        if error.errno is not None:
            raise
        raise CommandError(f"{path} is damaged: {error}") from None
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:  # the bases of pyarrow's errors
        raise CommandError(f"{path} is not Parquet, or is damaged: {error}") from None


def check_parquet(name: str) -> None:
    """Raise an error, which begins with `name`, if pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401, PLC0415
    except ImportError:
        raise CommandError(f'{name}: Parquet needs pyarrow; write pip install "softgrad[parquet]"', 1) from None
