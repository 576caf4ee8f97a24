"""The dialect of a CSV file: where the table begins, encoding, separator, and whether rows begin with names."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._decompression import open_decompressed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from softgrad.cli._tables._file_part import FilePart
    from softgrad.cli._tables._read_options import FileFormat, ReadOptions

MOST_COLUMNS = 30_000  # in addition to the target; a column of text takes some milliseconds for any number of rows
_LONGEST_LINE = 2**25  # bytes
_SAMPLE = 2**16
_SEPARATORS = (",", ";", "\t", "|")
_DECLARATION = re.compile(r"\ufeff?\"?sep=(.|\\t)\"?", re.IGNORECASE)  # as Excel writes and reads it
_LONGEST_DECLARATION = 32  # bytes, in any encoding
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # which begins as UTF-16 does
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Dialect(NamedTuple):
    """How to split a file into fields."""

    encoding: str
    sep: str
    """One character; a space stands for any run of blanks."""
    row_names: bool
    """Whether the rows begin with their names, for which the header has no field, as R writes them."""
    skip: int
    """Number of lines above the table."""


def detect_dialect(path: Path, file_format: FileFormat, options: ReadOptions) -> Dialect:
    """Complete the options from the first lines of the file; an ambiguous file is an error."""
    skip = options.skip_lines or 0
    first, rest = _sample(path, skip)
    encoding = options.encoding or next((name for mark, name in _MARKS.items() if first.startswith(mark)), "utf-8")
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(first + rest)
    except UnicodeError:
        raise decoding_error(path, encoding) from None
    if "\0" in text:
        raise CommandError(f"{path} holds zero bytes; expected {encoding} text; for UTF-16 write --encoding utf-16-le")
    if len(rest) == _SAMPLE:
        text = text[: text.rfind("\n") + 1]  # without the line that the sample cuts off
    text = _without_lines(text, skip)
    declaration = _DECLARATION.fullmatch(text.partition("\n")[0].rstrip("\r"))
    declared = None
    if declaration:
        declared = "\t" if declaration[1] == "\\t" else declaration[1]
        skip, text = skip + 1, _without_lines(text, 1)
    sep = options.sep or declared or ("\t" if file_format == "tsv" else _separator(text, path, options))
    rows = _fields(text, sep)
    if options.skip_lines is None and not declared:
        _refuse_titles(text, rows, [options.sep] if options.sep else _SEPARATORS, path)
    if rows and len(rows[0]) > MOST_COLUMNS + 1:
        raise CommandError(
            f"{path} has {len(rows[0])} columns; expected at most {MOST_COLUMNS} and the target; write wider tables "
            "as .npy, .npz or LibSVM text"
        )
    return Dialect(encoding, sep, options.header and _has_row_names(rows), skip)


def _sample(path: Path, skip: int) -> tuple[bytes, bytes]:
    """Return the whole lines up to the header, and a sample of what follows."""
    first = b""
    with open_decompressed(path) as file:
        for number in range(skip + 1):
            line = file.readline(_LONGEST_LINE)
            if len(line) == _LONGEST_LINE:
                raise CommandError(
                    f"{path}: the first line is longer than {_LONGEST_LINE} bytes; expected a line of a table"
                )
            if skip and not line:
                raise CommandError(f"--skip-lines {skip}: {path} has {number} lines; expected a table below them")
            first += line
        if len(line) <= _LONGEST_DECLARATION:
            first += file.readline(_LONGEST_LINE)
        return first, file.read(_SAMPLE)


@contextlib.contextmanager
def open_text(path: Path, dialect: Dialect, part: FilePart | None = None, *, header: bool = True) -> Iterator[TextIO]:
    """Open the text of the table, without the lines above it; a part of it begins with the header too."""
    content = open_decompressed(path) if part is None else _open_part(path, dialect.skip, part, header=header)
    with content as opened, io.TextIOWrapper(opened, dialect.encoding, newline="") as file:
        for _ in range(dialect.skip):
            file.readline()
        yield file


@contextlib.contextmanager
def _open_part(path: Path, skip: int, part: FilePart, *, header: bool) -> Iterator[io.BytesIO]:
    with open_decompressed(path) as file:
        above = b""
        if part.start:
            above = b"".join(file.readline() for _ in range(skip))
            while header and (line := file.readline()):
                above += line
                header = not line.strip()
            file.seek(part.start)
        yield io.BytesIO(above + file.read(part.stop - part.start))


def first_rows(path: Path, dialect: Dialect, count: int) -> list[list[str]]:
    """Return the fields of the first `count` lines as written; fewer where a line cannot be parsed."""
    rows: list[list[str]] = []
    with open_text(path, dialect) as file, contextlib.suppress(csv.Error, UnicodeError):
        rows.extend(itertools.islice((row for row in _reader(file, dialect.sep) if row), count))
    return rows


def _without_lines(text: str, count: int) -> str:
    file = io.StringIO(text, newline="")
    for _ in range(count):
        file.readline()
    return file.read()


def _refuse_titles(text: str, rows: list[list[str]], separators: Sequence[str], path: Path) -> None:
    """Refuse a title or comments above the table, for any of the separators."""
    before = _rows_before(rows)
    if not before and not (rows and len(rows[0]) > 1 and _is_regular(rows)):
        before = max(_rows_before(_fields(text, sep)) for sep in separators)
    if before:
        lines = [(number, line) for number, line in enumerate(io.StringIO(text, newline=""), 1) if line.strip()]
        number = lines[before - 1][0]
        raise CommandError(
            f"{path}: the table seems to begin below line {number}, not with {lines[0][1].strip()[:40]!r}; write "
            f"--skip-lines {number} to skip the lines above it, or --skip-lines 0 if they belong to it"
        )


def _rows_before(rows: list[list[str]]) -> int:
    """Count the rows above the table: comments, and rows with fewer fields."""
    comments = len(list(itertools.takewhile(lambda row: row[0].startswith("#"), rows)))
    titles = len(list(itertools.takewhile(lambda row: len(row) > 2 and not any(map(str.strip, row[1:])), rows)))
    if comments == 1 and len(rows) > 1 and len(rows[0]) == len(rows[1]):
        comments = 0  # a header, as numpy.savetxt writes it
    before = max(comments, titles)
    if before or not rows:
        return before if before < len(rows) else 0
    width = len(rows[-1])
    before = max((number for number, row in enumerate(rows, 1) if len(row) != width), default=0)
    shorter = all(len(row) < width for row in rows[:before])
    is_table = len(rows) - before > 1 and not (before == 1 and len(rows[0]) == width - 1)
    return before if shorter and is_table else 0


def _separator(text: str, path: Path, options: ReadOptions) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    found = [sep for sep in _SEPARATORS if len(next(iter(_fields(first, sep)), [])) > 1]
    if len(found) > 1 and options.decimal in found:
        found.remove(options.decimal)
    if len(found) > 1:
        found = [sep for sep in found if _is_regular(_fields(text, sep))] or found
    if len(found) > 1:
        raise CommandError(
            f"{path}: {' and '.join(map(repr, found))} may separate the fields; write --sep "
            f"{' or --sep '.join(map(_typed, found))}"
        )
    if found and (found != ["\t"] or _is_regular(_fields(text, "\t"))):
        return found[0]
    blanks = _fields(text, " ")
    return " " if blanks and len(blanks[0]) > 1 and _is_regular(blanks) else found[0] if found else ","


def _typed(sep: str) -> str:
    return "tab" if sep == "\t" else f'"{sep}"'


def _fields(text: str, sep: str) -> list[list[str]]:
    """Split text into rows of fields, without empty rows, up to the first that cannot be parsed."""
    rows: list[list[str]] = []
    # A field longer than csv's limit is an error here, but not in pandas.
    with contextlib.suppress(csv.Error):
        rows.extend(row for row in _reader(io.StringIO(text, newline=""), sep) if row)
    return rows


def _reader(lines: Iterable[str], sep: str) -> Any:
    if sep == " ":
        lines = (re.sub(r"[ \t]+", " ", line.strip()) for line in lines)
    return csv.reader(lines, delimiter=sep)


def _is_regular(rows: list[list[str]]) -> bool:
    """Return whether all rows have as many fields as the first, or each one more."""
    return len({len(row) for row in rows}) == 1 or _is_shorter_by_one(rows)


def _is_shorter_by_one(rows: list[list[str]]) -> bool:
    return {len(row) for row in rows[1:]} == {len(rows[0]) + 1}


def _has_row_names(rows: list[list[str]]) -> bool:
    # An empty last field in all rows is a separator at the end of the line instead.
    return bool(rows) and _is_shorter_by_one(rows) and any(row[-1] for row in rows[1:])


def decoding_error(path: Path, encoding: str) -> CommandError:
    """Return the error for a file that cannot be decoded; it names the first such line."""
    where = ""
    with open_decompressed(path) as file:
        for number, line in enumerate(_lines(file, encoding), 1):
            try:
                line.decode(encoding)
            except UnicodeError as error:
                byte = f", byte 0x{line[error.start]:02x}," if isinstance(error, UnicodeDecodeError) else ""
                where = f", line {number}{byte}"
                break
    return CommandError(
        f"{path}{where} is not {encoding.removesuffix('-sig').upper()}; write --encoding with the file's "
        "encoding, such as cp1252 (Windows, Western Europe), cp1251 (Cyrillic), gb18030 or utf-16"
    )


def _lines(file: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    # In UTF-16 and UTF-32 a newline is not one byte.
    return iter(()) if encoding.startswith(("utf-16", "utf-32")) else file


def find_long_row(path: Path, dialect: Dialect) -> str | None:
    """Describe the first line with more fields than the header; None if there is none."""
    with open_text(path, dialect) as text, contextlib.suppress(csv.Error, UnicodeError):
        rows = _reader(text, dialect.sep)
        expected = len(next(filter(None, rows), [])) + dialect.row_names
        for row in rows:
            if len(row) > expected:
                return (
                    f"line {dialect.skip + rows.line_num} has {len(row)} fields, the first one "
                    f"{expected - dialect.row_names}"
                )
    return None
