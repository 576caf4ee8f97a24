"""The local parts of DTensors and sums over the ranks of a mesh, differentiable to any order.

DTensor's own conversions can be differentiated once or twice, so here are two pairs of functions, each the derivative
of the other: from a DTensor to its local part and back, and from the values of all ranks to their sum and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.compiler import is_compiling
from torch.distributed.tensor import DTensor, Partial, Replicate

from softgrad.torch._shards import all_gather

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import Placement

    Placements = tuple[Placement, ...]


class Layout(NamedTuple):
    """A DTensor beside the tensors that the ranks compute with."""

    mesh: DeviceMesh
    shape: torch.Size  # of the DTensor
    whole: Placements  # of the DTensor, or of the gradient of a DTensor of partial sums
    local: Placements  # of the local tensors
    gradient: Placements  # of the local gradients: Partial where those of the ranks are summands

    @classmethod
    def of(cls, tensor: DTensor, local: Placements, summed: Collection[int] = ()) -> Layout:
        """The layout in which a tensor is used, if its gradients are summands along some dimensions of the mesh."""
        gradient = tuple(Partial() if i in summed else placement for i, placement in enumerate(local))
        return cls(tensor.device_mesh, tensor.shape, without_partial(tensor.placements), local, gradient)

    @classmethod
    def of_result(cls, mesh: DeviceMesh, shape: torch.Size, placements: Placements) -> Layout:
        """The layout of a tensor that the ranks have computed."""
        return cls(mesh, shape, placements, placements, placements)


def without_partial(placements: Placements) -> Placements:
    """The same placements, with the sum itself for partial sums."""
    return tuple(Replicate() if placement.is_partial() else placement for placement in placements)


def to_local(whole: DTensor, layout: Layout) -> Tensor:
    """The local part of a DTensor, redistributed where necessary."""
    if is_compiling():  # knows DTensor's own conversions, and differentiates once
        return whole.redistribute(layout.mesh, layout.local).to_local(grad_placements=layout.gradient)
    return _ToLocal.apply(whole, layout)


def to_whole(local: Tensor, layout: Layout) -> DTensor:
    """The DTensor of local parts."""
    if is_compiling():
        return _whole(local, layout)
    return _ToWhole.apply(local, layout)


class _ToLocal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: DTensor, layout: Layout) -> Tensor:
        ctx.layout = layout
        local = _redistributed(whole.detach(), layout.mesh, layout.local).to_local()
        return local.view_as(local)  # the DTensor keeps its own

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _ToWhole.apply(gradient, ctx.layout), None


class _ToWhole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor, layout: Layout) -> DTensor:
        ctx.layout = layout
        return _whole(local.detach(), layout)

    @staticmethod
    def backward(ctx: Any, gradient: DTensor) -> tuple[Tensor, None]:
        return _ToLocal.apply(gradient, ctx.layout), None


def _redistributed(tensor: DTensor, mesh: DeviceMesh, placements: Placements) -> DTensor:
    return tensor if tensor.placements == placements else tensor.redistribute(mesh, placements)


def _whole(local: Tensor, layout: Layout) -> DTensor:
    stride = _whole_stride(local, layout.shape)
    whole = DTensor.from_local(local, layout.mesh, layout.gradient, run_check=False, shape=layout.shape, stride=stride)
    return _redistributed(whole, layout.mesh, layout.whole)


def _whole_stride(local: Tensor, shape: torch.Size) -> tuple[int, ...]:
    """The strides of the whole tensor, whose dimensions lie in memory in the order of the local ones."""
    stride, step = [0] * len(shape), 1
    for dim in sorted(range(len(shape)), key=lambda dim: (local.stride(dim), -dim)):
        stride[dim], step = step, step * max(1, shape[dim])
    return tuple(stride)


def sum_over_ranks(values: Tensor, mesh: DeviceMesh, mesh_dims: Collection[int]) -> Tensor:
    """The sum of a vector of every rank along some dimensions of a mesh, with the same bits on all ranks.

    The derivative of a value that all ranks have, with respect to one that each rank has for itself.
    """
    return _SumOverRanks.apply(values, mesh, mesh_dims)


def gathered(values: Tensor, mesh: DeviceMesh, mesh_dims: Collection[int]) -> Tensor:
    """The vectors of the ranks along some dimensions of a mesh, as rows."""
    rows = values.unsqueeze(0)
    for i in mesh_dims:
        rows = all_gather(rows, mesh.get_group(i).group_name).flatten(0, 1)
    return rows


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, mesh: DeviceMesh, mesh_dims: Collection[int]) -> Tensor:
        ctx.ranks = mesh, mesh_dims
        return _compensated_sum(gathered(values, mesh, mesh_dims))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _ForAllRanks.apply(gradient, *ctx.ranks), None, None


class _ForAllRanks(torch.autograd.Function):
    """A value that is equal on all ranks, for each of them to use by itself: the transpose of `sum_over_ranks`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, mesh: DeviceMesh, mesh_dims: Collection[int]) -> Tensor:
        ctx.ranks = mesh, mesh_dims
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _SumOverRanks.apply(gradient, *ctx.ranks), None, None


def _compensated_sum(rows: Tensor) -> Tensor:
    """The sum of the rows by pairs, plus the rounding errors of all additions (Knuth's two-sum)."""
    error = torch.zeros_like(rows[0])
    while len(rows) > 1:
        if len(rows) % 2:
            rows = torch.cat([rows, torch.zeros_like(rows[:1])])
        a, b = rows[::2], rows[1::2]
        rows = a + b
        c = rows - a
        rounding = (a - (rows - c)) + (b - c)
        error = error + torch.where(rows.isfinite(), rounding, 0).sum(0)
    return rows[0] + error
