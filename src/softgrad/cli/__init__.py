"""The command ``softgrad``: `main` runs it and turns errors into one line and an exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

from softgrad.cli._errors import CommandError
from softgrad.cli._interrupts import ignore_interrupts
from softgrad.cli._terminal import never_fail_to_write, say

if TYPE_CHECKING:
    from collections.abc import Callable

# Import names of the packages that the extra `cli` installs.
_EXTRA = ("typer", "rich", "scipy", "sklearn", "threadpoolctl", "pandas", "safetensors", "sympy", "jinja2")


def main(arguments: list[str] | None = None, *, loaded: Callable[[], None] | None = None) -> NoReturn:
    """Run the command; the exit code is 0 for success, 1 for failure, 2 for bad input, 130 after Ctrl-C.

    `loaded` is called once all commands are imported, before one of them runs.
    """
    never_fail_to_write()
    try:
        code = _run(arguments, loaded)
    except CommandError as error:
        _print_error(error)
        code = error.exit_code
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        _print_error(f'{missing} is not installed; write pip install "softgrad[cli]"')
        code = 1
    except SystemExit as stop:
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        code = 0  # rich ends so where the reader, such as head, has seen enough
    except KeyboardInterrupt:
        ignore_interrupts()
        code = 130
    except OSError as error:
        _print_error(error)
        code = 1
    except MemoryError as error:
        _print_error(f"out of memory{f': {error}' if str(error) else ''}; take fewer rows or columns")
        code = 1
    if code == 130:
        say("interrupted")
    sys.exit(code)


def _run(arguments: list[str] | None, loaded: Callable[[], None] | None) -> int:
    # Imported here, because typer comes with an extra that may not be installed.
    import typer  # noqa: PLC0415

    from softgrad.cli._app import app  # noqa: PLC0415

    if loaded:
        loaded()
    # click's base class of usage errors. typer exports only this subclass of it, and recent versions bundle their own
    # click, so that it cannot be imported from there.
    usage_error: Any = typer.BadParameter.__mro__[1]
    try:
        return app(arguments, prog_name="softgrad", standalone_mode=False) or 0
    except usage_error as error:
        command = error.ctx.command_path if error.ctx else "softgrad"
        raise CommandError(f"{error.format_message()} (see {command} --help)", error.exit_code) from None


def _print_error(problem: object) -> None:
    say(f"error: {problem}")
