"""Where a command's results go: a file, whole or not at all, or stdout."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from softgrad._whole_file import write_whole
from softgrad.cli._errors import CommandError
from softgrad.cli._terminal import can_write, visible

if TYPE_CHECKING:
    from pathlib import Path


def check_output(path: Path, example: str, *, replaces: Path | None = None, option: str = "--output") -> None:
    """Refuse a place that cannot be written, before the work that is for it.

    Parameters
    ----------
    path : Path
        The file to write.
    example : str
        A name to suggest.
    replaces : Path, optional
        A file that is read, and must not be replaced.
    option : str
        As the user wrote it.
    """
    folder = path.parent
    if not folder.is_dir():
        raise CommandError(f"{option} {path}: there is no folder {folder}; create it, or name another file")
    if path.exists() and not path.is_file():
        raise CommandError(f"{option} {path} is not a file; name one to write, such as {path}/{example}")
    if replaces is not None and path.exists() and path.samefile(replaces):
        raise CommandError(f"{option} {path} would replace {replaces}, which is read; name another file")
    if not os.access(folder, os.W_OK):
        raise CommandError(f"{option} {path}: no permission to write in {folder.resolve()}; name another folder", 1)


def write_output(path: Path, content: str, *, option: str = "--output") -> None:
    """Write text as UTF-8, whole or not at all."""
    try:
        write_whole(path, content.encode())
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise CommandError(f"{option} {path} cannot be written: {problem}; name another file", 1) from None


def print_data(content: str) -> None:
    """Write text to stdout as it is, with a line end at its end; on a terminal, without control characters."""
    if not can_write(content):
        lacking = next(letter for letter in content if not can_write(letter))
        raise CommandError(
            f"this terminal's encoding, {sys.stdout.encoding}, has no {lacking!a}; write PYTHONIOENCODING=utf-8 before "
            "the command, or --output FILE after it"
        )
    if sys.stdout.isatty():
        content = visible(content, lines=True)
    try:
        print(content, end="" if content.endswith("\n") else "\n", flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: Any, **options: Any) -> None:
    """Write JSON to stdout; letters that its encoding lacks, and control characters, as JSON's own escapes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, **options)
    if not can_write(text) or visible(text, lines=True) != text:
        text = json.dumps(value, allow_nan=False, **options).replace("\x7f", "\\u007f")
    print_data(text)
