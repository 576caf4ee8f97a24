"""The command ``softgrad``; one module for each of its commands."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from softgrad.cli._terminal import never_fail_to_write, say

if TYPE_CHECKING:
    from collections.abc import Callable

# What the extra `cli` installs, by the names of import.
_EXTRA = ("typer", "rich", "scipy", "sklearn", "threadpoolctl", "pandas", "safetensors", "sympy", "jinja2")


class CommandError(Exception):
    """What the user can put right: printed as one line, without a traceback; 2 is for bad input, 1 for failure."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def main(arguments: list[str] | None = None, *, loaded: Callable[[], None] | None = None) -> NoReturn:
    """Run the command; the exit code is 0 for success, 1 for failure, 2 for bad input, 130 after Ctrl-C.

    `loaded` is called when all commands are imported, before one of them runs.
    """
    never_fail_to_write()
    try:
        code = _run(arguments, loaded)
    except CommandError as error:
        _complain(error)
        code = error.exit_code
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        _complain(f'{missing} is not installed; write pip install "softgrad[cli]"')
        code = 1
    except KeyboardInterrupt:
        _end_undisturbed()
        code = 130
    except OSError as error:
        _complain(error)
        code = 1
    except MemoryError as error:
        _complain(f"out of memory{f': {error}' if str(error) else ''}; take fewer rows or columns")
        code = 1
    if code == 130:
        say("interrupted")
    sys.exit(code)


def _run(arguments: list[str] | None, loaded: Callable[[], None] | None) -> int:
    # Here, because typer comes with an extra that may not be installed.
    import typer  # noqa: PLC0415

    from softgrad.cli._app import app  # noqa: PLC0415

    if loaded:
        loaded()
    # click's base of all mistakes on a command line: typer exports only this child of it, and later versions carry
    # a click of their own.
    usage_error: Any = typer.BadParameter.__mro__[1]
    try:
        return app(arguments, prog_name="softgrad", standalone_mode=False) or 0
    except usage_error as error:
        command = error.ctx.command_path if error.ctx else "softgrad"
        raise CommandError(f"{error.format_message()} (see {command} --help)", error.exit_code) from None


def _complain(problem: object) -> None:
    say(f"error: {problem}")


def _end_undisturbed() -> None:
    """Ignore further signals of Ctrl-C, the second of which would end the process without an exit code."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
