"""The product gᵀ x of a chunk, added to the gradient of the coefficients in float32 at least."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    AddProduct = Callable[[Tensor, Tensor, Tensor, bool], None]


def product_for(x: Tensor) -> AddProduct:
    """The product for chunks of x: a function of the total, g, x, and whether this product is the first."""
    is_16_bit_cuda = x.is_cuda and x.element_size() < 4 and torch.version.hip is None
    return add_mixed if is_16_bit_cuda and "dtype_out" in torch.ops.aten.addmm.overloads() else add_converted


def add_converted(total: Tensor, g: Tensor, x: Tensor, is_first: bool) -> None:
    """With operands converted to the dtype of the total."""
    g, x = g.to(total.dtype), x.to(total.dtype)
    if is_first:
        torch.mm(g.T, x, out=total)
    else:
        total.addmm_(g.T, x)


def add_mixed(total: Tensor, g: Tensor, x: Tensor, is_first: bool) -> None:
    """With 16-bit operands and float32 sums, ten times as fast on GPUs; torch has no such product for the CPU."""
    if is_first:
        torch.mm(g.T, x, out_dtype=total.dtype, out=total)
    else:
        torch.addmm(total, g.T, x, out_dtype=total.dtype, out=total)
