"""Writing a command's results to a file or to stdout."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from softgrad._atomic_write import write_atomically
from softgrad.cli._errors import CommandError
from softgrad.cli._terminal import can_write, visible


def check_output(path: Path, example: str, *, replaces: Path | None = None, option: str = "--output") -> None:
    """Refuse a file that cannot be written, before any work is done.

    Parameters
    ----------
    path : Path
        The file to write.
    example : str
        A file name to suggest.
    replaces : Path, optional
        An input file, which must not be overwritten.
    option : str
        The option that named the file.
    """
    folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        raise CommandError(f"{option} {path}: there is no folder {folder}; create it, or name another file")
    if str(path) == "-":
        raise CommandError(f"{option} - would be a file, not standard output; name one to write, such as {example}")
    if path.is_dir():
        raise CommandError(f"{option} {path} is not a file; name one to write, such as {path}/{example}")
    if path.exists() and not path.is_file():
        raise CommandError(f"{option} {path} is not a regular file; name one to write, such as {example}")
    if replaces is not None and path.exists() and path.samefile(replaces):
        raise CommandError(f"{option} {path} would replace {replaces}, which is an input; name another file")
    if not os.access(folder, os.W_OK):
        raise CommandError(f"{option} {path}: no permission to write in {folder.resolve()}; name another folder", 1)


def write_output(path: Path, content: str | bytes, *, option: str = "--output") -> None:
    """Write bytes, or text as UTF-8; if that fails, an existing file is unchanged."""
    try:
        write_atomically(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise CommandError(f"{option} {path} cannot be written: {problem}; name another file", 1) from None


def refuse_closed_stdout() -> None:
    """Raise an error if stdout is closed, where Python prints nothing and reports nothing."""
    if sys.stdout is None:
        raise CommandError("stdout is closed, and the result is lost; redirect it to a file", 1)


def print_data(content: str) -> None:
    """Print text, ending with a newline; on a terminal, without control characters."""
    refuse_closed_stdout()
    if not can_write(content):
        lacking = next(character for character in content if not can_write(character))
        raise CommandError(
            f"this terminal's encoding, {sys.stdout.encoding}, has no {lacking!a}; write PYTHONIOENCODING=utf-8 before "
            "the command, or --output FILE after it"
        )
    if sys.stdout.isatty():
        content = visible(content, lines=True)
    try:
        print(content, end="" if content.endswith("\n") else "\n", flush=True)
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise CommandError(f"stdout cannot be written: {problem}; redirect it to another file", 1) from None


def print_json(value: Any, **options: Any) -> None:
    """Print JSON; control characters, and characters that stdout cannot encode, become JSON escapes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, **options)
    if not can_write(text) or visible(text, lines=True) != text:
        text = json.dumps(value, allow_nan=False, **options).replace("\x7f", "\\u007f")
    print_data(text)
