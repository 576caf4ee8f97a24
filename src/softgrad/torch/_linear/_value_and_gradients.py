"""Loss and gradients of a linear head in one pass over its rows, with the logits of one chunk in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from softgrad import _closed_forms
from softgrad.torch._linear import _by_classes, _by_rows
from softgrad.torch._linear._head import GradientSums, LinearHead

if TYPE_CHECKING:
    from torch import Tensor


def linear_cross_entropy(*arguments: Any) -> Tensor:
    """The loss alone."""
    return value_and_gradients(*arguments, None, (False, False, False))[0]


def linear_cross_entropy_grad(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, W and bias, times the upstream gradient; empty where not wanted."""
    x, W, bias, upstream, *rest, x_wanted, W_wanted = arguments
    wanted = (bool(x_wanted), bool(W_wanted), bias is not None)
    _, *gradients = value_and_gradients(x, W, bias, *rest, upstream, wanted)
    return tuple(x.new_empty(0) if g is None else g for g in gradients)


def value_and_gradients(*arguments: Any) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """The loss, and the gradients that are wanted, times the upstream gradient; None where not wanted."""
    *of_head, upstream, wanted = arguments
    head = LinearHead.of(*of_head)
    kept, rows = head.kept()
    losses = head.x.new_empty(len(kept.x), dtype=torch.promote_types(head.x.dtype, torch.float32))
    if upstream is not None:
        upstream = kept.row_scale(upstream if rows is None or not upstream.ndim else upstream[rows])
    sums = GradientSums(kept, rows, len(head.x), wanted)
    driver = _by_classes if kept.by_classes() else _by_rows
    driver.losses_and_gradients(kept, losses, upstream, sums)
    loss = _closed_forms.reduced(losses, head.targets, head.spec)
    if rows is not None and loss.ndim:
        loss = loss.new_zeros(len(head.x)).index_copy_(0, rows, loss)
    return loss, *sums.results()
