"""The functions as torch.nn.Module, with torch's names and arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from softgrad.torch._cross_entropy import cross_entropy
from softgrad.torch._linear_cross_entropy import linear_cross_entropy
from softgrad.torch._softmax import log_softmax, softmax

if TYPE_CHECKING:
    from softgrad._loss_spec import ReductionName


class _AlongDimension(torch.nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}"


class Softmax(_AlongDimension):
    """`softmax` along a dimension; a replacement for torch.nn.Softmax.

    Parameters
    ----------
    dim : int
        The dimension of the classes.

    Examples
    --------
    >>> import torch
    >>> from softgrad.torch import Softmax
    >>> Softmax(dim=-1)(torch.zeros(1, 4))
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Probabilities, of the shape of `input`."""
        return softmax(input, self.dim)


class LogSoftmax(_AlongDimension):
    """`log_softmax` along a dimension; a replacement for torch.nn.LogSoftmax.

    Parameters
    ----------
    dim : int
        The dimension of the classes.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Log-probabilities, of the shape of `input`."""
        return log_softmax(input, self.dim)


class Loss(torch.nn.Module):
    """The options of a loss, and class weights as a buffer."""

    weight: torch.Tensor | None

    def __init__(
        self,
        weight: torch.Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: ReductionName = "mean",
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing
        self.z_loss = z_loss

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"ignore_index={self.ignore_index}, reduction={self.reduction!r}, "
            f"label_smoothing={self.label_smoothing}, z_loss={self.z_loss}"
        )


class CrossEntropyLoss(Loss):
    """`cross_entropy` with fixed options; a replacement for torch.nn.CrossEntropyLoss.

    Parameters
    ----------
    weight : Tensor of shape (C,), optional
        Factor of every class, stored as a buffer.
    ignore_index, reduction, label_smoothing, z_loss
        As for `cross_entropy`; keyword only.

    Examples
    --------
    >>> import torch
    >>> from softgrad.torch import CrossEntropyLoss
    >>> loss = CrossEntropyLoss(label_smoothing=0.1)
    >>> loss(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0]))
    tensor(0.5076)
    """

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss, in nats."""
        return cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing, z_loss=self.z_loss
        )


class LinearCrossEntropyLoss(Loss):
    """A linear head together with its cross-entropy: `linear_cross_entropy` with the coefficients as parameters.

    Parameters
    ----------
    in_features : int
        Number of features, D.
    num_classes : int
        Number of classes, C.
    bias : bool
        Whether the head has a bias; keyword only, like all parameters that follow.
    weight, ignore_index, reduction, label_smoothing, z_loss, softcap, chunk_rows
        As for `linear_cross_entropy`.
    device, dtype
        Device and dtype of the coefficients, which are initialised as in torch.nn.Linear.

    Notes
    -----
    The coefficients are those of a torch.nn.Linear named ``linear``, as in torch.nn.LinearCrossEntropyLoss, so the
    ``state_dict`` of either module can be loaded into the other. ``weight`` is the buffer of class weights, as in
    CrossEntropyLoss.

    Examples
    --------
    >>> import torch
    >>> from softgrad.torch import LinearCrossEntropyLoss
    >>> head = LinearCrossEntropyLoss(16, 1000)
    >>> loss = head(torch.randn(8, 16), torch.randint(1000, (8,)))
    >>> loss.backward()
    >>> head.linear.weight.grad.shape
    torch.Size([1000, 16])
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        bias: bool = False,
        weight: torch.Tensor | None = None,
        ignore_index: int = -100,
        reduction: ReductionName = "mean",
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        softcap: float | None = None,
        chunk_rows: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing, z_loss=z_loss
        )
        self.linear = torch.nn.Linear(in_features, num_classes, bias, device=device, dtype=dtype)
        self.softcap = softcap
        self.chunk_rows = chunk_rows

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of features of shape (*, D), in nats."""
        return linear_cross_entropy(
            input, self.linear.weight, target, linear_bias=self.linear.bias, weight=self.weight,
            reduction=self.reduction, ignore_index=self.ignore_index, label_smoothing=self.label_smoothing,
            z_loss=self.z_loss, softcap=self.softcap, chunk_rows=self.chunk_rows,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{super().extra_repr()}, softcap={self.softcap}, chunk_rows={self.chunk_rows}"
