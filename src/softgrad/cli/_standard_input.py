"""TABLE as - : standard input, which is copied to a file, because tables are read more than once."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from softgrad.cli._errors import CommandError
from softgrad.cli._terminal import say

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "standard input"


def is_standard_input(table: Path) -> bool:
    """Return whether a table is named - ; a file of this name needs an absolute path, because Path drops ./ ."""
    return str(table) == "-"


def shown_name(table: Path) -> str:
    """Return the name of a table for the results."""
    return _NAME if is_standard_input(table) else str(table)


@contextmanager
def table_file(table: Path) -> Iterator[Path]:
    """Yield the file of a table: for - a copy of standard input, which exists until the block ends."""
    if not is_standard_input(table):
        yield table
        return
    if sys.stdin is None:
        raise CommandError(f"{_NAME} is closed; write softgrad ... - < table.csv, or the name of a file")
    if sys.stdin.isatty():
        say("reading the table from the terminal; end it with Ctrl-D on a line of its own")
    with tempfile.TemporaryDirectory(prefix="softgrad-") as folder:
        copy = Path(folder, "stdin")
        _copy_standard_input(copy)
        try:
            yield copy
        except CommandError as error:
            raise CommandError(str(error).replace(str(copy), _NAME), error.exit_code) from None


def _copy_standard_input(copy: Path) -> None:
    try:
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise CommandError(
            f"{_NAME} cannot be copied to {copy.parent}: {problem}; write TMPDIR=FOLDER before the command", 1
        ) from None
