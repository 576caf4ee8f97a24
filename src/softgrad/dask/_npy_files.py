"""Arrays in .npy files as dask arrays, whose blocks are mapped where they are used."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
from dask import delayed
from numpy.lib.format import open_memmap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from softgrad._typing import Array

# Dask counts what is mapped of a block as memory of its worker, which may hold several at a time.
_BLOCK_BYTES = 1 << 25


def from_npy(paths: str | PathLike[str] | Sequence[str | PathLike[str]], *, rows: int | None = None) -> da.Array:
    """Return the rows of .npy files, one below the other, as a dask array.

    Its blocks are mapped from the files in the tasks that use them: `SoftmaxRegression.fit` reads them where they lie,
    without a copy. Every worker must see the files under the same names.

    Parameters
    ----------
    paths : path, or sequence of paths
        Files that `numpy.save` has written, with equal columns.
    rows : int, optional
        Rows of a block; by default as many as take 32 MiB. A block does not extend over two files.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If there are no paths, rows is below 1, a file does not hold an array of rows, or the files have different
        columns.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from softgrad.dask import from_npy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "x.npy")
    ...     np.save(path, np.arange(10.0).reshape(5, 2))
    ...     from_npy(path, rows=2).compute().sum(axis=0)
    array([20., 25.])
    """
    files = [paths] if isinstance(paths, str | PathLike) else list(paths)
    if not files:
        raise ValueError("paths is empty; expected one .npy file or more")
    if rows is not None and (not isinstance(rows, int | np.integer) or rows < 1):
        error = ValueError if isinstance(rows, int | np.integer) else TypeError
        raise error(f"rows={rows!r}; expected a positive integer, the rows of a block, or None")
    arrays = {path: _array(Path(path).absolute(), rows) for path in files}
    first = arrays[files[0]].shape[1:]
    for path, array in arrays.items():
        if array.shape[1:] != first:
            raise ValueError(
                f"{path} holds rows of shape {array.shape[1:]}, and {files[0]} of shape {first}; expected the same in "
                "all files"
            )
    return da.concatenate([arrays[path] for path in files])


def _array(path: Path, rows: int | None) -> da.Array:
    try:
        whole: Array = open_memmap(path, mode="r")
    except ValueError as error:
        raise ValueError(f"{path} cannot be mapped as a .npy file: {error}") from None
    if not whole.ndim:
        raise ValueError(f"{path} holds a single number; expected an array of rows")
    step = rows or max(1, _BLOCK_BYTES // max(1, whole[:1].nbytes))
    blocks = [_block(path, whole, slice(first, min(first + step, len(whole)))) for first in range(0, len(whole), step)]
    return da.concatenate(blocks) if blocks else da.empty(whole.shape, dtype=whole.dtype)


def _block(path: Path, whole: Array, rows: slice) -> da.Array:
    shape = rows.stop - rows.start, *whole.shape[1:]
    return da.from_delayed(delayed(_rows, pure=True)(str(path), rows), shape, whole.dtype)


def _rows(path: str, rows: slice) -> Array:
    mapped: Array = open_memmap(path, mode="r")[rows]
    return mapped
