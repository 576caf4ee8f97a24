"""A worked example: the formulas in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Example(NamedTuple):
    """Columns of numbers, one row for each class, and a small matrix to be shown as a heat map."""

    caption: str
    columns: tuple[tuple[str, NDArray[Any]], ...]
    matrix_title: str
    matrix: NDArray[Any]
