"""The options that fit, predict and evaluate share: how the table is read."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from softgrad.cli._tables._read_options import FORMATS, THOUSANDS, FileFormat, read_options

if TYPE_CHECKING:
    from collections.abc import Callable


def _option(values: Any, metavar: str, help: str, *names: str, default: str | None = None, **settings: Any) -> Any:  # noqa: A002 - as in typer
    option = typer.Option(
        *names,
        metavar=metavar,
        help=help,
        show_default=default or True,
        rich_help_panel="Reading the table",
        **settings,
    )
    return Annotated[values | None, option]


# The parameters of `read_options`, as typer takes them.
_OPTIONS = {
    "file_format": _option(
        FileFormat,
        "FORMAT",
        f"File format: {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.",
        "--format",
        default="by the file's name, else by its content",
    ),
    "sep": _option(
        str,
        "CHARACTER",
        "Field separator of CSV: a character, or the word tab or space (any blanks).",
        default="detected",
    ),
    "decimal": _option(Literal[".", ","], "MARK", "Decimal mark of CSV: . or ,", default="."),
    "thousands": _option(
        str,
        "CHARACTER",
        f"Thousands separator of CSV: {' '.join(THOUSANDS[:2])} ' _ or the word space (any blank).",
    ),
    "encoding": _option(
        str, "NAME", "Text encoding of CSV, such as cp1252.", default="by the byte order mark, else utf-8"
    ),
    "skip_lines": _option(int, "N", "Lines to skip above the header of CSV.", min=0),
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
