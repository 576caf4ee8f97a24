"""Labels and figures as people see them, on a terminal, on a page and in its pictures."""

from __future__ import annotations

import math

_LONGEST = 24


def shown(label: object, longest: int = _LONGEST) -> str:
    """A label as text: characters that cannot be shown are replaced; of long ones, beginning and end remain."""
    text = "".join(character if character.isprintable() else "\ufffd" for character in str(label))
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[len(text) - half + 1 :]}"


def percent(value: float | None, digits: int = 2) -> str:
    """A share in percent; a dash where it is undefined."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}\u00a0%"


def nats(value: float) -> str:
    """A loss: four digits behind the point, or three in all if it is below 0.001."""
    return "∞" if value == math.inf else f"{value:.4f}" if value >= 0.001 or value == 0 else f"{value:.3g}"
