"""The memory of tensors: what the compiled kernels read, and where results are written."""

from __future__ import annotations

import torch

from softgrad import _core
from softgrad._core import DType

DTYPES = {
    torch.float16: DType.float16,
    torch.bfloat16: DType.bfloat16,
    torch.float32: DType.float32,
    torch.float64: DType.float64,
}
# As NumPy: from this size on the first write to fresh memory costs more than the kernel itself.
_HUGE_BYTES = 4 << 20


def without(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    """A shape without one of its dimensions."""
    return (*shape[:dim], *shape[dim + 1 :])


def materialised(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor with its values in memory: torch negates some tensors lazily, and stores no zeros for others."""
    return tensor if tensor.data_ptr() and not tensor.is_neg() else tensor.resolve_neg().clone()


def empty_like(tensor: torch.Tensor) -> torch.Tensor:
    """torch.empty_like, in huge pages if the result is large."""
    return _in_huge_pages(torch.empty_like(tensor))


def empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """torch.empty, in huge pages if the result is large."""
    return _in_huge_pages(torch.empty(shape, dtype=dtype, device=device))


def _in_huge_pages(fresh: torch.Tensor) -> torch.Tensor:
    if fresh.nbytes >= _HUGE_BYTES and fresh.is_cpu:
        _core.prefer_huge_pages(fresh.data_ptr(), fresh.nbytes)
    return fresh
