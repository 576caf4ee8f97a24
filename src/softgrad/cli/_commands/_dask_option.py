"""The option --dask of fit, predict and evaluate, whose value may be left out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from softgrad.cli._dask._cluster import LOCAL
from softgrad.cli._dask._files import has_wildcard, table_files
from softgrad.cli._errors import CommandError
from softgrad.cli._standard_input import is_standard_input

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_OPTION = "--dask"
# A URL, or a host and a port.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+|[\w.-]+:\d+|\[[0-9A-Fa-f:.]+\]:\d+")

DaskOption = Annotated[
    str | None,
    typer.Option(
        _OPTION,
        metavar="[ADDRESS]",
        help="Read TABLE in parts on a Dask cluster: that of the scheduler at ADDRESS, such as tcp://scheduler:8786, "
        "or without an ADDRESS one on this machine.",
        rich_help_panel="Cluster",
        show_default=False,
    ),
]


class DaskCommand(TyperCommand):
    """A command with the option --dask, followed by an address or not."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give the option a value where it has none, and parse the arguments."""
        return super().parse_args(ctx, with_values(args))


def with_values(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with a value for every --dask: what follows it if that is an address, else LOCAL."""
    found: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*found, argument, *rest]
        if argument == _OPTION:
            argument = f"{_OPTION}={rest.pop(0) if rest and _ADDRESS.fullmatch(rest[0]) else LOCAL}"
        found.append(argument)
    return found


def input_files(table: Path, dask: str | None) -> list[Path]:
    """Return the files of a table: one, none for standard input, or with --dask those of a pattern or folder."""
    if is_standard_input(table):
        if dask is not None:
            raise CommandError(f"- is standard input, and {_OPTION} reads files; name a file, a folder or a pattern")
        return []
    if dask is not None:
        if dask != LOCAL and not _ADDRESS.fullmatch(dask):
            raise CommandError(f"{_OPTION}={dask}; expected an address such as tcp://scheduler:8786")
        return table_files(table)
    several = f"; for the files of a folder or a pattern write {_OPTION}"
    if table.is_dir():
        raise CommandError(f"{table} is a directory; expected a file{several}")
    if not table.exists():
        raise CommandError(f"there is no file {table}{several if has_wildcard(table) else ''}")
    return [table]
