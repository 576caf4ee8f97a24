"""The suites, each a module or package with an object `SUITE`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import RenderableType

Record = dict[str, Any]
"""The measurements of one case, as JSON holds them."""
Report = dict[str, Any]
"""The environment, and the records of all cases."""


class InputError(Exception):
    """A mistake of the user, printed as one line; the exit code is 2."""


class Case(Protocol):
    """One piece of work to measure."""

    @property
    def title(self) -> str:
        """The name of the work."""

    def measure(self, rounds: int, progress: Callable[[str], object]) -> Record:
        """Do the work; `progress` receives the current stage."""


@dataclass(frozen=True)
class Suite:
    """A set of cases, and how their records are shown."""

    peers: tuple[str, ...]
    rounds: int
    """The default number of rounds."""
    cases: Callable[..., Iterable[Case]]
    """Makes the cases from the peers that are installed, and the suite's own options."""
    notes: Callable[[Report], list[str]]
    """The lines above the table."""
    table: Callable[[Report], RenderableType]
    summary: Callable[[list[Record]], dict[str, Any]] | None = None
    """The goals that concern several cases."""
