"""The format of a file, by its name or else by its content."""

from __future__ import annotations

import codecs
import re
import zipfile
from typing import TYPE_CHECKING

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._decompression import open_decompressed
from softgrad.cli._tables._read_options import FORMATS, FileFormat, ReadOptions

if TYPE_CHECKING:
    from pathlib import Path

_EXTENSIONS: dict[FileFormat, tuple[str, ...]] = {
    "csv": (".csv", ".csv.gz"),
    "tsv": (".tsv", ".tsv.gz"),
    "parquet": (".parquet",),
    "npy": (".npy",),
    "npz": (".npz",),
    "libsvm": (".svm", ".libsvm", ".svm.gz", ".libsvm.gz"),
}
_MAGIC: dict[bytes, FileFormat] = {b"\x93NUMPY": "npy", b"PAR1": "parquet"}
# Files that are not tables: old Excel, HTML, XML, JSON, ARFF, PDF.
_OTHER = re.compile(rb"\xd0\xcf\x11\xe0|%PDF|\s*(?:[<{\[]|@relation)", re.IGNORECASE)
_SAMPLE = 2**16  # bytes
_FEATURE = rb"[0-9]+:\S+"
_LIBSVM = re.compile(rb"[-+]?[0-9.][-+0-9.eE,]*(?:\s+qid:[0-9]+)?(?:\s+%s)+\s*(?:#.*)?" % _FEATURE)
_ONLY_LABEL = re.compile(rb"\s*[-+]?[0-9.]*\s*(?:#.*)?")
_WORD = rb"[A-Za-z_\x80-\xff][^\s:,;|]*"
_LIBSVM_WORD_LABEL = re.compile(rb"%s(?:\s+%s)*" % (_WORD, rb"[0-9]+:[-+.0-9eE]+"))


def detect_format(path: Path, options: ReadOptions | None = None) -> FileFormat:
    """Return the format: that of `options`, else by the file's extension, else by its content."""
    options = options or ReadOptions()
    if path.exists() and not path.is_file():
        raise CommandError(f"{path} is no regular file; tables are read more than once; save it to a file first")
    file_format = options.format or _by_extension(path) or _by_content(path)
    options.check_for(file_format, path)
    return file_format


def _by_extension(path: Path) -> FileFormat | None:
    return next((name for name, endings in _EXTENSIONS.items() if path.name.lower().endswith(endings)), None)


def _by_content(path: Path) -> FileFormat:
    with open_decompressed(path) as file:
        start = file.read(_SAMPLE)
    for magic, file_format in _MAGIC.items():
        if start.startswith(magic):
            return file_format
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith(".npy") for name in archive.namelist()):
                return "npz"
    if not start.strip():
        raise CommandError(f"{path} is empty; expected a table")
    wide = start.startswith((b"\xff\xfe", b"\xfe\xff"))  # UTF-16, in which every other byte may be 0
    if start.startswith(b"PK") or _OTHER.match(start) or (b"\0" in start and not wide):
        raise CommandError(
            f"{path}: unknown file format; expected CSV, TSV, Parquet, .npy, .npz or LibSVM text; if it is one of "
            f"them, write --format with {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        )
    return "libsvm" if _is_libsvm(start.removeprefix(codecs.BOM_UTF8)) else "csv"


def _is_libsvm(start: bytes) -> bool:
    """Return whether the first line with features, or with words as labels every line, reads LABEL INDEX:VALUE ..."""
    lines = start.splitlines(keepends=True)
    bare = [line.partition(b"#")[0].strip() for line in (lines if len(start) < _SAMPLE else lines[:-1])]
    filled = list(filter(None, bare))
    if filled and b":" in filled[0] and all(map(_LIBSVM_WORD_LABEL.fullmatch, filled)):
        return True
    for line in lines:
        if not _ONLY_LABEL.fullmatch(line.strip()):
            complete = line.endswith(b"\n") or len(start) < _SAMPLE
            return bool((_LIBSVM.fullmatch if complete else _LIBSVM.match)(line.strip()))
    return False
