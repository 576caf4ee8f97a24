"""Rows of logits that are hard to compute with."""

from __future__ import annotations

import torch

_ENTRIES = 1 << 21
_MOST_ROWS = 512


def count(classes: int) -> int:
    """The number of rows of a check: a power of two, so that the division by it is exact."""
    return max(16, min(_MOST_ROWS, 1 << (_ENTRIES // classes).bit_length() - 1))


def hostile(classes: int, dtype: torch.dtype, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of eight kinds, and their labels; the labels of every other row are at the maximum."""
    generator = torch.Generator(device).manual_seed(classes)
    rows = count(classes)
    z = 4 * torch.randn(rows, classes, device=device, generator=generator)
    y = torch.randint(classes, (rows,), device=device, generator=generator)
    kinds = z.chunk(8)
    kinds[1].scatter_(1, y.chunk(8)[1][:, None], 34.0)  # confident and right
    kinds[2].add_(1e4)  # far from 0
    kinds[3].mul_(20)  # tails down to the subnormal numbers
    kinds[4].round_()  # ties
    kinds[5].sub_(300)
    kinds[6].copy_(5 * kinds[6].sort(1).values)  # every next one is larger
    kinds[7][:, ::2] = -torch.inf  # masked
    kinds[7].scatter_(1, y.chunk(8)[7][:, None], 1.0)
    y[::2] = z.argmax(1)[::2]
    return z.to(dtype), y


def direction(like: torch.Tensor) -> torch.Tensor:
    """A direction of the shape and dtype of logits."""
    generator = torch.Generator(like.device).manual_seed(1)
    return torch.randn(like.shape, device=like.device, generator=generator).to(like.dtype)


def probabilities(like: torch.Tensor) -> torch.Tensor:
    """Class probabilities of the shape and dtype of logits; their sums are not exactly one."""
    generator = torch.Generator(like.device).manual_seed(2)
    return torch.rand(like.shape, device=like.device, generator=generator).softmax(1).to(like.dtype)
