"""The options that fit, predict and evaluate share: how the table is read."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from softgrad.cli._tables._read_options import FORMATS, THOUSANDS, FileFormat, read_options

if TYPE_CHECKING:
    from collections.abc import Callable


def _option(*names: str, help: str, **settings: Any) -> Any:  # noqa: A002 - as typer calls it
    return typer.Option(*names, help=help, rich_help_panel="Reading the table", **settings)


# The parameters of `read_options`, as typer takes them.
_OPTIONS: dict[str, Any] = {
    "file_format": Annotated[
        FileFormat | None,
        _option(
            "--format",
            metavar="FORMAT",
            help=f"File format: {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.",
            show_default="by the file's name, else by its content",
        ),
    ],
    "sep": Annotated[
        str | None,
        _option(
            "--sep",
            metavar="CHARACTER",
            help="Field separator of CSV; tab is a tab, space any run of blanks.",
            show_default="detected",
        ),
    ],
    "decimal": Annotated[
        Literal[".", ","] | None,
        _option("--decimal", metavar="MARK", help="Decimal mark of CSV, . or ,", show_default="."),
    ],
    "thousands": Annotated[
        str | None,
        _option(
            "--thousands",
            metavar="CHARACTER",
            help=f"Thousands separator of CSV: {' '.join(THOUSANDS[:2])} ' _ or space for blanks of any kind.",
        ),
    ],
    "encoding": Annotated[
        str | None,
        _option(
            "--encoding",
            metavar="NAME",
            help="Text encoding of CSV, such as cp1252.",
            show_default="by the byte order mark, else utf-8",
        ),
    ],
    "skip_lines": Annotated[
        int | None,
        _option("--skip-lines", metavar="N", min=0, help="Lines to skip above the header of CSV."),
    ],
}


def takes_reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it receives them, checked, as its argument `reading`."""

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        reading = read_options(**{name: values.pop(name) for name in _OPTIONS})
        command(**values, reading=reading)

    signature = inspect.signature(command, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "reading"]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    # typer reads both.
    with_options.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *shared]}
    return with_options
