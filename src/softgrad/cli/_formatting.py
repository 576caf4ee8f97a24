"""Labels and figures as text, for the terminal and the report."""

from __future__ import annotations

import math

_LONGEST = 24


def shown(label: object, longest: int = _LONGEST) -> str:
    """Format a label: unprintable characters are replaced, and long labels are shortened in the middle."""
    text = "".join(character if character.isprintable() else "\ufffd" for character in str(label))
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[len(text) - half + 1 :]}"


def percent(value: float | None, digits: int = 2) -> str:
    """Format a fraction as a percentage; NaN and None become a dash."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}\u00a0%"


def nats(value: float) -> str:
    """Format a loss with four decimals, or with three significant digits below 0.001."""
    return "∞" if value == math.inf else f"{value:.4f}" if value >= 0.001 or value == 0 else f"{value:.3g}"


def row_count(value: float) -> str:
    """Format a number of rows, or the sum of their weights."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
