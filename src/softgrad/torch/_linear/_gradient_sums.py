"""The gradients of a linear head as sums over chunks of its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from softgrad.torch._kernels import empty

if TYPE_CHECKING:
    from torch import Tensor

    from softgrad.torch._linear._head import LinearHead


class GradientSums:
    """Wᵀ g_n, Σ g_n x_nᵀ and Σ g_n, those that are wanted; sums over rows in float32 at least."""

    def __init__(self, head: LinearHead, rows: Tensor | None, wanted: tuple[bool, bool, bool]) -> None:
        dtype, device = head.x.dtype, head.x.device
        wide = torch.promote_types(dtype, torch.float32)
        n = len(head.x) if rows is None else len(rows)
        self._x = empty((n, head.x.shape[1]), wide if head.by_classes() else dtype, device) if wanted[0] else None
        self._W = empty(tuple(head.W.shape), wide, device) if wanted[1] else None
        self._bias = torch.zeros(len(head.W), dtype=wide, device=device) if wanted[2] else None
        self._head, self._rows = head, rows
        self._W_is_empty = True

    def add(self, part: slice, g: Tensor, x: Tensor) -> None:
        """Add the gradient g with respect to the logits of one chunk of rows."""
        if self._x is not None:
            torch.mm(g, self._head.W, out=self._x[part])
        if self._W is not None:
            _add_product(self._W, g, x, self._W_is_empty)
        if self._bias is not None:
            self._bias += g.sum(0, dtype=self._bias.dtype)
        self._W_is_empty = False

    def add_classes(self, part: slice, classes: slice, g: Tensor, x: Tensor) -> None:
        """Add the gradient g with respect to the logits of some rows and classes."""
        if self._x is not None:
            product = torch.mm(g, self._head.W[classes])
            if classes.start:
                self._x[part] += product
            else:
                self._x[part] = product
        if self._W is not None:
            _add_product(self._W[classes], g, x, part.start == 0)
        if self._bias is not None:
            self._bias[classes] += g.sum(0, dtype=self._bias.dtype)
        self._W_is_empty = False

    def add_change(self, part: slice, g: Tensor, x_change: Tensor | None, W_change: Tensor | None) -> None:
        """Add what changes of x and W add to the gradients of the other while g stays as it is."""
        if self._x is not None and W_change is not None:
            self._x[part].addmm_(g, W_change)
        if self._W is not None and x_change is not None:
            _add_product(self._W, g, x_change, False)

    def results(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """In the dtype of x, W and bias; the gradient of ignored rows is zero."""
        x, W, bias = self._x, self._W, self._bias
        if x is not None and self._rows is not None:
            x = x.new_zeros(self._head.x.shape).index_copy_(0, self._rows, x)
        if W is not None and self._W_is_empty:
            W.zero_()
        dtype = self._head.x.dtype
        x, W, bias = (None if total is None else total.to(dtype) for total in (x, W, bias))
        return x, W, bias


def _add_product(total: Tensor, g: Tensor, x: Tensor, is_first: bool) -> None:
    """Add gᵀ x to the total, or write the first one."""
    g, x = g.to(total.dtype), x.to(total.dtype)
    if is_first:
        torch.mm(g.T, x, out=total)
    else:
        total.addmm_(g.T, x)
