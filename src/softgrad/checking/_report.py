"""The outcome of a check, and how it is put into words."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

PASS, KNOWN, UNKNOWN, INCONCLUSIVE = "pass", "wrong: known cause", "wrong: unknown cause", "inconclusive"
_WIDTH = 88


@dataclass(frozen=True)
class Entry:
    """One entry of an answer, and the input it belongs to: the arguments of the function, and their names."""

    index: tuple[int, ...]
    expected: float
    got: float
    arguments: tuple[Array, ...]
    names: tuple[str, ...]


class Stage(NamedTuple):
    """A stage of the check: its state is "passed", "failed" or "not reached"."""

    name: str
    state: str


@dataclass(frozen=True)
class Report:
    """The outcome of a check.

    Attributes
    ----------
    kind : str
        What was checked, such as "softmax-jacobian".
    subject : str
        The name of the function.
    verdict : {"pass", "wrong: known cause", "wrong: unknown cause", "inconclusive"}
        "inconclusive" where the function gave no answer that can be judged, or one with several explanations.
    stages : tuple of Stage
        What was tried, in order, up to the first failure: (name, state).
    cause : str or None
        The name of the mistake, where it is known.
    explanation : str
        What the function does, and why it is not what was asked for.
    advice : str
        What to write instead.
    worst : Entry or None
        The entry with the largest error: its index, the expected and the actual value, and fn's arguments.
    broken_laws : tuple of str
        What is true of every right answer, and not of this one.
    notes : tuple of str
        What else stands out.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad.checking import check_softmax
    >>> report = check_softmax(lambda z: np.exp(z) / np.exp(z).sum(axis=0))
    >>> report.passed, report.verdict, report.cause
    (False, 'wrong: known cause', 'softmax along the wrong axis')
    """

    kind: str
    subject: str
    verdict: str
    stages: tuple[Stage, ...]
    cause: str | None = None
    explanation: str = ""
    advice: str = ""
    worst: Entry | None = None
    broken_laws: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the verdict is "pass"."""
        return self.verdict == PASS

    def raise_if_failed(self) -> None:
        """Raise AssertionError with the report as its text, unless the check passed: for use in tests."""
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
            return f"{what} is wrong, and the mistake is none that the checker knows."
        return f"{what} could not be judged."

    def paragraphs(self) -> list[tuple[str, str]]:
        """The rest of the answer: headings with their texts; lines of code are indented."""
        parts = [("What happens", self.explanation)]
        parts.append(("What to do" if self.verdict == INCONCLUSIVE else "Write instead", self.advice))
        if self.worst is not None:
            parts.append(("Worst entry", _entry_text(self.worst)))
        parts += [
            ("Laws it breaks", "\n".join(f"- {law}" for law in self.broken_laws)),
            ("Measured" if self.verdict == PASS else "Also", "\n".join(f"- {note}" for note in self.notes)),
            ("Checked", ", ".join(f"{stage.name}: {stage.state}" for stage in self.stages)),
        ]
        return [(heading, text) for heading, text in parts if text]

    def lines(self, width: int = _WIDTH) -> list[str]:
        """The report as text: headings start at the margin, code and numbers are indented by six."""
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
    """A line of a paragraph, indented and broken; code and numbers stay whole."""
    if line.startswith("    "):
        return [f"  {line}"]
    hanging = "    " if line.startswith("- ") else "  "
    return textwrap.wrap(line, width, initial_indent="  ", subsequent_indent=hanging)


def _entry_text(entry: Entry) -> str:
    shape = entry.arguments[0].shape
    where = f"[{', '.join(map(str, entry.index))}] of the answer to" if entry.index else "the loss of"
    lines = [f"{where} z of shape {shape}:"]
    lines += [f"    expected {entry.expected:.9g}", f"    got      {entry.got:.9g}"]
    if entry.index:
        lines.append(f"in row {entry.index[0]}, where")
        lines += [
            f"    {name} = {_row_text(a[entry.index[0]])}" for name, a in zip(entry.names, entry.arguments, strict=True)
        ]
    return "\n".join(lines)


def _row_text(row: Array) -> str:
    return f"[{', '.join(f'{value:.10g}' for value in row)}]" if row.ndim else str(row)
