"""The derivation of softmax's Jacobian, each line with symbols and with slots for the numbers of one entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softgrad import _pages
from softgrad.derivation import derive
from softgrad.derivation._html import block, prose
from softgrad.derivation._notation import Sign, notation
from softgrad.explorer._slots import with_slots

if TYPE_CHECKING:
    from softgrad.derivation import Step
    from softgrad.derivation._content import Section


def derivation_steps() -> dict[str, str]:
    """Return HTML by the name that the modules of the page use: the steps for any j and k, and for both cases."""
    general, same, other, *_ = derive("softmax").sections
    first = len(general.steps) + 1
    return {
        "steps-general": _section(general, 1, start=True),
        "steps-same": _section(same, first),
        "steps-other": _section(other, first),
    }


def _section(section: Section, first: int, *, start: bool = False) -> str:
    return _pages.render(
        "explorer_steps.html",
        title=section.title,
        start=_lines(section.start) if start else (),
        first=first,
        steps=map(_step, section.steps),
    )


def _step(step: Step) -> dict[str, Any]:
    return {
        "rule": step.rule[0].upper() + step.rule[1:],
        "formula": prose(step.formula),
        "reason": prose(step.reason),
        "lines": _lines(step.after, Sign("=")),
        "warning": step.warning and prose(step.warning),
    }


def _lines(expression: Any, *before: Sign) -> tuple[str, str]:
    """Return a line with symbols, and the same line with slots."""
    node = notation(expression)
    return block(*before, node), block(*before, with_slots(node))
