"""The kernels: `native` on the memory of CPU tensors, closed forms on every other device."""

from softgrad.torch._kernels import _native as native
from softgrad.torch._kernels._by_device import kernels_for, overwrite_with_grad
from softgrad.torch._kernels._memory import DTYPES, empty, empty_like, scratch, without
from softgrad.torch._kernels._targets import native_targets, summed, targets_of

__all__ = [
    "DTYPES",
    "empty",
    "empty_like",
    "kernels_for",
    "native",
    "native_targets",
    "overwrite_with_grad",
    "scratch",
    "summed",
    "targets_of",
    "without",
]
