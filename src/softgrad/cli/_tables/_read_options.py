"""The options that say how a table is read."""

from __future__ import annotations

import codecs
import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from softgrad.cli._errors import CommandError

FileFormat = Literal["csv", "tsv", "parquet", "npy", "npz", "libsvm"]
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
TEXT_FORMATS: tuple[FileFormat, ...] = ("csv", "tsv")
NAMED_COLUMN_FORMATS: tuple[FileFormat, ...] = (*TEXT_FORMATS, "parquet")

DECIMALS = (".", ",")
THOUSANDS = (",", ".", " ", "'", "_")
_VALUE_OPTIONS = ("header", "missing", "decimal", "thousands")
_NAMED_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " "}


@dataclass(frozen=True)
class ReadOptions:
    """How to read a file; None is decided by the file or its name."""

    format: FileFormat | None = None
    sep: str | None = None
    """One character; a space stands for any run of blanks."""
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    """A space stands for blanks of any kind, including the no-break space."""
    header: bool = True
    """Whether the first line of CSV names the columns."""
    missing: tuple[str, ...] = ()
    """Fields of CSV that count as missing, in addition to the empty field."""
    skip_lines: int | None = None
    """Lines to skip above the table in CSV; None refuses a title there."""

    @property
    def sets_number_format(self) -> bool:
        """Whether an option says how numbers are written."""
        return self.decimal is not None or self.thousands is not None

    def check_for(self, file_format: FileFormat, path: object) -> None:
        """Refuse options of text files for other formats."""
        for name in ("sep", "encoding", "decimal", "thousands", "skip_lines"):
            if file_format not in TEXT_FORMATS and getattr(self, name) is not None:
                raise CommandError(f"--{name.replace('_', '-')} is for CSV and TSV; {path} is read as {file_format}")

    def to_json(self) -> dict[str, Any]:
        """Return the part that a model stores: how values are written, but not how the file is."""
        return {name: getattr(self, name) for name in _VALUE_OPTIONS}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ReadOptions:
        """Restore the result of `to_json`."""
        values = {name: record[name] for name in _VALUE_OPTIONS}
        return cls(**values | {"missing": tuple(values["missing"])})

    def completed_by(self, fitted: ReadOptions) -> ReadOptions:
        """Take from the options of a fit how values are written, unless these say so."""
        numbers = self if self.sets_number_format else fitted
        return dataclasses.replace(
            self, header=fitted.header, missing=fitted.missing, decimal=numbers.decimal, thousands=numbers.thousands
        )


def read_options(
    file_format: FileFormat | None = None,
    sep: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    skip_lines: int | None = None,
) -> ReadOptions:
    """Check the options as typed, and resolve their names for characters and encodings."""
    if sep is not None:
        separator = _NAMED_SEPARATORS.get(sep, sep)
        if len(separator) != 1 or separator.isalnum() or separator in "\"'.\r\n":
            raise CommandError(f"--sep {sep!r}; expected one character, such as ';' or '|', or tab or space")
        sep = separator
    if thousands is not None:
        thousands = " " if thousands in ("space", "\u00a0", "\u202f") else "'" if thousands == "’" else thousands
        if thousands not in THOUSANDS:
            raise CommandError(f"--thousands {thousands!r}; expected one of {' '.join(map(repr, THOUSANDS))}")
        if thousands == (decimal or "."):
            raise CommandError(f"--thousands {thousands!r} is also the decimal mark; write another one with --decimal")
    if encoding is not None:
        try:
            encoding = codecs.lookup(encoding).name
            "".encode(encoding)  # fails for codecs that are not of text, such as hex
        except (LookupError, ValueError):
            raise CommandError(f"--encoding {encoding!r} is unknown; expected utf-8, cp1252, utf-16, ...") from None
    return ReadOptions(file_format, sep, encoding, decimal, thousands, skip_lines=skip_lines)
