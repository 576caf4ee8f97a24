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
    bases: tuple[Tensor, ...]  # where each tensor's memory, rounded down to a vector, begins
    strides: tuple[tuple[int, ...], ...]  # of each tensor: the first element's offset, of the rows, of the classes

    @classmethod
    def of(cls, dim: int, *tensors: Tensor) -> Layout:
        """The layout of tensors whose classes are the dimension `dim`."""
        sizes, rows = _merged_dimensions([i for i in range(tensors[0].ndim) if i != dim], tensors)
        bases, strides = [], []
        for tensor, of_rows in zip(tensors, rows, strict=True):
            base, first = _rounded_down(tensor)
            bases.append(base)
            strides.append((first, *of_rows, tensor.stride(dim)))
        return cls(sizes, tuple(bases), tuple(strides))

    def blocks(self, rows: int) -> int:
        """The number of blocks of so many rows, each along the last dimension."""
        return math.prod(self.sizes[:-1]) * -(-self.sizes[-1] // rows)

    @property
    def is_strided(self) -> bool:
        """Whether the classes of a row are not next to each other."""
        return any(strides[-1] != 1 for strides in self.strides)

    def is_aligned(self, classes: int, vector: int) -> bool:
        """Whether all rows begin and end at multiples of a vector."""
        starts = (offset for strides in self.strides for offset in strides[:-1])
        return not self.is_strided and classes % vector == 0 and all(offset % vector == 0 for offset in starts)

    def is_in_phase(self, vector: int) -> bool:
        """Whether corresponding rows of all tensors begin equally far after a multiple of a vector."""
        first = self.strides[0][:-1]
        others = (strides[:-1] for strides in self.strides[1:])
        same = all((a - b) % vector == 0 for strides in others for a, b in zip(strides, first, strict=True))
        return not self.is_strided and same and all(base.data_ptr() % VECTOR_BYTES == 0 for base in self.bases)


def _merged_dimensions(dims: list[int], tensors: tuple[Tensor, ...]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The sizes of dimensions of rows, and their strides in each tensor, with as few dimensions as possible."""
    merged: list[list[int]] = []  # the size, and the stride in each tensor
    for i in dims:
        size, strides = tensors[0].shape[i], [tensor.stride(i) for tensor in tensors]
        if size == 1:
            continue
        if merged and merged[-1][1:] == [size * stride for stride in strides]:
            merged[-1] = [merged[-1][0] * size, *strides]
        else:
            merged.append([size, *strides])
    merged = merged or [[1] + [0] * len(tensors)]
    sizes, *of_tensors = zip(*merged, strict=True)
    return sizes, of_tensors


def _rounded_down(tensor: Tensor) -> tuple[Tensor, int]:
    """The memory of a tensor from a multiple of a vector on, and the offset of its first element there."""
    first = tensor.data_ptr() % VECTOR_BYTES // tensor.element_size()
    if not first or tensor.storage_offset() < first:
        return tensor, 0
    return tensor.as_strided((1,), (1,), tensor.storage_offset() - first), first
