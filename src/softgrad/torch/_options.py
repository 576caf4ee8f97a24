"""The options of a cross-entropy, in the order in which operators take them."""

from __future__ import annotations

from typing import NamedTuple

MEAN, SUM, NONE = range(3)
REDUCTIONS = {"mean": MEAN, "sum": SUM, "none": NONE}


class Options(NamedTuple):
    """What a cross-entropy depends on beside its tensors."""

    dim: int
    reduction: int
    ignore_index: int
    label_smoothing: float
    z_loss: float


def without(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    """A shape without one of its dimensions."""
    return (*shape[:dim], *shape[dim + 1 :])
