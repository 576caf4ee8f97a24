"""Gzipped files, and a limit on what compressed files may expand to."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from softgrad.cli._errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_GZIP = b"\x1f\x8b"
# Few tables compress to less than a hundredth of their size; whoever has one decompresses it by hand.
_ALWAYS_ALLOWED = 2**28  # bytes
_RATIO = 100
_BUFFER = 2**17


@contextmanager
def open_decompressed(path: Path) -> Iterator[io.BufferedReader[Any]]:
    """Open a file for reading bytes, decompressed if it is gzipped."""
    with open(path, "rb") as file:
        if not _begins_gzipped(file, path):
            yield file
            return
        try:
            checked = _SizeChecked(gzip.GzipFile(fileobj=file), path)
            with io.BufferedReader(checked, _BUFFER) as content:
                yield content
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise CommandError(f"{path} is not gzip, or is damaged: {error}") from None


def is_gzipped(path: Path) -> bool:
    """Return whether a file is decompressed where it is read."""
    with open(path, "rb") as file:
        return _begins_gzipped(file, path)


def _begins_gzipped(file: io.BufferedReader[Any], path: Path) -> bool:
    return file.peek(2)[:2] == _GZIP or path.suffix.lower() == ".gz"


def check_decompressed_size(size: int, compressed: int, what: str) -> None:
    """Refuse data that decompress to far more than a table would."""
    if size > max(_ALWAYS_ALLOWED, _RATIO * compressed):
        raise CommandError(
            f"{what} decompresses from {compressed / 1e6:.1f} MB to {size / 1e6:.0f} MB or more; expected at most "
            f"{_ALWAYS_ALLOWED / 1e6:.0f} MB or {_RATIO} times its size; if it is a table, decompress it first"
        )


def check_text_size(path: Path) -> None:
    """Refuse a gzipped file of too much text before its rows are parsed, which takes far more memory and time."""
    with open_decompressed(path) as file:
        if isinstance(getattr(file, "raw", None), _SizeChecked):
            while file.read(_BUFFER):
                pass


class _SizeChecked(io.RawIOBase):
    def __init__(self, compressed: gzip.GzipFile, path: Path) -> None:
        self._compressed, self._path = compressed, path
        self._compressed_size, self._size = path.stat().st_size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        content = self._compressed.read(len(buffer))
        self._size += len(content)
        check_decompressed_size(self._size, self._compressed_size, str(self._path))
        buffer[: len(content)] = content
        return len(content)
