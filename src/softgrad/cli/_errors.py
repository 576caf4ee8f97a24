"""The error that a user of the command can put right."""

from __future__ import annotations


class CommandError(Exception):
    """An error printed as one line, without a traceback; the exit code is 2 for bad input, 1 for a failure."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
