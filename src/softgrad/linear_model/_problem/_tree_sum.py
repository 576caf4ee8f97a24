"""Sums over rows in an order that threads, blocks and processes can share: a fixed binary tree.

Its leaves are runs of equally many rows, counted from the first row. Neighbours are added level by level,

    node(level, i) = node(level − 1, 2 i) + node(level − 1, 2 i + 1),

and a node without a right neighbour is that neighbour's sum already. So the number of rows alone determines every bit,
and whoever has the rows of a node can compute it. The kernels add in the same order: native/layout/tree_sum.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from softgrad._typing import Array

# Rows of a leaf in sums over weights and labels. The leaves of other sums are multiples of it.
LEAF_ROWS = 512
_MOST_DENSE_ROWS, _MOST_SPARSE_ROWS = 4096, 1 << 20


def rows_in_leaf(shape: tuple[int, int], elements: int, classes: int) -> int:
    """Return the rows of a leaf in sums of (classes, columns) numbers over rows with so many elements in all.

    Of dense rows, the number of rows does not matter; of sparse ones, only their density does.
    """
    rows = LEAF_ROWS
    while rows < min(classes, _MOST_DENSE_ROWS):
        rows *= 2
    # So many entries in an average column that adding two leaves costs at most about 5 % of summing them: with half of
    # them, 20000 x 5000 x 20 takes 1.07 times as long. With 64 for few classes too, 8000 x 20000 x 4 would be one leaf.
    entries = 16 if classes <= 8 else 64
    while rows < _MOST_SPARSE_ROWS and 2 * rows * elements <= entries * shape[0] * shape[1]:
        rows *= 2
    return rows


class TreeSum:
    """Nodes of the tree, added as soon as both neighbours are there."""

    def __init__(self, leaves: int) -> None:
        self.nodes: dict[tuple[int, int], Array] = {}  # by level and index
        self._leaves = leaves
        self._top = (leaves - 1).bit_length()

    def add(self, level: int, index: int, node: Array) -> None:
        """Add a node."""
        while level < self._top:
            neighbour = index ^ 1
            if neighbour << level < self._leaves:
                other = self.nodes.pop((level, neighbour), None)
                if other is None:
                    break
                node = other + node  # which of the two is the left one makes no difference
            level, index = level + 1, index // 2
        self.nodes[level, index] = node

    def root(self) -> Array:
        """Return the sum over all leaves, every one of which has been added."""
        return self.nodes[self._top, 0]


def subtrees(first: int, end: int, leaves: int, highest: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield level and index of the largest nodes, up to a level, that cover the leaves from `first` to `end` − 1."""
    top = (leaves - 1).bit_length() if highest is None else min(highest, (leaves - 1).bit_length())
    while first < end:
        level = 0
        while level < top and first % (2 << level) == 0 and min(first + (2 << level), leaves) <= end:
            level += 1
        yield level, first >> level
        first += 1 << level


def sum_over_leaves(function: Callable[[slice], Array], rows: int, leaf_rows: int) -> Array:
    """Return the sum of function(rows of a leaf)."""
    leaves = -(-rows // leaf_rows)
    tree = TreeSum(leaves)
    for i in range(leaves):
        tree.add(0, i, function(slice(i * leaf_rows, min((i + 1) * leaf_rows, rows))))
    return tree.root()


def sum_of_rows(values: Array) -> Array:
    """Return the sum of float64 values over the first axis."""
    return sum_over_leaves(lambda rows: np.asarray(values[rows].sum(axis=0)), len(values), LEAF_ROWS)


def sum_by_class(index: Array, weight: Array, classes: int) -> Array:
    """Return the summed weight of the rows of every class."""
    return sum_over_leaves(lambda rows: np.bincount(index[rows], weight[rows], classes), len(index), LEAF_ROWS)
