"""One run: its records, printed and saved as they come, and the time that is left."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, TextIO

from benchmarks import tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.suites import Record


class NotMeasuredError(Exception):
    """The machine cannot do a measurement, which is then left out."""


class Session:
    """The records of a run on a device; `seconds` is the time of the part that is under way."""

    def __init__(self, device: str, output: TextIO | None = None) -> None:
        self.device = device
        self.records: list[Record] = []
        self._output, self._begin, self._deadline = output, time.monotonic(), math.inf

    def start_part(self, seconds: float) -> None:
        """Begin a part that may take so long."""
        self._deadline = time.monotonic() + seconds

    def seconds_left(self) -> float:
        """The time that is left to the part."""
        return self._deadline - time.monotonic()

    def add(self, record: Record, *, quiet: bool = False) -> None:
        """Save a record, and print it unless a table will show it."""
        self.records.append(record)
        if self._output is not None:
            self._output.write(json.dumps(_finite(record), ensure_ascii=False) + "\n")
            self._output.flush()
        if not quiet:
            print(f"[{time.monotonic() - self._begin:4.0f} s] {line(record)}", flush=True)

    def attempt(self, part: str, what: str, function: Callable[..., Any], *arguments: Any, ours: bool = False) -> Any:
        """Call a function; a failure becomes a record, that of softgrad's own code a wrong result, and gives None."""
        try:
            return function(*arguments)
        except NotMeasuredError as error:
            self.skip(part, what, str(error))
            return None
        except Exception as error:
            self.add(failure(part, what, error, ours=ours))
            return None

    def skip(self, part: str, what: str, reason: str) -> None:
        """Say what is left out."""
        self.add({"part": part, "skipped": what, "reason": reason})

    def problems(self) -> list[str]:
        """The results that are wrong or missing."""
        return [line(record) for record in self.records if record.get("passed") is False]

    def goals(self) -> list[dict[str, Any]]:
        """The goals of all records, as `tables.goal_lines` takes them."""
        return [goal for record in self.records for goal in record.get("goals", ())]


def failure(part: str, what: str, error: Exception, *, ours: bool = False) -> Record:
    """The record of an exception."""
    text = str(error).strip().splitlines() or [""]
    record: Record = {"part": part, "failed": what, "error": f"{type(error).__name__}: {text[0][:300]}"}
    return record | {"passed": False} if ours else record


def line(record: Record) -> str:
    """A record in one line."""
    hidden = {"goals", "passed"} if record.get("passed") is not False else {"goals"}
    return ", ".join(f"{key} {_figure(value)}" for key, value in record.items() if key not in hidden)


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return tables.digits(value, 3) if math.isfinite(value) else str(value)
    return str(value)


def _finite(record: Record) -> Record:
    """The record with null for numbers that JSON cannot hold."""
    is_number = {key: isinstance(value, float) and not math.isfinite(value) for key, value in record.items()}
    return {key: None if is_number[key] else value for key, value in record.items()}
