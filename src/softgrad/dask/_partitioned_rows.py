"""The rows of a fit on the workers of a cluster."""

from __future__ import annotations

import math
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.dask._blocks import Block
from softgrad.dask._placement import placement
from softgrad.dask._shards import Shard, joined_targets, make_shard, pieces_of_blocks, stacked
from softgrad.linear_model._problem._rows import LocalRows, Rows, Sample, Totals
from softgrad.linear_model._problem._sampling import draw
from softgrad.linear_model._problem._tree_sum import TreeSum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from softgrad._typing import Array
    from softgrad.dask._blocks import Facts, FitRules
    from softgrad.dask._cluster import Cluster
    from softgrad.dask._shards import Nodes

_PAUSE = 1.0  # seconds between looks at which workers there are
_KEYS = 1 << 64


class PartitionedRows(Rows):
    """Blocks of rows on workers, each of which sums its own."""

    def __init__(self, cluster: Cluster, blocks: Sequence[Any], facts: Sequence[Facts], rules: FitRules) -> None:
        self._cluster = cluster
        self._blocks = blocks  # futures
        self._facts = facts
        self._rules = rules
        columns = facts[0].columns if rules.used is None else max(len(rules.used), 1)
        self.shape = sum(block.rows for block in facts), columns
        self.dtype = rules.dtype
        self.is_sparse = facts[0].is_sparse
        self.elements = sum(block.elements for block in facts)
        self.classes = len(rules.classes.classes)
        self.spec = rules.spec
        self._leaves = -(-self.shape[0] // rules.leaf_rows)
        self._pieces = pieces_of_blocks([block.rows for block in facts], rules.leaf_rows)
        self._sampled: tuple[int, Array, Any, Array] | None = None
        self._looked = -math.inf
        self._workers: frozenset[str] = frozenset()
        self._shards: dict[str, Any] = {}  # futures, by worker

    def sum(self, function: Callable[..., Array], *args: Any) -> Array:
        return self._root(self._each(Shard.sum, function, *args))

    def _root(self, shards: Iterable[Nodes]) -> Array:
        """Add the nodes of all shards."""
        tree = TreeSum(self._leaves)
        for nodes in shards:
            for (level, index), node in nodes.items():
                tree.add(level, index, node)
        return tree.root()

    def largest(self, function: Callable[..., Array], *args: Any) -> Array:
        return np.maximum.reduce(self._each(Shard.largest, function, *args))

    @cached_property
    def _weights(self) -> tuple[tuple[float, int, Array], Totals]:
        """The heaviest row, and the totals: every fit needs both, and a round takes longer than either."""
        heaviest, sums = zip(*self._each(Shard.weights), strict=True)
        return max(heaviest, key=lambda row: row[:2]), Totals.of(self._root(sums))

    @cached_property
    def totals(self) -> Totals:
        return self._weights[1]

    def heaviest(self) -> tuple[float, Array]:
        weight, _, x = self._weights[0]
        return weight, x

    def sample(self, count: int) -> Sample:
        count = min(count, self.totals.weighted)
        # The expected number of keys below it, and eight standard deviations more.
        end = math.ceil((count + 8 * math.sqrt(count) + 8) / max(self.totals.weighted, 1) * _KEYS)
        numbers, x, mass = self._rows_with_keys_below(min(end, _KEYS))
        drawn = draw(numbers, count)
        return Sample(x, drawn, mass[drawn], len(drawn) == self.shape[0])

    def _rows_with_keys_below(self, end: int) -> tuple[Array, Any, Array]:
        """Return numbers, x and mass of rows in order; each row comes from its worker once."""
        before, *known = self._sampled or (0,)
        if before < end:
            parts = [known, *self._each(Shard.sample, before, end)] if known else self._each(Shard.sample, before, end)
            numbers, x, mass = zip(*parts, strict=True)
            order = np.argsort(np.concatenate(numbers))
            self._sampled = end, np.sort(np.concatenate(numbers)), stacked(x)[order], np.concatenate(mass)[order]
        assert self._sampled is not None
        return self._sampled[1:]

    def gathered(self) -> LocalRows:
        """Return all rows in memory."""
        nodes = sorted((node for nodes in self._each(Shard.all) for node in nodes), key=lambda node: node[0])
        _, x, targets = zip(*nodes, strict=True)
        return LocalRows(stacked(x), joined_targets(targets), self.spec, self._rules.leaf_rows)

    def _each(self, method: Callable[..., Any], *args: Any) -> list[Any]:
        """Return method(shard, *args) of every shard."""
        self._place()
        return self._cluster.run_on_each(self._shards, method, args)

    def _place(self) -> None:
        """Give the blocks to the workers that there are; the shard of a lost worker is made again in any case."""
        if time.monotonic() - self._looked < _PAUSE:
            return
        threads = self._cluster.workers()
        self._looked = time.monotonic()
        if threads.keys() == self._workers or not threads:
            return
        self._workers = frozenset(threads)
        rows = [block.rows for block in self._facts]
        places = placement(rows, self._cluster.holders(self._blocks), threads)
        # A worker whose blocks lie within leaves of others has nothing to sum.
        owners = dict.fromkeys(place for place, pieces in zip(places, self._pieces, strict=True) if pieces)
        self._shards = {worker: self._shard(worker, places) for worker in owners}

    def _shard(self, worker: str, places: Sequence[str]) -> Any:
        """Return the future of a worker's shard. Of the blocks of other workers only the edges of leaves move."""
        own = {block: self._blocks[block] for block, place in enumerate(places) if place == worker}
        pieces = [piece for block in own for piece in self._pieces[block]]
        foreign = [source for piece in pieces for source in piece.sources if source.block not in own]
        edges = {
            source: self._cluster.submit(
                Block.rows, self._blocks[source.block], source.rows, self._rules, worker=places[source.block]
            )
            for source in foreign
        }
        return self._cluster.submit(
            make_shard, list(own), list(own.values()), list(edges), list(edges.values()), pieces, self._rules,
            self._leaves, worker=worker,
        )  # fmt: skip
