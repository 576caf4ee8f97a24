"""Rows whose classes are shared out over the ranks of a process group: messages, places and kernels."""

from softgrad.torch._shards._cross_entropy import (
    fields_sent,
    merge_shards,
    shard_directions,
    shard_statistics,
    sharded_cross_entropy,
    sharded_cross_entropy_grad,
    sharded_cross_entropy_hvp,
    sharded_log_softmax,
    sharded_logsumexp,
    sharded_softmax,
)
from softgrad.torch._shards._group import (
    all_gather,
    for_every_shard,
    gather_rows,
    named,
    own_rows,
    rank_and_size,
    sum_over_shards,
)
from softgrad.torch._shards._linear import (
    sharded_linear_cross_entropy,
    sharded_linear_cross_entropy_grad,
    sharded_value_and_gradients,
)
from softgrad.torch._shards._message import HEADER, REJECTED, reject

__all__ = [
    "HEADER",
    "REJECTED",
    "all_gather",
    "fields_sent",
    "for_every_shard",
    "gather_rows",
    "merge_shards",
    "named",
    "own_rows",
    "rank_and_size",
    "reject",
    "shard_directions",
    "shard_statistics",
    "sharded_cross_entropy",
    "sharded_cross_entropy_grad",
    "sharded_cross_entropy_hvp",
    "sharded_linear_cross_entropy",
    "sharded_linear_cross_entropy_grad",
    "sharded_log_softmax",
    "sharded_logsumexp",
    "sharded_softmax",
    "sharded_value_and_gradients",
    "sum_over_shards",
]
