"""A shard: the rows that one worker sums, as nodes of the tree that adds the rows of all workers."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import issparse, vstack

from softgrad.linear_model._problem._rows import LocalRows, weight_sums
from softgrad.linear_model._problem._sampling import sampling_keys
from softgrad.linear_model._problem._tree_sum import TreeSum, subtrees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from softgrad._targets import Targets
    from softgrad._typing import Array
    from softgrad.dask._blocks import Block, FitRules

# The most bytes of a block in a file that are mapped at a time.
_MAPPED_BYTES = 1 << 24

Nodes = dict[tuple[int, int], "Array"]


class Source(NamedTuple):
    """Some rows of a block."""

    block: int  # of those that have rows
    start: int
    stop: int

    @property
    def rows(self) -> slice:
        """The rows of the block."""
        return slice(self.start, self.stop)


class Piece(NamedTuple):
    """A run of whole leaves of one block; or a single leaf, whose rows come from several blocks."""

    first: int
    end: int
    sources: tuple[Source, ...]


def pieces_of_blocks(lengths: Sequence[int], leaf_rows: int) -> list[list[Piece]]:
    """Return the pieces of every block; a leaf of several blocks belongs to the first of them."""
    starts = [0, *accumulate(lengths)]
    total = starts[-1]
    pieces: list[list[Piece]] = []
    for block, (start, end) in enumerate(pairwise(starts)):
        first = -(-start // leaf_rows)
        last = -(-end // leaf_rows) if end == total else end // leaf_rows
        own = []
        if first < last:
            source = Source(block, first * leaf_rows - start, min(last * leaf_rows, end) - start)
            own.append(Piece(first, last, (source,)))
        if last * leaf_rows < end and last >= first:
            sources = _sources(starts, last * leaf_rows, min((last + 1) * leaf_rows, total))
            own.append(Piece(last, last + 1, tuple(sources)))
        pieces.append(own)
    return pieces


def _sources(starts: list[int], first: int, end: int) -> Iterator[Source]:
    block = bisect_right(starts, first) - 1
    while first < end:
        until = min(end, starts[block + 1])
        yield Source(block, first - starts[block], until - starts[block])
        first, block = until, block + 1


class _Node(NamedTuple):
    level: int
    place: int
    source: LocalRows | tuple[Block, slice]  # the latter if the rows are in a file

    def rows(self, rules: FitRules) -> LocalRows:
        return self.source if isinstance(self.source, LocalRows) else self.source[0].rows(self.source[1], rules)


class Shard:
    """The rows of some pieces, divided into the largest nodes of the tree.

    `edges` are the rows of blocks of other workers in leaves that begin in a block of this one.
    """

    def __init__(
        self,
        blocks: dict[int, Block],
        edges: dict[Source, LocalRows],
        pieces: Sequence[Piece],
        rules: FitRules,
        leaves: int,
    ) -> None:
        self._rules = rules
        self._leaves = leaves
        self._nodes = [node for piece in pieces for node in self._nodes_of(piece, blocks, edges)]

    def _nodes_of(self, piece: Piece, blocks: dict[int, Block], edges: dict[Source, LocalRows]) -> Iterator[_Node]:
        leaf_rows = self._rules.leaf_rows
        if len(piece.sources) > 1:
            parts = [
                edges[source] if source in edges else blocks[source.block].rows(source.rows, self._rules)
                for source in piece.sources
            ]
            yield _Node(0, piece.first, _concatenated(parts))
            return
        (source,) = piece.sources
        block, rows = blocks[source.block], source.rows
        highest = self._leaves.bit_length()
        if block.is_stored:
            leaf_bytes = leaf_rows * block.facts.bytes // block.facts.rows
            highest = max(0, (_MAPPED_BYTES // max(leaf_bytes, 1)).bit_length() - 1)
        whole = None if block.is_stored else block.rows(rows, self._rules)
        for level, index in subtrees(piece.first, piece.end, self._leaves, highest):
            first = ((index << level) - piece.first) * leaf_rows
            part = slice(first, min(first + (leaf_rows << level), rows.stop - rows.start))
            if whole is None:
                yield _Node(level, index, (block, slice(rows.start + part.start, rows.start + part.stop)))
            else:
                yield _Node(level, index, whole.part(part))

    def sum(self, function: Callable[..., Array], *args: Any) -> Nodes:
        """Return the sums of function(rows, *args) as nodes of the tree, as few as there can be."""
        tree = TreeSum(self._leaves)
        for node in self._nodes:
            tree.add(node.level, node.place, function(node.rows(self._rules), *args))
        return tree.nodes

    def largest(self, function: Callable[..., Array], *args: Any) -> Array:
        """Return the elementwise maximum of function(rows, *args)."""
        return np.maximum.reduce([function(node.rows(self._rules), *args) for node in self._nodes])

    def weights(self) -> tuple[tuple[float, int, Array], Nodes]:
        """Return the largest weight of a row, minus the number of the first such row, and its x; and `weight_sums`."""
        return max((self._heaviest_of(node) for node in self._nodes), key=lambda row: row[:2]), self.sum(weight_sums)

    def _heaviest_of(self, node: _Node) -> tuple[float, int, Array]:
        rows = node.rows(self._rules)
        weight, x = rows.heaviest()
        return weight, -self._first_row(node) - int(rows.targets.row_weight.argmax()), x

    def sample(self, least: int, end: int) -> tuple[Array, Any, Array]:
        """Return the numbers of the rows of positive mass with keys from `least` to `end` − 1, their x and mass."""
        parts = [self._sample_of(node, least, end) for node in self._nodes]
        numbers, x, mass = zip(*parts, strict=True)
        return np.concatenate(numbers), stacked(x), np.concatenate(mass)

    def _sample_of(self, node: _Node, least: int, end: int) -> tuple[Array, Any, Array]:
        rows = node.rows(self._rules)
        weighted = np.flatnonzero(rows.mass)
        numbers = self._first_row(node) + weighted
        keys = sampling_keys(numbers)
        drawn = (keys >= np.uint64(least)) & (keys <= np.uint64(end - 1))
        return numbers[drawn], rows.x[weighted[drawn]], rows.mass[weighted[drawn]]

    def all(self) -> list[tuple[int, Any, Targets]]:
        """Return x and the targets of every node, after the number of its first row."""
        nodes = [(node, node.rows(self._rules)) for node in self._nodes]
        return [(self._first_row(node), rows.x, rows.targets) for node, rows in nodes]

    def _first_row(self, node: _Node) -> int:
        return (node.place << node.level) * self._rules.leaf_rows

    def __sizeof__(self) -> int:
        """Return the size by which Dask judges a worker's memory: the rows are those of blocks."""
        return 1000


def make_shard(
    numbers: Sequence[int],
    blocks: Sequence[Block],
    sources: Sequence[Source],
    edges: Sequence[LocalRows],
    pieces: Sequence[Piece],
    rules: FitRules,
    leaves: int,
) -> Shard:
    """Return the shard of some blocks, by their numbers, and of edges, by their sources."""
    blocks_by_number, edges_by_source = dict(zip(numbers, blocks, strict=True)), dict(zip(sources, edges, strict=True))
    return Shard(blocks_by_number, edges_by_source, pieces, rules, leaves)


def stacked(parts: Sequence[Any]) -> Any:
    """Return dense or sparse rows below each other."""
    return vstack(parts, format="csr") if issparse(parts[0]) else np.concatenate(parts)


def joined_targets(parts: Sequence[Targets]) -> Targets:
    """Return the targets of rows below each other."""
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("labels", "probabilities", "row_weight")
        if getattr(parts[0], name) is not None
    }
    return parts[0]._replace(**joined)


def _concatenated(parts: Sequence[LocalRows]) -> LocalRows:
    targets = joined_targets([part.targets for part in parts])
    return LocalRows(stacked([part.x for part in parts]), targets, parts[0].spec, parts[0].leaf_rows)
