"""Progress of a command on stderr: a bar on a terminal, else a line every second."""

from __future__ import annotations

import math
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from softgrad.linear_model import Iteration

_PAUSE = 1.0  # seconds between lines


class FitProgress(Protocol):
    """Callbacks of a fit, or of another work in stages."""

    def stage(self, name: str) -> None:
        """Begin another stage of the work."""

    def parts(self, done: int, total: int) -> None:
        """Report how many parts of a table are done."""

    def iteration(self, iteration: Iteration, note: str = "") -> None:
        """Report an iteration of the solver; the note says more of its passes."""


@contextmanager
def fit_progress(tol: float = 1e-6, *, quiet: bool = False) -> Iterator[FitProgress]:
    """Show progress while the block runs, unless `quiet`; `tol` is the gradient norm at which the fit ends."""
    if quiet:
        yield _Nothing()
        return
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        lines = _Lines()
        yield lines
        lines.end()
        return
    stage, state = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[state]}")
    with Progress(stage, BarColumn(16), state, TimeElapsedColumn(), console=console, transient=True) as progress:
        yield _Bar(progress, tol)


class _Nothing:
    def stage(self, name: str) -> None:
        pass

    def parts(self, done: int, total: int) -> None:
        pass

    def iteration(self, iteration: Iteration, note: str = "") -> None:
        pass


class _Bar:
    """A bar in the logarithm of the gradient norm, which falls about evenly."""

    def __init__(self, progress: Progress, tol: float) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, state="")
        self._end = max(tol, sys.float_info.min)
        self._start = self._best = math.inf

    def stage(self, name: str) -> None:
        self._progress.refresh()  # draws the last stage, which may have ended before a refresh
        self._start = self._best = math.inf
        self._progress.update(self._task, description=name, total=None, state="")

    def parts(self, done: int, total: int) -> None:
        state = f"{done} of {total} parts"
        self._progress.update(self._task, total=max(total, 1), completed=done, state=state)

    def iteration(self, iteration: Iteration, note: str = "") -> None:
        norm = iteration.gradient_norm
        self._start = norm if self._start == math.inf else self._start
        self._best = max(min(self._best, norm), self._end)
        done = math.log(self._start / self._best) / math.log(self._start / self._end) if self._start > self._end else 1
        self._progress.update(self._task, total=1.0, completed=done, state=_state(iteration, note))


class _Lines:
    def __init__(self) -> None:
        self._next = math.inf
        self._pending: str | None = None
        self._stage = ""

    def stage(self, name: str) -> None:
        # No line for the stage itself: the first iteration's line says more.
        self._stage = name
        self._next = time.monotonic() + _PAUSE

    def parts(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            print(f"{self._stage}: {done} of {total} parts", file=sys.stderr, flush=True)
            self._next = time.monotonic() + _PAUSE

    def iteration(self, iteration: Iteration, note: str = "") -> None:
        self._pending = f"{iteration.seconds:.1f} s: {_state(iteration, note)}"
        if time.monotonic() >= self._next:
            self.end()
            self._next = time.monotonic() + _PAUSE

    def end(self) -> None:
        if self._pending is not None:
            print(self._pending, file=sys.stderr, flush=True)
        self._pending = None


def _state(iteration: Iteration, note: str) -> str:
    return (
        f"objective {iteration.objective:.6f}  gradient norm {iteration.gradient_norm:.1e}  "
        f"{iteration.passes:.0f} passes{note}"
    )
