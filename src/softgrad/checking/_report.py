"""The outcome of a check, and its text."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.checking._reference import Kind, StageName

Verdict = Literal["pass", "wrong: known cause", "wrong: unknown cause", "inconclusive"]
PASS: Final = "pass"
KNOWN: Final = "wrong: known cause"
UNKNOWN: Final = "wrong: unknown cause"
INCONCLUSIVE: Final = "inconclusive"
_WIDTH = 88


@dataclass(frozen=True)
class Entry:
    """One entry of a result, with the arguments of the call and their names."""

    index: tuple[int, ...]
    expected: float
    received: float
    arguments: tuple[NDArray[Any], ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """A small input for which the function is wrong, with the results."""

    arguments: tuple[NDArray[Any], ...]
    names: tuple[str, ...]
    expected: NDArray[np.float64]
    received: NDArray[np.float64] | None  # None if the function raised an exception


class Stage(NamedTuple):
    """A stage of a check, and how it ended."""

    name: StageName
    state: Literal["passed", "failed", "not reached"]


@dataclass(frozen=True)
class Report:
    """The outcome of a check.

    Attributes
    ----------
    kind : str
        What the function computes, such as "softmax-jacobian".
    subject : str
        The name of the function.
    verdict : {"pass", "wrong: known cause", "wrong: unknown cause", "inconclusive"}
        "inconclusive" if the function returned nothing that can be compared, or several mistakes explain its results.
    stages : tuple of Stage
        Name and state of every stage, in order; those after the first failure are not reached.
    cause : str or None
        Name of the mistake, if it is known.
    explanation : str
        The mistake, and why the result is wrong.
    advice : str
        The code to write instead.
    example : Example or None
        A small input for which the function is wrong, one row with three classes if possible: its arguments, the
        expected and the received result.
    worst : Entry or None
        The entry with the largest error: its index, the expected and the received value, and the arguments of the call.
    violated_properties : tuple of str
        Properties of every exact result that this result violates.
    notes : tuple of str
        Further observations, such as a constant factor between the result and the expected one.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad.checking import check_softmax
    >>> report = check_softmax(lambda z: np.exp(z) / np.exp(z).sum(axis=0))
    >>> report.passed, report.verdict, report.cause
    (False, 'wrong: known cause', 'softmax along the wrong axis')
    """

    kind: Kind
    subject: str
    verdict: Verdict
    stages: tuple[Stage, ...]
    cause: str | None = None
    explanation: str = ""
    advice: str = ""
    example: Example | None = None
    worst: Entry | None = None
    violated_properties: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the verdict is "pass"."""
        return self.verdict == PASS

    def raise_if_failed(self) -> None:
        """Raise AssertionError with the report as its text unless the check passed, for use in tests."""
        if not self.passed:
            raise AssertionError(f"\n{self}")

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        what = f"{self.subject} ({self.kind})"
        if self.verdict == PASS:
            return f"{what} is right."
        if self.verdict == KNOWN:
            return f"{what} is wrong: {self.cause}."
        if self.verdict == UNKNOWN:
            return f"{what} is wrong, for an unknown reason."
        return f"{what} could not be judged."

    def paragraphs(self) -> list[tuple[str, str]]:
        """The rest of the report: headings with their texts; lines of code are indented."""
        parts = [("What happens", self.explanation)]
        parts.append(("Write instead" if self.verdict == KNOWN else "What to do", self.advice))
        if self.example is not None:
            parts.append(("Example", _example_text(self.example)))
        # A mistake without a name can be anywhere.
        if self.worst is not None and (self.example is None or self.verdict != KNOWN):
            parts.append(("Worst entry", _entry_text(self.worst)))
        parts += [
            ("Violated properties", "\n".join(f"- {name}" for name in self.violated_properties)),
            ("Measured" if self.verdict == PASS else "Also", "\n".join(f"- {note}" for note in self.notes)),
            ("Checked", ", ".join(f"{stage.name}: {stage.state}" for stage in self.stages)),
        ]
        return [(heading, text) for heading, text in parts if text]

    def lines(self, width: int = _WIDTH) -> list[str]:
        """The lines of the report, wrapped to a width; code and numbers are indented by six and not wrapped."""
        lines = textwrap.wrap(self.headline, width)
        for heading, text in self.paragraphs():
            lines += ["", heading]
            for line in text.splitlines():
                lines += _wrapped(line, width)
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return f"<Report {self.subject} ({self.kind}): {self.verdict}{f', {self.cause}' if self.cause else ''}>"


def _wrapped(line: str, width: int) -> list[str]:
    """A line of a paragraph, indented and wrapped; code and numbers are not wrapped."""
    if line.startswith("    "):
        return [f"  {line}"]
    hanging = "    " if line.startswith("- ") else "  "
    return textwrap.wrap(line, width, initial_indent="  ", subsequent_indent=hanging)


def _example_text(example: Example) -> str:
    """The arrays, each below its name where it is a matrix."""
    received = "an exception" if example.received is None else example.received
    arrays = dict(zip(example.names, example.arguments, strict=True))
    width = max(map(len, (*arrays, "expected")))
    lines = []
    for name, value in (arrays | {"expected": example.expected, "received": received}).items():
        text = str(value) if isinstance(value, str) else np.array2string(value, precision=6, suppress_small=True)
        first, *others = text.splitlines()
        lines.append(f"    {name:<{width}} = {first}")
        lines += [f"    {'':<{width}}   {other}".rstrip() for other in others if other]
    return "\n".join(lines)


def _entry_text(entry: Entry) -> str:
    shape = entry.arguments[0].shape
    where = f"[{', '.join(map(str, entry.index))}] of the result for" if entry.index else "the loss for"
    lines = [f"{where} {entry.names[0]} of shape {shape}:"]
    lines += [f"    expected {entry.expected:.9g}", f"    received {entry.received:.9g}"]
    is_by_rows = len({len(argument) for argument in entry.arguments}) == 1
    if entry.index and is_by_rows:
        lines.append(f"in row {entry.index[0]}, where")
        lines += [
            f"    {name} = {_row_text(a[entry.index[0]])}" for name, a in zip(entry.names, entry.arguments, strict=True)
        ]
    return "\n".join(lines)


def _row_text(row: NDArray[Any]) -> str:
    return f"[{', '.join(f'{value:.10g}' for value in row)}]" if row.ndim else str(row)
