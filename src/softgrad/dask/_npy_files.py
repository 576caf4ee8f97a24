"""Arrays in .npy files as dask arrays, whose blocks are mapped where they are used."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
from dask import delayed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from softgrad._typing import Array

_BLOCK_BYTES = 1 << 27


def from_npy(paths: str | PathLike[str] | Sequence[str | PathLike[str]], *, rows: int | None = None) -> da.Array:
    files = [paths] if isinstance(paths, str | PathLike) else list(paths)
    if not files:
        raise ValueError("paths is empty; expected one .npy file or more")
    if rows is not None and rows < 1:
        raise ValueError(f"rows={rows!r}; expected a positive number of rows in a block, or None")
    return da.concatenate([_array(Path(path).absolute(), rows) for path in files])


def _array(path: Path, rows: int | None) -> da.Array:
    whole: Array = np.load(path, mmap_mode="r")
    if not whole.ndim:
        raise ValueError(f"{path} holds a single number; expected an array of rows")
    step = rows or max(1, _BLOCK_BYTES // max(1, whole[:1].nbytes))
    blocks = [_block(path, whole, slice(first, min(first + step, len(whole)))) for first in range(0, len(whole), step)]
    return da.concatenate(blocks) if blocks else da.empty(whole.shape, dtype=whole.dtype)


def _block(path: Path, whole: Array, rows: slice) -> da.Array:
    shape = rows.stop - rows.start, *whole.shape[1:]
    return da.from_delayed(delayed(_rows, pure=True)(str(path), rows), shape, whole.dtype)


def _rows(path: str, rows: slice) -> Array:
    mapped: Array = np.load(path, mmap_mode="r")[rows]
    return mapped
