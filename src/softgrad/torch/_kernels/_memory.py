"""The memory of tensors: what the compiled kernels read, and where results are written."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from softgrad import _core
from softgrad._core import DType

if TYPE_CHECKING:
    from collections.abc import Iterator

DTYPES = {
    torch.float16: DType.float16,
    torch.bfloat16: DType.bfloat16,
    torch.float32: DType.float32,
    torch.float64: DType.float64,
}
# As NumPy: from this size on the first write to fresh memory costs more than the kernel itself.
_HUGE_BYTES = 4 << 20
# Scratch memory up to this size is kept: a chunk of the logits of a head with up to 170 MiB of coefficients.
_KEPT_BYTES = 128 << 20
_kept: list[torch.UntypedStorage] = []  # at most one; its operations are atomic, so that a forked child needs no lock


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


@contextmanager
def scratch(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Iterator[torch.Tensor]:
    """Memory for intermediate results; on the CPU it is kept for the next call, because new memory is expensive."""
    size = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or not _HUGE_BYTES <= size <= _KEPT_BYTES:
        yield empty(shape, dtype, device)
        return
    storage = _take(size)
    try:
        yield torch.empty(0, dtype=dtype, device=device).set_(storage, 0, shape)
    finally:
        _kept[:] = [storage]


def _take(size: int) -> torch.UntypedStorage:
    """The storage kept, if it is large enough and no other call uses it; otherwise a new one."""
    try:
        storage = _kept.pop()
    except IndexError:
        storage = None
    if storage is None or storage.nbytes() < size:
        storage = torch.UntypedStorage(size, device="cpu")
        _core.prefer_huge_pages(storage.data_ptr(), size)
    return storage


def _in_huge_pages(fresh: torch.Tensor) -> torch.Tensor:
    if fresh.nbytes >= _HUGE_BYTES and fresh.is_cpu:
        _core.prefer_huge_pages(fresh.data_ptr(), fresh.nbytes)
    return fresh
