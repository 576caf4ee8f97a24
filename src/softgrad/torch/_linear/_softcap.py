"""The softcap κ of logits: z ↦ κ tanh(z/κ); 0 for none."""

from __future__ import annotations

import torch
from torch import Tensor


def capped(logits: Tensor, softcap: float) -> Tensor:
    """The capped logits."""
    return softcap * torch.tanh(logits / softcap) if softcap else logits


def cap_in_place(logits: Tensor, softcap: float, *, slope_wanted: bool = False) -> Tensor | None:
    """Overwrite logits with the capped ones; their derivative 1 − tanh², if there is a cap and it is wanted."""
    if not softcap:
        return None
    t = logits.div_(softcap).tanh_()
    slope = (1 - t).mul_(1 + t) if slope_wanted else None
    logits.mul_(softcap)
    return slope


def slope(capped: Tensor, softcap: float) -> Tensor:
    """The derivative 1 − tanh² of capped logits, from these."""
    t = capped / softcap
    return (1 - t) * (1 + t)


def bend(capped: Tensor, slope: Tensor, softcap: float) -> Tensor:
    """The second derivative −2 tanh (1 − tanh²)/κ of capped logits, from their slope, or a multiple of both."""
    return (capped * slope).mul_(-2 / softcap**2)
