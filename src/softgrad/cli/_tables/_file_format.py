"""Which kind of file a table is in, by its name or else its content; packed text is unpacked within bounds."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._read_options import FORMATS, Format, ReadOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ENDINGS: dict[Format, tuple[str, ...]] = {
    "csv": (".csv", ".csv.gz"),
    "tsv": (".tsv", ".tsv.gz"),
    "parquet": (".parquet",),
    "npy": (".npy",),
    "npz": (".npz",),
    "libsvm": (".svm", ".libsvm", ".svm.gz", ".libsvm.gz"),
}
_GZIP = b"\x1f\x8b"
_MARKS: dict[bytes, Format] = {b"\x93NUMPY": "npy", b"PAR1": "parquet"}
# Of text that is no table: spreadsheets' old format, pages, XML, JSON, ARFF, PDF.
_OTHER = re.compile(rb"\xd0\xcf\x11\xe0|%PDF|\s*(?:[<{\[]|@relation)", re.IGNORECASE)
_SAMPLE = 2**16  # bytes
_FEATURE = rb"[0-9]+:\S+"
_LIBSVM = re.compile(rb"[-+]?[0-9.][-+0-9.eE,]*(?:\s+qid:[0-9]+)?(?:\s+%s)+\s*(?:#.*)?" % _FEATURE)
_LABEL_ALONE = re.compile(rb"\s*[-+]?[0-9.]*\s*(?:#.*)?")
_WORD = rb"[A-Za-z_\x80-\xff][^\s:,;|]*"
_LIBSVM_OF_WORDS = re.compile(rb"%s(?:\s+%s)*" % (_WORD, rb"[0-9]+:[-+.0-9eE]+"))

# Data that unpack to more than 256 MB are refused if that is over a hundred times their size: few tables are, and
# unpacked by hand they are read.
_FREE = 2**28
_RATIO = 100


def kind_of(path: Path, options: ReadOptions | None = None) -> Format:
    """The kind of file: as the user says, as its name ends, or as it looks inside."""
    options = options or ReadOptions()
    kind = options.format or _by_name(path) or _by_content(path)
    options.check_for(kind, path)
    return kind


def _by_name(path: Path) -> Format | None:
    return next((kind for kind, endings in _ENDINGS.items() if path.name.lower().endswith(endings)), None)


def _by_content(path: Path) -> Format:
    with unpacked(path) as file:
        start = file.read(_SAMPLE)
    for mark, kind in _MARKS.items():
        if start.startswith(mark):
            return kind
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith(".npy") for name in archive.namelist()):
                return "npz"
    if not start.strip():
        raise CommandError(f"{path} is empty; expected a table")
    wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))  # UTF-16, in which every other byte may be 0
    if start.startswith(b"PK") or _OTHER.match(start) or (b"\0" in start and not wide):
        raise CommandError(
            f"{path}: unknown kind of table; expected CSV, TSV, Parquet, .npy, .npz or LibSVM text; if it is one of "
            f"them, write --format with {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        )
    return "libsvm" if _is_libsvm(start) else "csv"


def _is_libsvm(start: bytes) -> bool:
    """Whether the first line that is more than a label has the form LABEL INDEX:VALUE ...; of words, every line."""
    lines = start.splitlines(keepends=True)
    bare = [line.partition(b"#")[0].strip() for line in (lines if len(start) < _SAMPLE else lines[:-1])]
    filled = list(filter(None, bare))
    if filled and b":" in filled[0] and all(map(_LIBSVM_OF_WORDS.fullmatch, filled)):
        return True
    for line in lines:
        if not _LABEL_ALONE.fullmatch(line.strip()):
            complete = line.endswith(b"\n") or len(start) < _SAMPLE
            return bool((_LIBSVM.fullmatch if complete else _LIBSVM.match)(line.strip()))
    return False


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked if they are packed by gzip."""
    with open(path, "rb") as file:
        if file.peek(2)[:2] != _GZIP and path.suffix.lower() != ".gz":
            yield file
            return
        try:
            bounded = _Bounded(gzip.GzipFile(fileobj=file), path)
            with io.BufferedReader(bounded, 2**17) as content:
                yield content
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise CommandError(f"{path} is not packed by gzip, or damaged: {error}") from None


def check_inflation(size: int, packed: int, what: str) -> None:
    """Refuse data that unpack to much more than a table would."""
    if size > max(_FREE, _RATIO * packed):
        raise CommandError(
            f"{what} unpacks to {size / 1e6:.0f} MB or more from {packed / 1e6:.1f} MB; expected at most "
            f"{_FREE / 1e6:.0f} MB, or {_RATIO} times its size; unpack it first if that is right"
        )


class _Bounded(io.RawIOBase):
    def __init__(self, packed: gzip.GzipFile, path: Path) -> None:
        self._packed, self._path = packed, path
        self._packed_size, self._size = path.stat().st_size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        content = self._packed.read(len(buffer))
        self._size += len(content)
        check_inflation(self._size, self._packed_size, str(self._path))
        buffer[: len(content)] = content
        return len(content)
