"""How a file is read: the options that fit, predict and evaluate share."""

from __future__ import annotations

import codecs
import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import typer

from softgrad.cli._errors import CommandError

Format = Literal["csv", "tsv", "parquet", "npy", "npz", "libsvm"]
FORMATS: tuple[Format, ...] = get_args(Format)
TEXT: tuple[Format, ...] = ("csv", "tsv")
FRAMES: tuple[Format, ...] = (*TEXT, "parquet")

_PANEL = "How the table is written"
_NAMED_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " "}
DECIMALS = (".", ",")
THOUSANDS = (",", ".", " ", "'", "_")

FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="KIND",
        help=f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}. (default: what the name says, or else the content)",
        rich_help_panel=_PANEL,
    ),
]
SepOption = Annotated[
    str | None,
    typer.Option(
        "--sep",
        metavar="CHARACTER",
        help="Separates the fields of CSV; tab, or space for any run of blanks. (default: found in the file)",
        rich_help_panel=_PANEL,
    ),
]
DecimalOption = Annotated[
    Literal[".", ","] | None,
    typer.Option("--decimal", metavar=". or ,", help="The decimal mark of CSV. (default: .)", rich_help_panel=_PANEL),
]
ThousandsOption = Annotated[
    str | None,
    typer.Option(
        "--thousands",
        metavar="CHARACTER",
        help=f"Groups digits in CSV: {' '.join(THOUSANDS[:2])} ' _ or ' ' for blanks of any kind. (default: none)",
        rich_help_panel=_PANEL,
    ),
]
EncodingOption = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="Of CSV, such as cp1252. (default: utf-8, or what a byte order mark says)",
        rich_help_panel=_PANEL,
    ),
]
SkipLinesOption = Annotated[
    int | None,
    typer.Option(
        "--skip-lines",
        metavar="N",
        min=0,
        help="Lines of CSV above its header, such as a title. (default: none; one that says sep=; is understood)",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True)
class ReadOptions:
    """What the user says of a file; None where the file, or its name, decides."""

    format: Format | None = None
    sep: str | None = None
    """One character; a space means any run of blanks."""
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    """A space means blanks of any kind, the no-break space too."""
    header: bool = True
    """Whether the first line of CSV names the columns."""
    missing: tuple[str, ...] = ()
    """Texts that mean a missing value in CSV, beside the empty field."""
    skip_lines: int | None = None
    """Lines of CSV before the table; None refuses a title."""

    @property
    def local_numbers(self) -> bool:
        """Whether an option says how numbers are written."""
        return self.decimal is not None or self.thousands is not None

    def check_for(self, kind: Format, path: object) -> None:
        """Refuse options of text for other kinds of file."""
        for name in ("sep", "encoding", "decimal", "thousands", "skip_lines"):
            if kind not in TEXT and getattr(self, name) is not None:
                raise CommandError(f"--{name.replace('_', '-')} is for CSV and TSV; {path} is read as {kind}")

    def to_json(self) -> dict[str, Any]:
        """The part that later tables share, for the file of the model: how values are written, not the file."""
        return {
            "header": self.header,
            "missing": list(self.missing),
            "decimal": self.decimal,
            "thousands": self.thousands,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ReadOptions:
        """What `to_json` made."""
        return cls(
            header=record["header"],
            missing=tuple(record["missing"]),
            decimal=record["decimal"],
            thousands=record["thousands"],
        )

    def of_fit(self, fitted: ReadOptions) -> ReadOptions:
        """These options, and where they say nothing of values, those of the fit."""
        numbers = self if self.local_numbers else fitted
        return dataclasses.replace(
            self, header=fitted.header, missing=fitted.missing, decimal=numbers.decimal, thousands=numbers.thousands
        )


def read_options(
    file_format: Format | None,
    sep: str | None,
    decimal: str | None,
    thousands: str | None,
    encoding: str | None,
    skip_lines: int | None,
    *,
    header: bool = True,
    missing: tuple[str, ...] = (),
) -> ReadOptions:
    """Check options as they were typed."""
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
            raise CommandError(f"--thousands {thousands!r} is the decimal mark too; write --decimal with another one")
    if encoding is not None:
        try:
            encoding = codecs.lookup(encoding).name
            "".encode(encoding)  # of the codecs, only those of text do
        except (LookupError, ValueError):
            raise CommandError(f"--encoding {encoding!r} is unknown; expected utf-8, cp1252, utf-16, ...") from None
    return ReadOptions(file_format, sep, encoding, decimal, thousands, header, missing, skip_lines)
