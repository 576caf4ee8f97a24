"""Statistics of blocks of the classes as tensors of one row per row of logits, to be sent, stacked and saved.

The fields are those of the kernels for the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad import _closed_forms, _core
from softgrad._closed_forms import Directions, Statistics
from softgrad.torch._kernels import _by_device, _native
from softgrad.torch._kernels._memory import without

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets


def statistics_fields(logits: Tensor, *, one_hot: bool = False) -> int:
    """The number of statistics of every row, or of those that matter for targets that are one-hot.

    These are the first, up to the logit of the label.
    """
    if _by_device.is_native(logits):
        return _native.LABEL + 1 if one_hot else _core.statistics_fields
    return Statistics._fields.index("label") + 1 if one_hot else len(Statistics._fields)


def direction_fields(logits: Tensor) -> int:
    """The number of statistics of a direction in every row."""
    return _core.direction_fields if _by_device.is_native(logits) else len(Directions._fields)


def block_statistics(logits: Tensor, targets: Targets, spec: LossSpec) -> Tensor:
    """The statistics of a block of the classes."""
    statistics = _by_device.kernels_for(logits).row_statistics(logits, targets, spec)
    return statistics if _by_device.is_native(logits) else statistics.packed()


def merged_statistics(parts: Tensor, logits: Tensor, dim: int) -> Tensor:
    """The statistics of rows from those of all blocks, stacked, with or without the fields that do not matter."""
    parts = torch.nn.functional.pad(parts, (0, statistics_fields(logits) - parts.shape[-1]))
    if _by_device.is_native(logits):
        return _native.merge_statistics(parts)
    blocks = [Statistics.unpacked(part, logits.shape, dim) for part in parts]
    return _closed_forms.merge_statistics(blocks).packed()


def replace_rows(statistics: Tensor, rows: Tensor) -> Tensor:
    """Replace the statistics of some rows, a mask, with those of a single logit, 0."""
    single = statistics.new_zeros(statistics.shape[1])
    if _by_device.is_native(statistics):
        single[_native.TIES] = 1
    return torch.where(rows.reshape(-1, 1), single, statistics)


def block_directions(logits: Tensor, v: Tensor, dim: int, statistics: Tensor) -> Tensor:
    """The statistics of v in a block of the classes."""
    directions = _by_device.kernels_for(logits).direction_statistics(
        logits, v, dim, for_kernels(statistics, logits, dim)
    )
    return directions if _by_device.is_native(logits) else directions.packed()


def merged_directions(parts: Tensor, logits: Tensor, dim: int) -> Any:
    """The statistics of v in whole rows, as the kernels take them."""
    if _by_device.is_native(logits):
        return _native.merge_directions(parts)
    return _closed_forms.merge_directions([Directions.unpacked(part, logits.shape, dim) for part in parts])


def for_kernels(statistics: Tensor, logits: Tensor, dim: int) -> Any:
    """Merged statistics as the kernels for the logits take them."""
    return statistics if _by_device.is_native(logits) else Statistics.unpacked(statistics, logits.shape, dim)


def mass_of_rows(statistics: Tensor, logits: Tensor, dim: int) -> Tensor:
    """Σ y of every row whose target is not one-hot, to multiply logits with."""
    if _by_device.is_native(logits):
        mass = _native.mass_of_rows(statistics).view(without(logits.shape, dim)).unsqueeze(dim)
    else:
        mass = Statistics.unpacked(statistics, logits.shape, dim).mass
    return mass.to(logits.dtype)
