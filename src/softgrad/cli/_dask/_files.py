"""The files of a table: those that match a pattern, or are in a folder."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from softgrad.cli._errors import CommandError


def table_files(table: Path) -> list[Path]:
    """Return the files of a table in the order of their names: one file, those of a folder, or those of a pattern."""
    text = str(table)
    if table.is_dir():
        found = [path for path in table.iterdir() if not path.name.startswith((".", "_"))]
    elif table.exists():
        found = [table]
    else:
        found = [Path(name) for name in glob.glob(text, recursive=True)]
    files = sorted(path.absolute() for path in found if path.is_file())
    if files:
        return files
    if table.is_dir():
        raise CommandError(f"{table} holds no files; expected the parts of a table")
    if has_wildcard(table):
        raise CommandError(f"no file matches {text!r} in {os.getcwd()}; write a pattern such as 'parts/*.parquet'")
    raise CommandError(f"there is no file {table}; write a file, a folder, or a pattern such as 'parts/*.parquet'")


def has_wildcard(table: Path) -> bool:
    """Return whether a path may be a pattern."""
    return any(character in str(table) for character in "*?[")


def table_name(table: Path) -> str:
    """Return a name for files about the table: of its last component without a wildcard."""
    for part in (table, *table.parents):
        name = part.name
        if name and name != "-" and not has_wildcard(Path(name)):
            return Path(name.removesuffix(".gz")).stem if part == table and not table.is_dir() else name
    return "model"
