"""The kernels: `native` on the memory of CPU tensors, closed forms on every other device."""

from softgrad.torch._kernels import _native as native
from softgrad.torch._kernels._by_device import is_native, kernels_for, overwrite_with_grad
from softgrad.torch._kernels._class_blocks import (
    block_directions,
    block_statistics,
    direction_fields,
    for_kernels,
    mass_of_rows,
    merged_directions,
    merged_statistics,
    replace_rows,
    statistics_fields,
)
from softgrad.torch._kernels._memory import DTYPES, empty, empty_like, scratch, without
from softgrad.torch._kernels._targets import native_targets, summed, targets_of

__all__ = [
    "DTYPES",
    "block_directions",
    "block_statistics",
    "direction_fields",
    "empty",
    "empty_like",
    "for_kernels",
    "is_native",
    "kernels_for",
    "mass_of_rows",
    "merged_directions",
    "merged_statistics",
    "native",
    "native_targets",
    "overwrite_with_grad",
    "replace_rows",
    "scratch",
    "statistics_fields",
    "summed",
    "targets_of",
    "without",
]
