"""Statistics of blocks of the classes as tensors of one row per row of logits, to be sent, stacked and saved.

The fields are those of the kernels for the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad.torch._kernels._by_device import kernels_for

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets


def statistics_fields(logits: Tensor, *, one_hot: bool = False) -> int:
    """The number of statistics of every row, or of those that matter for targets that are one-hot.

    These are the first, up to the logit of the label.
    """
    return kernels_for(logits).statistics_fields(one_hot=one_hot)


def direction_fields(logits: Tensor) -> int:
    """The number of statistics of a direction in every row."""
    return kernels_for(logits).direction_fields()


def block_statistics(logits: Tensor, targets: Targets, spec: LossSpec) -> Tensor:
    """The statistics of a block of the classes."""
    kernels = kernels_for(logits)
    return kernels.packed(kernels.row_statistics(logits, targets, spec))


def merged_statistics(parts: Tensor, logits: Tensor, dim: int) -> Tensor:
    """The statistics of rows from those of all blocks, stacked, with or without the fields that do not matter."""
    kernels = kernels_for(logits)
    parts = torch.nn.functional.pad(parts, (0, statistics_fields(logits) - parts.shape[-1]))
    blocks = [kernels.unpacked_statistics(part, logits.shape, dim) for part in parts]
    return kernels.packed(kernels.merge_statistics(blocks))


def replace_rows(statistics: Tensor, rows: Tensor, logits: Tensor) -> Tensor:
    """Replace the statistics of some rows, a mask, with those of a single logit, 0."""
    return torch.where(rows.reshape(-1, 1), kernels_for(logits).of_logit_zero(statistics), statistics)


def block_directions(logits: Tensor, v: Tensor, dim: int, statistics: Tensor) -> Tensor:
    """The statistics of v in a block of the classes."""
    kernels = kernels_for(logits)
    return kernels.packed(kernels.direction_statistics(logits, v, dim, for_kernels(statistics, logits, dim)))


def merged_directions(parts: Tensor, logits: Tensor, dim: int) -> Any:
    """The statistics of v in whole rows, as the kernels take them."""
    kernels = kernels_for(logits)
    return kernels.merge_directions([kernels.unpacked_directions(part, logits.shape, dim) for part in parts])


def for_kernels(statistics: Tensor, logits: Tensor, dim: int) -> Any:
    """Merged statistics as the kernels for the logits take them."""
    return kernels_for(logits).unpacked_statistics(statistics, logits.shape, dim)


def mass_of_rows(statistics: Tensor, logits: Tensor, dim: int) -> Tensor:
    """Σ y of every row whose target is not one-hot, to multiply logits with."""
    mass: Tensor = kernels_for(logits).mass_of_rows(statistics, logits.shape, dim)
    return mass.to(logits.dtype)
