"""The entry of the command ``softgrad``: from here on Ctrl-C ends it with exit code 130 and without a traceback.

A package of its own, because importing anything of `softgrad` loads NumPy first.
"""

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command."""
    heeded = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # not so in the background of a shell
    if heeded:
        signal.signal(signal.SIGINT, _leave)
    from softgrad.cli import main as run  # noqa: PLC0415

    try:
        run(loaded=_raise_from_now_on if heeded else None)
    finally:
        # Python's own end, after the work is done, is not to be interrupted.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave(*_: object) -> NoReturn:
    """End while modules load: nothing is to be cleaned up, and a module might catch an exception, or print it."""
    os.write(2, b"interrupted\n")
    os._exit(130)


def _raise_from_now_on() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
