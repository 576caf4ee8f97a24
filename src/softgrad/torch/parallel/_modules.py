"""The functions as torch.nn.Module, each rank with its shard of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad.torch import _shards
from softgrad.torch._modules import Loss
from softgrad.torch.parallel._cross_entropy import cross_entropy
from softgrad.torch.parallel._linear_cross_entropy import linear_cross_entropy

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class CrossEntropyLoss(Loss):
    """`cross_entropy` of class shards with fixed options.

    Parameters
    ----------
    weight : Tensor of shape (C,), optional
        Factor of every class, of all ranks; stored as a buffer.
    ignore_index, reduction, label_smoothing, z_loss, first_class, num_classes, group
        As for `cross_entropy`; keyword only.
    """

    def __init__(
        self,
        weight: torch.Tensor | None = None,
        *,
        first_class: int | None = None,
        num_classes: int | None = None,
        group: ProcessGroup | None = None,
        **options: Any,
    ) -> None:
        super().__init__(weight, **options)
        self.first_class = first_class
        self.num_classes = num_classes
        self.group = group

    def forward(self, local_logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss, in nats."""
        return cross_entropy(
            local_logits, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing,
            z_loss=self.z_loss, first_class=self.first_class, num_classes=self.num_classes, group=self.group,
        )  # fmt: skip


class LinearCrossEntropyLoss(Loss):
    """A linear head with its cross-entropy; each rank holds the coefficients of its share of the classes.

    Parameters
    ----------
    in_features : int
        Number of features, D.
    num_classes : int
        Number of classes of all ranks, C. The ranks hold ⌈C/ranks⌉ each, the last ones what is left, as torch.chunk
        and DTensor divide.
    bias : bool
        Whether the head has a bias; keyword only, like all parameters that follow.
    weight, ignore_index, reduction, label_smoothing, z_loss, softcap, chunk_rows, sequence_parallel, group
        As for `linear_cross_entropy`.
    device, dtype
        Device and dtype of the coefficients, which are initialised as in torch.nn.Linear.

    Notes
    -----
    The coefficients are those of a torch.nn.Linear named ``linear``, for the classes from `first_class` on.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        bias: bool = False,
        weight: torch.Tensor | None = None,
        softcap: float | None = None,
        chunk_rows: int | None = None,
        sequence_parallel: bool = False,
        group: ProcessGroup | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__(weight, **options)
        rank, size = _shards.rank_and_size(_shards.named(group))
        share = -(-num_classes // size)
        self.first_class = min(rank * share, num_classes)
        own = min(share, num_classes - self.first_class)
        self.linear = torch.nn.Linear(in_features, own, bias, device=device, dtype=dtype)
        self.num_classes = num_classes
        self.softcap = softcap
        self.chunk_rows = chunk_rows
        self.sequence_parallel = sequence_parallel
        self.group = group

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of features of shape (*, D), in nats."""
        return linear_cross_entropy(
            input, self.linear.weight, target, local_bias=self.linear.bias, weight=self.weight,
            reduction=self.reduction, ignore_index=self.ignore_index, label_smoothing=self.label_smoothing,
            z_loss=self.z_loss, softcap=self.softcap, chunk_rows=self.chunk_rows,
            sequence_parallel=self.sequence_parallel, first_class=self.first_class, num_classes=self.num_classes,
            group=self.group,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{super().extra_repr()}, softcap={self.softcap}, chunk_rows={self.chunk_rows}, "
            f"sequence_parallel={self.sequence_parallel}, first_class={self.first_class}, "
            f"num_classes={self.num_classes}"
        )
