"""Shares of a copy's rate, and the goals."""

from __future__ import annotations

from typing import Any

# How often the logits' size must be read or written: a copy takes two.
PASSES = {
    "value": 1,
    "logsumexp": 1,
    "softmax": 2,
    "log_softmax": 2,
    "loss + gradient": 2,
    "in place": 2,
    "gradient": 2,
    "softmax vjp": 3,
    "log_softmax vjp": 3,
    "HVP": 3,
}
COPY_PASSES = 2

TIMES_TORCH = 2.5
TIMES_PRODUCTS = 1.06


def share(passes: int, ms: float, copy_ms: float) -> float:
    """The bytes that must move over the time, as a share of the rate of a copy of the logits."""
    return passes / COPY_PASSES * copy_ms / ms


def least_share(kernel: str, dtype: str, classes: int) -> float | None:
    """The goal for a kernel on an H200, if there is one."""
    if kernel == "loss + gradient":
        if dtype == "bfloat16":
            return 0.85 if classes <= 8192 else 0.65
        steps = ((10, 0.6), (999, None), (16384, 0.9), (32000, 0.8))
        return next((least for most, least in steps if classes <= most), 0.75)
    if dtype != "float32":
        return None
    return {"value": 0.8, "HVP": 0.9}.get(kernel)


def at_least(name: str, value: float, least: float) -> dict[str, Any]:
    """A goal for a share or a ratio."""
    return {"name": f"{name}: {value:.2f}", "value": value, "text": f"≥ {least:g}", "reached": value >= least}


def at_most(name: str, value: float, most: float) -> dict[str, Any]:
    """A goal for a time or a size in that of others."""
    return {"name": f"{name}: {value:.2f}", "value": value, "text": f"≤ {most:g}", "reached": value <= most}
