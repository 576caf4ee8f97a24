"""Where the elements of rows are, and how they are loaded and stored, in Triton.

A program has ROWS rows, or one of the tiles of a row. Their elements are one or two pieces, tensors of (rows, groups,
elements of a group): groups of V elements, 16 bytes, that a thread loads at once, and with EDGES the elements before
and after the multiples of V, in groups of one, which different threads load. The strides of a tensor are a tuple: the
offset of its first element, the strides of the dimensions of rows, and that of the classes, which is 1 unless STRIDED.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language import constexpr


@triton.jit
def rows_of(block, sizes, n, ROWS: constexpr, SCATTERED: constexpr):
    """The rows of a block: where it begins along the last dimension of rows, and along the others as one.

    Then the numbers of the rows, and whether each exists. SCATTERED: the block has rows along all dimensions.
    """
    of_last = sizes[len(sizes) - 1]
    if len(sizes) > 1 and not SCATTERED:
        blocks = tl.cdiv(of_last, ROWS)
        outer = block // blocks
        inner = (block - outer * blocks).to(tl.int64) * ROWS
        along = inner + tl.arange(0, ROWS)
        return outer, inner, along + outer.to(tl.int64) * of_last, along < of_last
    else:
        inner = block.to(tl.int64) * ROWS
        row = inner + tl.arange(0, ROWS)
        return 0, inner, row, row < n


@triton.jit
def starts_of(
    rows, sizes, strides, ROWS: constexpr, V: constexpr, STRIDED: constexpr, EDGES: constexpr, SCATTERED: constexpr
):
    """The offsets of a block's rows, (rows, 1, 1) or one number, and those of their first multiples of V."""
    outer, inner, row, _in_rows = rows
    dims: constexpr = len(sizes)
    ALIGNMENT: constexpr = 1 if STRIDED or EDGES else V
    if SCATTERED:
        start = start_of_rows(row, sizes, strides)[:, None, None] // ALIGNMENT * ALIGNMENT
    else:
        start = strides[0] + inner * strides[dims]
        for i in tl.static_range(dims - 1):  # the last first; a constexpr for the index could be assigned only once
            start += (outer % sizes[dims - 2 - i]).to(tl.int64) * strides[dims - 1 - i]
            outer = outer // sizes[dims - 2 - i]
        start = start // ALIGNMENT * ALIGNMENT  # which tells the compiler of the alignment
        if ROWS > 1:
            stride = strides[dims] // ALIGNMENT * ALIGNMENT
            start += (tl.arange(0, ROWS).to(tl.int64) * stride)[:, None, None]
    if EDGES:
        return start, (start + V - 1) // V * V
    else:
        return start, start


@triton.jit
def start_of_rows(row, sizes, strides):
    """The offsets of rows by their numbers."""
    dims: constexpr = len(sizes)
    start = row * 0 + strides[0]
    for i in tl.static_range(dims - 1):
        start += row % sizes[dims - 1 - i] * strides[dims - i]
        row = row // sizes[dims - 1 - i]
    return start + row * strides[1]


@triton.jit
def tile_of(
    starts, part, of_first_tile, in_rows, classes, groups, first_class,
    ROWS: constexpr, GROUPS: constexpr, V: constexpr, TILES: constexpr, EDGES: constexpr,
):  # fmt: skip
    """A tile of rows that begin at `starts`: its pieces; which of their elements exist; their classes; their number.

    The pieces are given by the first class of the tile, not counting edges, the number of groups of V in it, and the
    elements of each piece from there on, or from the start of the row for the edges.
    """
    first = part.to(tl.int64) * (groups * V)
    head = 0
    if EDGES:
        head = (starts[1] - starts[0]).to(tl.int32)
    vectors = (classes - head) // V
    if TILES > 1:
        vectors = tl.minimum(vectors - part * groups, groups)
    group = tl.arange(0, GROUPS)[None, :, None]
    elements = (group * V + tl.arange(0, V)[None, None, :],)
    there = (tl.broadcast_to((group < vectors) & in_rows[:, None, None], [ROWS, GROUPS, V]),)
    numbers = (first_class + head + first + elements[0],)
    count = tl.maximum(vectors, 0) * V
    if EDGES:
        edge = tl.arange(0, 2 * V)[None, :, None]
        tail = head + (classes - head) // V * V
        is_before = edge < V
        edge = tl.where(is_before, edge, tail + edge - V)
        is_edge = (edge < of_first_tile) & ((edge < head) | (is_before == 0))
        elements += (edge,)
        there += (is_edge & in_rows[:, None, None],)
        numbers += (first_class + edge,)
        count += tl.where(of_first_tile > 0, classes - (tail - head), 0)
        if ROWS > 1:
            count = tl.reshape(count, [ROWS])
    return (first, vectors, elements), there, numbers, count


@triton.jit
def group_of_tile(tile, group, in_rows, V: constexpr):
    """One group of V elements of each row, in groups of one; and whether it exists."""
    first, vectors, _elements = tile
    group = group[:, None, None]
    elements = group * V + tl.arange(0, V)[None, :, None]
    return (first, vectors, (elements,)), ((group < vectors) & in_rows[:, None, None],)


@triton.jit
def along_classes(classes, strides, STRIDED: constexpr):
    """The offsets of classes in a row."""
    if STRIDED:
        return classes.to(tl.int64) * strides[len(strides) - 1]
    else:
        return classes


@triton.jit
def at_class(P, starts, classes, strides, ROWS: constexpr, STRIDED: constexpr):
    """Pointers to one class of each row."""
    start = tl.reshape(starts[0] + tl.zeros([ROWS, 1, 1], tl.int64), [ROWS])
    return P + start + along_classes(classes, strides, STRIDED)


@triton.jit
def at(P, starts, tile, strides, STRIDED: constexpr):
    """Pointers to the pieces of a tile of rows, in a tensor in which these begin at `starts`."""
    start, aligned = starts
    first, _vectors, elements = tile
    if STRIDED:
        pieces = (P + start + along_classes(elements[0], strides, True),)
    else:
        pieces = (P + (aligned + first) + elements[0],)
    if len(elements) == 2:
        pieces = pieces + (P + start + elements[1],)
    return pieces


@triton.jit
def load(pointers, there, kept, other: constexpr, FULL: constexpr):
    """The elements of all pieces in float32, `other` where they do not exist or their row is not kept."""
    pieces = ()
    for i in tl.static_range(len(pointers)):
        if FULL:
            pieces = pieces + (tl.load(pointers[i]).to(tl.float32),)
        else:
            wanted = there[i] & kept[:, None, None]
            pieces = pieces + (tl.load(pointers[i], mask=wanted, other=other).to(tl.float32),)
    return pieces


@triton.jit
def store(pointers, values, there, FULL: constexpr):
    """Round the elements of all pieces once, and store them."""
    for i in tl.static_range(len(pointers)):
        rounded = values[i].to(pointers[i].dtype.element_ty)
        if FULL:
            tl.store(pointers[i], rounded)
        else:
            tl.store(pointers[i], rounded, mask=there[i])
