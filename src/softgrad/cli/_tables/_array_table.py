"""Tables without column names, used as they are: .npy, .npz and LibSVM text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._file_format import detect_format
from softgrad.cli._tables._libsvm import read_libsvm
from softgrad.cli._tables._numpy_files import read_npy, read_npz

if TYPE_CHECKING:
    from pathlib import Path

    from softgrad._typing import Array
    from softgrad.cli._tables._file_part import FilePart
    from softgrad.cli._tables._read_options import ReadOptions

_BLOCK = 2**20  # entries to check at a time


class ArrayTable(NamedTuple):
    """Rows without column names."""

    features: Any
    """A matrix, possibly mapped from the file; of LibSVM text a SciPy CSR matrix."""
    labels: Array | None
    target: str | None
    """Position of the label column, if the labels were a column."""
    first_index: int | None
    """0 or 1, where LibSVM text starts to count columns; None for other formats."""
    warnings: list[str]
    """Notes on how the table was read."""


def read_array(
    path: Path,
    target: str | None,
    options: ReadOptions | None = None,
    *,
    features: int | None = None,
    first_index: int | None = None,
    part: FilePart | None = None,
) -> ArrayTable:
    """Read and check features and labels.

    Parameters
    ----------
    path : Path
        A .npy, .npz or LibSVM file.
    target : str or None
        Where the labels are: position of a column, a .npy file, or name of an array in .npz (default: y).
    options : ReadOptions, optional
        How to read the file.
    features : int, optional
        Number of features of a model. The labels may then be missing, and `target` is a column only if the file has
        one more.
    first_index : int, optional
        0 or 1, where the LibSVM text of the fit started to count columns.
    part : FilePart, optional
        The rows to read, of a .npy file.
    """
    match detect_format(path, options):
        case "libsvm":
            if target is not None:
                raise CommandError(f"--target {target}: LibSVM text begins each row with its label; drop --target")
            x, y, first, warnings = read_libsvm(path, features, first_index)
            table = ArrayTable(x, y, None, first, warnings)
        case "npz":
            table = ArrayTable(*read_npz(path, target), None, [])
        case _:
            table = ArrayTable(*read_npy(path, target, features, part), None, [])
    rows, columns = table.features.shape
    if not rows or not columns:
        raise CommandError(f"{path} holds {rows} rows of {columns} features; expected at least one of each")
    if table.labels is not None and len(table.labels) != rows:
        raise CommandError(f"{path} holds {rows} rows but there are {len(table.labels)} labels; expected one per row")
    if features is not None and columns != features:
        raise CommandError(f"{path} has {columns} features; the model has {features}")
    _check_finite(table.features, path, 0 if part is None else part.first_row)
    return table


def _check_finite(features: Any, path: Path, first_row: int) -> None:
    if not isinstance(features, np.ndarray):
        bad = ~np.isfinite(features.data)
        if bad.any():
            row = int(np.searchsorted(features.indptr, int(bad.argmax()), side="right"))
            raise CommandError(f"{path}, data row {row} holds {features.data[bad.argmax()]}; expected finite numbers")
        return
    step = max(_BLOCK // features.shape[1], 1)
    for start in range(0, len(features), step):
        block = features[start : start + step]
        finite = np.isfinite(block)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise CommandError(
                f"{path}, data row {first_row + start + row + 1}, column {column} holds {block[row, column]}; expected "
                "finite numbers; drop such rows, or fill in values"
            )
