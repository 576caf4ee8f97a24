"""The losses of all rows as a DTensor, and their sum or mean, where rows are shared out over a mesh."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from softgrad._core import Reduction
from softgrad.torch._dispatch import has_value
from softgrad.torch._shards._message import REJECTED, Header, headers, raise_first
from softgrad.torch._shards._place import Place
from softgrad.torch.parallel._local_parts import Layout, gathered, sum_over_ranks, to_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.distributed.tensor import DTensor

    from softgrad._loss_spec import LossSpec
    from softgrad._targets import Targets
    from softgrad.torch.parallel._roles import Roles


def whole_loss(
    local_loss: Callable[[LossSpec], Tensor],
    targets: Targets,
    roles: Roles,
    rows: torch.Size,
    dtype: torch.dtype,
    spec: LossSpec,
) -> DTensor:
    """The losses of `rows`, or their sum or mean, from a function that returns those of this rank."""
    if spec.reduction is Reduction.none:
        return to_whole(local_loss(spec), Layout.of_result(roles.mesh, rows, roles.of_rows()))
    total = _reduced(local_loss, targets, roles, spec).to(dtype) if roles.rows else local_loss(spec)
    return to_whole(total, Layout.of_result(roles.mesh, total.shape, roles.replicated))


def _reduced(local_loss: Callable[[LossSpec], Tensor], targets: Targets, roles: Roles, spec: LossSpec) -> Tensor:
    """The sum or the mean over the rows of all ranks in float64, with one collective for each dimension of rows."""
    mesh, mesh_dims = roles.mesh, tuple(roles.rows)
    try:
        total, error = local_loss(replace(spec, reduction=Reduction.sum)).double(), None
        hi, lo = targets.denominator(spec)
    except REJECTED as caught:  # the other ranks wait for this one
        total, (hi, lo), error = torch.zeros((), dtype=torch.float64, device=mesh.device_type), (0.0, 0.0), caught
    parts = (torch.as_tensor(part, dtype=torch.float64, device=total.device) for part in (hi + lo, error is not None))
    total, weight, errors = sum_over_ranks(torch.stack([total, *parts]), mesh, mesh_dims).unbind()
    # Without classes in parts, other devices than the CPU check no labels, and reading the number would wait for them.
    if (total.is_cpu or roles.classes is not None) and has_value(errors) and errors.item():
        header = Header(Place(0, -1, -1), error=error).packed().to(total.device)
        raise_first(headers(gathered(header, mesh, mesh_dims)))
    return total / weight if spec.reduction is Reduction.mean else total
