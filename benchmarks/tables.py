"""Measured figures as text."""

from __future__ import annotations

import math


def seconds(value: float) -> str:
    """A time, three digits, in the unit that suits it."""
    factor, name = _unit(value)
    return f"{digits(value * factor, 3)} {name}"


def span(least: float, most: float) -> str:
    """Two times in the larger one's unit."""
    factor, name = _unit(most)
    return f"{digits(least * factor, 2)} … {digits(most * factor, 2)} {name}"


def times(ratio: float) -> str:
    """A ratio: 12.0×, 0.83×."""
    return f"{digits(ratio, 3 if ratio >= 1 else 2)}×"


def digits(value: float, count: int) -> str:
    """That many significant digits, zeros at the end included, never in exponential form."""
    rounded = float(f"{value:.{count - 1}e}")
    return f"{rounded:.{max(0, count - 1 - math.floor(math.log10(rounded)))}f}"


def ulp(error: float) -> str:
    """An error in units in the last place."""
    if error < 9.995:
        return f"{error:.2f}"
    return f"{error:.0f}" if error < 99999.5 else f"{error:.0e}".replace("e+0", "e").replace("e+", "e")


def _unit(value: float) -> tuple[float, str]:
    """How many of a unit make a second, and its name."""
    return (1, "s") if value >= 1 else (1e3, "ms") if value >= 1e-3 else (1e6, "µs")
