"""The kernels, a module for each kind of device, and the choice between them."""

from softgrad.torch._kernels._by_device import can_read, kernels_and_targets, kernels_for
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
from softgrad.torch._kernels._label_checks import get_check_labels, set_check_labels
from softgrad.torch._kernels._memory import DTYPES, empty, empty_like, scratch, without
from softgrad.torch._kernels._targets import checked, nan_where_invalid, targets_of

__all__ = [
    "DTYPES",
    "block_directions",
    "block_statistics",
    "can_read",
    "checked",
    "direction_fields",
    "empty",
    "empty_like",
    "for_kernels",
    "get_check_labels",
    "kernels_and_targets",
    "kernels_for",
    "mass_of_rows",
    "merged_directions",
    "merged_statistics",
    "nan_where_invalid",
    "replace_rows",
    "scratch",
    "set_check_labels",
    "statistics_fields",
    "targets_of",
    "without",
]
