"""How a CSV file is written: its encoding, its separator, and whether its rows begin with names, as R writes them."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from typing import TYPE_CHECKING, NamedTuple

from softgrad.cli import CommandError
from softgrad.cli._file_kind import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from softgrad.cli._reading import Format, ReadOptions

MOST_COLUMNS = 30_000  # beside the target; each costs about a millisecond, whatever the rows
_LONGEST_LINE = 2**25  # bytes
_SAMPLE = 2**16
_SEPARATORS = (",", ";", "\t", "|")
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # which begins as UTF-16 does
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class TextFormat(NamedTuple):
    """How the fields of a file are told apart."""

    encoding: str
    sep: str
    """One character; a space means any run of blanks."""
    row_names: bool
    """Whether the header is one field shorter than the rows, which begin with their names."""


def text_format(path: Path, kind: Format, options: ReadOptions) -> TextFormat:
    """What the options leave open is found in the first lines, where that is safe."""
    with unpacked(path) as file:
        first = file.readline(_LONGEST_LINE)
        rest = file.read(_SAMPLE)
    if len(first) == _LONGEST_LINE:
        raise CommandError(f"{path}: the first line is longer than {_LONGEST_LINE} bytes; expected a line of a table")
    encoding = options.encoding or next((name for mark, name in _MARKS.items() if first.startswith(mark)), "utf-8")
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(first + rest)
    except UnicodeError:
        raise undecodable(path, encoding) from None
    if "\0" in text:
        raise CommandError(f"{path} holds bytes 0 as {encoding}; expected text; for UTF-16 write --encoding utf-16-le")
    if len(rest) == _SAMPLE:
        text = text[: text.rfind("\n") + 1]  # without the line in which the sample ends
    sep = options.sep or ("\t" if kind == "tsv" else _separator(text, path, options))
    rows = _fields(text, sep)
    if rows and len(rows[0]) > MOST_COLUMNS + 1:
        raise CommandError(
            f"{path} has {len(rows[0])} columns; expected at most {MOST_COLUMNS} beside the target; write so many as "
            ".npy, .npz or LibSVM text"
        )
    return TextFormat(encoding, sep, options.header and _has_row_names(rows))


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
    """The rows of a text, none of those that are empty; as many as can be parsed."""
    if sep == " ":
        text = "\n".join(re.sub(r"[ \t]+", " ", line.strip()) for line in text.splitlines())
    rows: list[list[str]] = []
    # An error is of a field longer than the limit of the module, which pandas may well read.
    with contextlib.suppress(csv.Error):
        rows.extend(row for row in csv.reader(io.StringIO(text, newline=""), delimiter=sep) if row)
    return rows


def _is_regular(rows: list[list[str]]) -> bool:
    """Whether all rows have as many fields as the first, or all but the first one more."""
    return len({len(row) for row in rows}) == 1 or _is_shorter_by_one(rows)


def _is_shorter_by_one(rows: list[list[str]]) -> bool:
    return {len(row) for row in rows[1:]} == {len(rows[0]) + 1}


def _has_row_names(rows: list[list[str]]) -> bool:
    # If the last field is empty in all rows, they end with a separator instead.
    return bool(rows) and _is_shorter_by_one(rows) and any(row[-1] for row in rows[1:])


def undecodable(path: Path, encoding: str) -> CommandError:
    """The error that names the first line which is not in the encoding."""
    where = ""
    with unpacked(path) as file:
        for number, line in enumerate(_lines(file, encoding), 1):
            try:
                line.decode(encoding)
            except UnicodeError as error:
                byte = f", byte 0x{line[error.start]:02x}," if isinstance(error, UnicodeDecodeError) else ""
                where = f", line {number}{byte}"
                break
    return CommandError(
        f"{path}{where} is not {encoding.removesuffix('-sig').upper()}; write --encoding with the name of the file's "
        "encoding, such as cp1252 (Windows, Western Europe), cp1251 (Cyrillic), gb18030 or utf-16"
    )


def _lines(file: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    # In UTF-16 and 32 a line's end is not one byte.
    return iter(()) if encoding.startswith(("utf-16", "utf-32")) else file


def too_long(path: Path, layout: TextFormat) -> str | None:
    """Which line has more fields than the first; None if none has."""
    with unpacked(path) as file, io.TextIOWrapper(file, layout.encoding, newline="") as text:
        if layout.sep == " ":
            rows = ((number, line.split()) for number, line in enumerate(text, 1))
        else:
            reader = csv.reader(text, delimiter=layout.sep)
            rows = ((reader.line_num, row) for row in reader)
        with contextlib.suppress(csv.Error, UnicodeError):
            expected = len(next((row for _, row in rows if row), [])) + layout.row_names
            for number, row in rows:
                if len(row) > expected:
                    return f"line {number} has {len(row)} fields, the first line {expected - layout.row_names}"
    return None
