"""The entry point of the command ``softgrad``, which Ctrl-C ends with exit code 130 and without a traceback.

It is a package of its own, because importing any module of `softgrad` loads NumPy first, and Ctrl-C would end that with
a traceback.
"""

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command."""
    # Shells ignore SIGINT for background jobs.
    interruptible = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    if interruptible:
        signal.signal(signal.SIGINT, _exit_at_once)
    from softgrad.cli import main as run  # noqa: PLC0415

    try:
        run(loaded=_raise_keyboard_interrupt if interruptible else None)
    finally:
        # The work is done: Ctrl-C must not interrupt the end of the interpreter.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _exit_at_once(*_: object) -> NoReturn:
    """End the process while modules load; a module could catch or print an exception, and nothing needs cleaning up."""
    os.write(2, b"interrupted\n")
    os._exit(130)


def _raise_keyboard_interrupt() -> None:
    """Restore Python's handler, which raises KeyboardInterrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
