"""How many rows a program has, how rows are divided into tiles, and how many threads work on them: a fixed table.

Warps, registers and tiles of the loss and its gradient were measured on an NVIDIA H200. Results of two tensors have
twice the threads, and limits of registers with which nothing spills. No call measures anything: the first takes no
longer than compilation, and results do not vary.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from softgrad.torch._kernels._triton._layout import VECTOR_BYTES, Layout

# Rows of up to so many classes share a program.
_SHORT = 512
# Those that begin or end between vectors have so many of these, or vectors of two elements: with longer ones a thread
# has few elements of many rows, whose numbers take most of its instructions.
_LEAST_GROUPS = 16
# Elements of a program of several rows; most rows, and least rows where the classes are not next to each other.
_ELEMENTS, _MOST_ROWS, _STRIDED_ROWS = 2048, 256, 16
# Rows of more classes that are not next to each other are copied.
_MOST_STRIDED_CLASSES = 1024
# Longer rows are divided into tiles of 4096 elements, four warps each: as many elements as threads have registers for.
_LONGEST, _LONGEST_OF_TWO, _LONGEST_DENSE = 16384, 8192, 4096
_TILE, _TILE_WARPS = 4096, 4
# Registers of a thread at most for results that were not measured: of tiles, by the number of tensors that are read, of
# whole rows, of rows with elements that are loaded one by one, and of sums of dense targets. A processor has 8 to 20
# warps with them.
_TILE_REGISTERS, _ROW_REGISTERS, _SINGLE_REGISTERS, _DENSE_REGISTERS = {1: 96, 2: 120}, 128, 160, 255
_REGISTERS = 65536
# At most so many tiles of a row wait for each other, each of which reads the statistics of all.
_MOST_WAITING = 64


class Configuration(NamedTuple):
    """The options of a launch that depend on the number of classes and the layout."""

    rows: int  # of a program
    groups: int  # of V elements of a row in a program: a power of two, of which
    groups_used: int  # are used in every tile but the last
    vector: int  # V
    tiles: int  # of a row
    edges: bool
    full: bool
    warps: int
    registers: int | None  # of a thread, at most
    needs_copies: bool = False  # in which the classes of a row are next to each other
    scattered: bool = False  # whether a block has rows along all dimensions

    def options(self) -> dict[str, Any]:
        """The options of the kernel of rows, and of its compilation."""
        options = {
            "ROWS": self.rows, "GROUPS": self.groups, "V": self.vector, "EDGES": self.edges, "FULL": self.full,
            "SCATTERED": self.scattered,
            "num_warps": self.warps,
        }  # fmt: skip
        return options if self.registers is None else options | {"maxnreg": self.registers}

    @property
    def may_wait(self) -> bool:
        """Whether the tiles of a row may wait for each other, if the device runs so many programs at once."""
        return self.tiles <= _MOST_WAITING


@functools.lru_cache(maxsize=1024)
def configuration(
    classes: int, layout: Layout, element_size: int, *, operands: int, is_simple: bool, is_dense: bool
) -> Configuration:
    """The configuration for rows of so many classes.

    operands: the number of tensors that are read; is_simple: whether the kernel is that of a loss or its gradient
    without options, or of softmax, for which the numbers of registers were measured; is_dense: whether sums over
    targets that are not one-hot are computed, which need any number of registers.
    """
    vector = VECTOR_BYTES // element_size
    padded = power_of_two(classes)
    if classes <= _SHORT or layout.is_strided:
        whole = vector
        while whole > 2 and _LEAST_GROUPS * whole > classes:
            whole //= 2
        while vector > 1 and not layout.is_aligned(classes, vector):
            vector //= 2
        edges = vector == 1 and classes > 2 * whole and layout.is_in_phase(whole)
        vector = whole if edges else vector
        rows = min(_MOST_ROWS, max(_ELEMENTS // (padded * operands), _STRIDED_ROWS if layout.is_strided else 1))
        warps = min(max(4, rows * padded * operands // 1024), 16)
        groups = power_of_two(classes // vector)
        # A block has rows along one dimension; with few of them there most of it would be empty.
        is_sparse = len(layout.sizes) > 1 and 2 * layout.sizes[-1] <= rows
        copies = layout.is_strided and (is_sparse or classes > _MOST_STRIDED_CLASSES)
        scattered = is_sparse and not layout.is_strided
        most = _most_registers(warps, 1, operands, has_single=edges or vector == 1, is_dense=is_dense)
        return Configuration(rows, groups, groups, vector, 1, edges, False, warps, most, copies, scattered)
    edges = not layout.is_aligned(classes, vector)
    if edges and not layout.is_in_phase(vector):
        vector, edges = 1, False
    longest = _longest(element_size, operands=operands, is_simple=is_simple, is_dense=is_dense)
    tile = _TILE if classes > longest else classes
    total = classes // vector
    tiles = -(-classes // tile)
    used = -(-total // tiles)
    groups = power_of_two(used)
    full = tiles == 1 and not edges and groups * vector == classes
    warps, registers = _threads(groups * vector, element_size, full=full) if tiles == 1 else (_TILE_WARPS, 72)
    if operands > 1:
        warps = min(max(2, groups * vector // 512), 32)
    if not is_simple:
        registers = _most_registers(warps, tiles, operands, has_single=vector == 1, is_dense=is_dense)
    elif registers is not None and edges:
        registers += 8
    return Configuration(1, groups, used, vector, tiles, edges, full, warps, registers)


def _longest(element_size: int, *, operands: int, is_simple: bool, is_dense: bool) -> int:
    """The classes of the longest row that one program has."""
    if is_simple:
        return _LONGEST * (2 if element_size == 2 else 1)
    if is_dense:
        return _LONGEST_DENSE * (1 if operands == 2 else 2)
    return _LONGEST_OF_TWO if operands == 2 else _LONGEST


def _threads(elements: int, element_size: int, *, full: bool) -> tuple[int, int | None]:
    """Warps, and the registers of a thread, for one row of so many elements."""
    if elements <= 1024:
        return (1, None) if element_size == 2 else (2, 56)
    if elements == 8192 and not full and element_size == 4:
        return 16, 40
    registers = 72 if element_size == 4 and elements <= 4096 else 64
    return min(elements // 1024, 32), registers if elements <= 16384 else None


def _most_registers(warps: int, tiles: int, operands: int, *, has_single: bool, is_dense: bool) -> int:
    """The registers of a thread for a result that was not measured, so that a processor has them for all threads."""
    most = _TILE_REGISTERS[operands] if tiles > 1 else _ROW_REGISTERS
    if has_single:
        most = _SINGLE_REGISTERS
    if is_dense:
        most = _DENSE_REGISTERS
    return min(most, _REGISTERS // (32 * warps))


def power_of_two(n: int) -> int:
    """The least power of two that is at least n."""
    return 1 << max(0, (n - 1).bit_length())
