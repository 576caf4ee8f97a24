"""The operators of rows whose classes are shared out over the ranks of a process group.

``torch.ops.softgrad.sharded_…``; one implementation serves every device, with the kernels for it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from softgrad.torch import _shards
from softgrad.torch._dispatch._operator import CustomOperator
from softgrad.torch._dispatch._operators import like_first, like_wanted, loss_of_head, loss_of_rows, of_rows
from softgrad.torch._kernels import direction_fields, statistics_fields, without

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from softgrad._loss_spec import LossSpec


def _message(logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, spec: LossSpec, *_: Any) -> Tensor:
    rows, fields = math.prod(without(logits.shape, dim)), _shards.fields_sent(logits, target, spec)
    return logits.new_empty(_shards.HEADER + rows * fields, dtype=torch.float64)


def _merged(gathered: Tensor, logits: Tensor, target: Tensor, weight: Tensor | None, dim: int, *_: Any) -> Any:
    rows = math.prod(without(logits.shape, dim))
    statistics = gathered.new_empty(rows, statistics_fields(logits))
    return statistics, torch.empty(2, dtype=torch.int64)


def _sharded_loss(
    logits: Tensor, statistics: Tensor, shard: Tensor, target: Tensor, weight: Tensor | None, *rest: Any
) -> Tensor:
    dim, spec, _ = rest
    return loss_of_rows(logits, target, weight, dim, spec)


def _directions(logits: Tensor, v: Tensor, statistics: Tensor, dim: int) -> Tensor:
    return statistics.new_empty(len(statistics), direction_fields(logits))


def _gathered(message: Tensor, group: str) -> Tensor:
    _, size = _shards.rank_and_size(group)
    return message.new_empty(size, *message.shape)


def _sharded_lse(logits: Tensor, statistics: Tensor, dim: int, group: str) -> Tensor:
    return of_rows(logits, dim)


def _sharded_operator(
    name: str, tensors: str, options: str, shape: Callable[..., Any] = like_first, result: str = "Tensor"
) -> CustomOperator:
    kernel = getattr(_shards, name)
    return CustomOperator(name, f"{tensors}, {options}", shape, kernel, result)


_OF_ROWS = "Tensor target, Tensor? weight"
_IN_GROUP = "int dim, LossSpec spec, str group"
_GIVEN = f"{_IN_GROUP}, int first_class, int classes"
_MERGED = f"Tensor statistics, Tensor shard, {_OF_ROWS}"

shard_statistics = _sharded_operator("shard_statistics", f"Tensor logits, {_OF_ROWS}", _GIVEN, _message)
merge_shards = _sharded_operator(
    "merge_shards", f"Tensor gathered, Tensor logits, {_OF_ROWS}", _GIVEN, _merged, "(Tensor, Tensor)"
)
cross_entropy = _sharded_operator("sharded_cross_entropy", f"Tensor logits, {_MERGED}", _IN_GROUP, _sharded_loss)
cross_entropy_grad = _sharded_operator(
    "sharded_cross_entropy_grad", f"Tensor logits, Tensor upstream, {_MERGED}", _IN_GROUP
)
shard_directions = _sharded_operator(
    "shard_directions", "Tensor logits, Tensor v, Tensor statistics", "int dim", _directions
)
cross_entropy_hvp = _sharded_operator(
    "sharded_cross_entropy_hvp", f"Tensor logits, Tensor upstream, Tensor v, Tensor directions, {_MERGED}", _IN_GROUP
)
softmax = _sharded_operator("sharded_softmax", "Tensor logits, Tensor statistics", "int dim, str group")
log_softmax = _sharded_operator("sharded_log_softmax", "Tensor logits, Tensor statistics", "int dim, str group")
logsumexp = _sharded_operator(
    "sharded_logsumexp", "Tensor logits, Tensor statistics", "int dim, str group", _sharded_lse
)


def _linear_operator(
    name: str, tensors: str, shape: Callable[..., Any], wanted: str = "", result: str = "Tensor"
) -> CustomOperator:
    kernel = getattr(_shards, name)
    options = "LossSpec spec, float softcap, int chunk_rows, str group, int first_class, int classes"
    arguments = f"Tensor x, Tensor W, Tensor? bias, {tensors}{_OF_ROWS}, {options}{wanted}"
    return CustomOperator(name, arguments, shape, kernel, result)


linear_cross_entropy = _linear_operator("sharded_linear_cross_entropy", "", loss_of_head)
linear_cross_entropy_grad = _linear_operator(
    "sharded_linear_cross_entropy_grad", "Tensor upstream, ", like_wanted, ", bool x_wanted, bool W_wanted",
    "(Tensor, Tensor, Tensor)",
)  # fmt: skip


def _gathered_rows(x: Tensor, counts: Tensor, group: str, rows: int) -> Tensor:
    return x.new_empty(rows, *x.shape[1:])


_ROWS = "Tensor x, Tensor counts", "str group, int rows"
gather_rows = _sharded_operator("gather_rows", *_ROWS, _gathered_rows)
own_rows = _sharded_operator("own_rows", *_ROWS, _gathered_rows)
all_gather = _sharded_operator("all_gather", "Tensor message", "str group", _gathered)
sum_over_shards = _sharded_operator("sum_over_shards", "Tensor x", "str group")
for_every_shard = _sharded_operator("for_every_shard", "Tensor x", "str group")
