"""Where the rows of tensors of one shape are in memory, for the kernels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

# The kernels load and store vectors of so many bytes.
VECTOR_BYTES = 16


class Layout(NamedTuple):
    """Rows of tensors that have one shape: the sizes of their dimensions, and how far elements are from each other."""

    sizes: tuple[int, ...]  # of the dimensions of rows, of which those that can be one are one
    strides: tuple[tuple[int, ...], ...]  # of each tensor: the first element's offset, of the rows, of the classes
    on_vectors: bool  # whether the memory of every tensor, from where offsets count, begins at a multiple of a vector

    def blocks(self, rows: int, *, scattered: bool) -> int:
        """The number of blocks of so many rows, each along the last dimension unless it is scattered."""
        if scattered:
            return -(-math.prod(self.sizes) // rows)
        return math.prod(self.sizes[:-1]) * -(-self.sizes[-1] // rows)

    @property
    def is_strided(self) -> bool:
        """Whether the classes of a row are not next to each other."""
        return any(strides[-1] != 1 for strides in self.strides)

    def is_aligned(self, classes: int, vector: int) -> bool:
        """Whether all rows begin and end at multiples of so many elements."""
        starts = (offset for strides in self.strides for offset in strides[:-1])
        return not self.is_strided and classes % vector == 0 and all(offset % vector == 0 for offset in starts)

    def is_in_phase(self, vector: int) -> bool:
        """Whether corresponding rows of all tensors begin equally far after a multiple of so many elements."""
        first, *others = (strides[:-1] for strides in self.strides)
        same = all((a - b) % vector == 0 for strides in others for a, b in zip(strides, first, strict=True))
        return not self.is_strided and same and self.on_vectors


def layout_of(dim: int, *tensors: Tensor) -> tuple[Layout, tuple[Tensor, ...]]:
    """The layout of tensors whose classes are the dimension `dim`, and the tensors from where its offsets count."""
    sizes, of_rows = _merged_dimensions(dim, tensors)
    bases, firsts = zip(*map(_rounded_down, tensors), strict=True)
    strides = tuple(
        (first, *rows, tensor.stride(dim)) for tensor, first, rows in zip(tensors, firsts, of_rows, strict=True)
    )
    on_vectors = not any(base.data_ptr() % VECTOR_BYTES for base in bases)
    return Layout(sizes, strides, on_vectors), bases


def _merged_dimensions(dim: int, tensors: tuple[Tensor, ...]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The sizes of the dimensions of rows, and their strides in each tensor, with as few dimensions as possible."""
    merged: list[list[int]] = []  # the size, and the stride in each tensor
    for i, size in enumerate(tensors[0].shape):
        if i == dim or size == 1:
            continue
        strides = [tensor.stride(i) for tensor in tensors]
        if merged and merged[-1][1:] == [size * stride for stride in strides]:
            merged[-1] = [merged[-1][0] * size, *strides]
        else:
            merged.append([size, *strides])
    sizes, *of_tensors = zip(*merged or [[1] + [0] * len(tensors)], strict=True)
    return sizes, of_tensors


def _rounded_down(tensor: Tensor) -> tuple[Tensor, int]:
    """The memory of a tensor from a multiple of a vector on, and the offset of its first element there."""
    first = tensor.data_ptr() % VECTOR_BYTES // tensor.element_size()
    if not first or tensor.storage_offset() < first:
        return tensor, 0
    return tensor.as_strided((1,), (1,), tensor.storage_offset() - first), first
