"""Reading .npy and .npz files."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._column_names import name_list
from softgrad.cli._tables._decompression import check_decompressed_size
from softgrad.cli._tables._labels import whole_labels

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.cli._tables._file_part import FilePart

_NPY = b"\x93NUMPY"
_DAMAGE = (
    ValueError, TypeError, KeyError, EOFError, RuntimeError, NotImplementedError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_npy(
    path: Path, target: str | None, features: int | None, part: FilePart | None = None
) -> tuple[Array, Array | None, str | None]:
    """Read features, labels and the position of the label column, if the labels are not in a .npy file of their own.

    A .npy file of labels has those of all files, and of a part only its labels are returned.
    """
    mapped = map_array(path, str(path))
    matrix = _matrix(mapped if part is None or not mapped.ndim else mapped[part.start : part.stop], str(path))
    if target is not None and target.lower().endswith(".npy"):
        return matrix, _label_file(target, part), None
    columns = matrix.shape[1]
    if features is not None and (target is None or columns == features):
        return matrix, None, None
    expected = f"a position from 0 to {columns - 1}, -1 for the last, or a .npy file of labels"
    if target is None:
        raise CommandError(f"--target is missing: {path} has {columns} columns; expected {expected}")
    try:
        position = range(columns)[int(target)]
    except (ValueError, IndexError):
        raise CommandError(f"--target {target}: {path} has {columns} columns; expected {expected}") from None
    first_row = 1 if part is None else part.start + 1
    labels = whole_labels(np.array(matrix[:, position]), f"{path}, column {position}", first_row)
    return np.delete(matrix, position, axis=1), labels, str(position)


def read_npz(path: Path, target: str | None) -> tuple[Array, Array | None, str | None]:
    """Read features from the array X, and labels from y, the array `target` or a .npy file."""
    wanted = ("X", target or "y")
    try:
        with open(path, "rb") as file:  # if numpy.load opened it, a failure would leave it open
            names = None
            if file.peek(len(_NPY)).startswith(_NPY):
                _open_mapped(path)
            else:
                archive = np.load(file, allow_pickle=False)
                names = list(archive.files)
                arrays = {name: _member(archive, name, path) for name in names if name in wanted}
    except _DAMAGE:  # its message may recommend pickle
        raise CommandError(_damaged(str(path), "npz")) from None
    if names is None:
        raise CommandError(f"{path} holds one unnamed array; save it with numpy.savez(file, X=..., y=...)")
    if "X" not in arrays:
        raise CommandError(f"{path} has no array X for the features; its arrays: {name_list(names) or 'none'}")
    matrix = _matrix(arrays["X"], f"{path}: X")
    if target is not None and target not in arrays:
        if target.lower().endswith(".npy"):
            return matrix, _label_file(target), None
        raise CommandError(f"--target {target}: {path} has no such array; its arrays: {name_list(names)}")
    labels = arrays.get(target or "y")
    return matrix, None if labels is None else _vector(labels, f"{path}: {target or 'y'}"), None


def map_array(path: Path, name: str) -> Array:
    """Map the array of a .npy file, which may be larger than the memory; the error of a damaged one calls it `name`."""
    try:
        return _open_mapped(path)
    except _DAMAGE:
        raise CommandError(_damaged(name, "npy")) from None


def _open_mapped(path: Path) -> Array:
    with open(path, "rb") as file:
        _check_header(file, path.stat().st_size)
    return np.lib.format.open_memmap(path, mode="r")


def _member(archive: np.lib.npyio.NpzFile, name: str, path: Path) -> Array:
    """Read an array of an archive, after checking its size."""
    with zipfile.ZipFile(path) as packed:
        file = f"{name}.npy"
        entry = packed.getinfo(file if file in packed.namelist() else name)
        check_decompressed_size(entry.file_size, min(entry.compress_size, path.stat().st_size), f"{path}: {name}")
        with packed.open(entry) as content:
            _check_header(content, entry.file_size)
    array: Array = archive[name]
    return array


def _check_header(file: IO[bytes], size: int) -> None:
    """Refuse a header that promises more data than the file holds, before memory is allocated for it."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"its header promises shape {shape} and dtype {dtype}, more than the file holds")


def _damaged(name: str, kind: str) -> str:
    return f"{name} is not .{kind}, is damaged, or holds Python objects, which are never loaded"


def _matrix(array: Array, name: str) -> Array:
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise CommandError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected real numbers with two axes, rows "
            "and features"
        )
    # float32 and float64 stay mapped from the file.
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _vector(array: Array, name: str, first_row: int = 1) -> Array:
    if array.ndim != 1 or array.dtype.kind not in "biufU":
        raise CommandError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected integers or text with one axis"
        )
    return whole_labels(np.array(array), name, first_row)


def _label_file(target: str, part: FilePart | None = None) -> Array:
    path = Path(target)
    if not path.is_file():
        raise CommandError(f"--target {target}: there is no such file")
    labels = map_array(path, target)
    if part is None or not labels.ndim:
        return _vector(labels, target)
    first = part.first_number
    return _vector(labels[first : first + part.stop - part.start], target, first + 1)
