"""Tables without names, taken as they are: .npy, .npz and LibSVM text."""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._file_format import check_inflation, kind_of, unpacked
from softgrad.cli._tables._named_table import whole_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from softgrad.cli._tables._read_options import ReadOptions

    Array = NDArray[Any]

MOST_FEATURES = 10**7  # of LibSVM text, whose sparse rows say nothing of the dense coefficients
_NPY = b"\x93NUMPY"
_BLOCK = 2**20  # entries that are looked at together
_WORD = re.compile(rb"\s*([A-Za-z_\x80-\xff][^\s:#]*)(?=\s|$)")
_DAMAGE = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, RuntimeError, NotImplementedError)


class ArrayTable(NamedTuple):
    """Rows as they stand in a file of arrays."""

    features: Any
    """A matrix, maybe mapped from the file; or of LibSVM text a SciPy CSR matrix."""
    labels: Array | None
    target: str | None
    """The position of the column of labels, if they were one."""
    first_index: int | None
    """Of LibSVM text: whether its columns are counted from 0 or 1."""
    remarks: list[str]
    """What the user should know of how it was read."""


def read_array(
    path: Path,
    target: str | None,
    options: ReadOptions | None = None,
    *,
    features: int | None = None,
    first_index: int | None = None,
) -> ArrayTable:
    """Features and labels.

    Parameters
    ----------
    path : Path
        A .npy, .npz or LibSVM file.
    target : str or None
        Where the labels are: a position of a column, a .npy file, or the name of an array in the .npz (default: y).
    options : ReadOptions, optional
        How the file is read.
    features : int, optional
        What a model takes; then `target` is only a column where there is one more, and labels may lack.
    first_index : int, optional
        Of the LibSVM text that the model was fitted to.
    """
    kind = kind_of(path, options)
    if kind == "libsvm":
        table = _libsvm(path, target, features, first_index)
    else:
        table = _npz(path, target) if kind == "npz" else _npy(path, target, features)
    rows, columns = table.features.shape
    if not rows or not columns:
        raise CommandError(f"{path} holds {rows} rows of {columns} features; expected at least one of both")
    if table.labels is not None and len(table.labels) != rows:
        raise CommandError(f"{path} holds {rows} rows but there are {len(table.labels)} labels; expected one for each")
    if features is not None and columns != features:
        raise CommandError(f"{path} has {columns} features; the model was fitted to {features}")
    _check_finite(table.features, path)
    return table


def _npy(path: Path, target: str | None, features: int | None) -> ArrayTable:
    matrix = _matrix(_mapped(path), str(path))
    if target is not None and target.lower().endswith(".npy"):
        return ArrayTable(matrix, _label_file(target), None, None, [])
    columns = matrix.shape[1]
    if features is not None and (target is None or columns == features):
        return ArrayTable(matrix, None, None, None, [])
    expected = f"a position from 0 to {columns - 1}, -1 for the last, or a .npy file of labels"
    if target is None:
        raise CommandError(f"--target is missing: {path} has {columns} columns; expected {expected}")
    try:
        position = range(columns)[int(target)]
    except (ValueError, IndexError):
        raise CommandError(f"--target {target}: {path} has {columns} columns; expected {expected}") from None
    labels = whole_labels(np.array(matrix[:, position]), f"{path}, column {position}")
    return ArrayTable(np.delete(matrix, position, axis=1), labels, str(position), None, [])


def _npz(path: Path, target: str | None) -> ArrayTable:
    wanted = ("X", target or "y")
    try:
        with open(path, "rb") as file:  # which numpy.load would leave open if it fails
            names = None
            if file.peek(len(_NPY)).startswith(_NPY):
                mapped(path)
            else:
                archive = np.load(file, allow_pickle=False)
                names = list(archive.files)
                arrays = {name: _member(archive, name, path) for name in names if name in wanted}
    except _DAMAGE:  # whose text may recommend pickle
        raise CommandError(_damaged(path, "npz")) from None
    if names is None:
        raise CommandError(f"{path} holds one array without a name; write numpy.savez(file, X=..., y=...)")
    if "X" not in arrays:
        raise CommandError(f"{path} has no array called X, the features; its arrays: {', '.join(names) or 'none'}")
    matrix = _matrix(arrays["X"], f"{path}: X")
    if target is not None and target not in arrays:
        if target.lower().endswith(".npy"):
            return ArrayTable(matrix, _label_file(target), None, None, [])
        raise CommandError(f"--target {target}: {path} has no such array; its arrays: {', '.join(names)}")
    labels = arrays.get(target or "y")
    return ArrayTable(matrix, None if labels is None else _vector(labels, f"{path}: {target or 'y'}"), None, None, [])


def _member(archive: np.lib.npyio.NpzFile, name: str, path: Path) -> Array:
    """An array of an archive, whose size is looked at before memory is taken for it."""
    with zipfile.ZipFile(path) as packed:
        file = f"{name}.npy"
        facts = packed.getinfo(file if file in packed.namelist() else name)
        check_inflation(facts.file_size, min(facts.compress_size, path.stat().st_size), f"{path}: {name}")
        with packed.open(facts) as content:
            _check_header(content, facts.file_size)
    array: Array = archive[name]
    return array


def _libsvm(path: Path, target: str | None, features: int | None, first_index: int | None) -> ArrayTable:
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    if target is not None:
        raise CommandError(f"--target {target}: in LibSVM text the label is the first field; leave --target out")
    matrix, labels = _libsvm_rows(path)
    # The format does not say from where it counts. A file without column 0 counts from 1, as LibSVM does.
    least = int(matrix.indices.min()) if matrix.nnz else 1
    first = min(least, 1) if first_index is None else first_index
    if least < first:
        row, _ = _first_entry(matrix, matrix.indices == 0)
        raise CommandError(
            f"{path}, data row {row}: index 0; the model counts columns from 1, for no row that it was fitted to has "
            "index 0; add 1 to every index, or if both tables count from 0, fit again with 0:0 added to a row"
        )
    remarks = []
    if features is None:
        features = int(matrix.indices.max()) + 1 - first if matrix.nnz else 0
        if features > MOST_FEATURES:
            row, index = _first_entry(matrix, matrix.indices >= MOST_FEATURES + first)
            raise CommandError(
                f"{path}, data row {row}: index {index}; expected at most {MOST_FEATURES - 1 + first}, for every class "
                "has a coefficient for each index up to the largest; number the features that occur without gaps"
            )
    else:
        unseen = matrix.indices >= features + first
        if unseen.any():
            row, index = _first_entry(matrix, unseen)
            remarks.append(
                f"{path}: {unseen.sum()} of {matrix.nnz} values ignored, for the model was fitted to indices from "
                f"{first} to {features - 1 + first}; the first is that of index {index} in data row {row}"
            )
            matrix = _entries(matrix, ~unseen)
    shifted = csr_matrix((matrix.data, matrix.indices - first, matrix.indptr), shape=(matrix.shape[0], features))
    return ArrayTable(shifted, whole_labels(labels, f"{path}, label"), None, first, remarks)


def _libsvm_rows(path: Path) -> tuple[Any, Array]:
    try:
        with unpacked(path) as file:
            return _parse_libsvm(file)
    except (ValueError, OverflowError) as error:
        problem = error
    lines, words = _words(path)
    if words is not None:
        try:
            return _parse_libsvm(io.BytesIO(b"".join(lines)))[0], np.array(words)
        except (ValueError, OverflowError) as error:
            problem = error
    text = str(problem).replace("b'", "'").removesuffix(".")
    raise CommandError(f"{path}, line {_first_bad_line(lines)}: {text}; expected LibSVM text: LABEL INDEX:VALUE ...")


def _words(path: Path) -> tuple[list[bytes], list[str] | None]:
    """The lines and, if all labels are words, these, with 0 in their places: scikit-learn reads numbers alone."""
    with unpacked(path) as file:
        lines = file.readlines()
    numbered, words = [], []
    for line in lines:
        if not line.partition(b"#")[0].strip():
            numbered.append(b"\n")
            continue
        label = _WORD.match(line)
        if label is None:
            return lines, None
        words.append(label[1].decode(errors="replace"))
        numbered.append(b"0" + line[label.end() :])
    return numbered, words


def _first_entry(matrix: Any, chosen: Array) -> tuple[int, int]:
    """The row, from 1, and the index of the first entry of those chosen."""
    position = int(chosen.argmax())
    return int(np.searchsorted(matrix.indptr, position, side="right")), int(matrix.indices[position])


def _entries(matrix: Any, chosen: Array) -> Any:
    """The matrix without the other entries."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    ends = np.concatenate([[0], np.cumsum(chosen)])
    return csr_matrix((matrix.data[chosen], matrix.indices[chosen], ends[matrix.indptr]), shape=matrix.shape)


def _parse_libsvm(file: BinaryIO) -> tuple[Any, Array]:
    from sklearn.datasets import load_svmlight_file  # noqa: PLC0415

    matrix, labels = load_svmlight_file(file, zero_based=True)
    return matrix, labels


def _first_bad_line(lines: list[bytes]) -> int:
    """The number of the first line that does not parse; scikit-learn does not say."""
    good, end = 0, len(lines)  # those before `good` parse; one of those before `end` does not
    while end - good > 1:
        middle = (good + end) // 2
        try:
            _parse_libsvm(io.BytesIO(b"".join(lines[good:middle])))
            good = middle
        except (ValueError, OverflowError):
            end = middle
    return good + 1


def mapped(path: Path) -> Array:
    """The array of a .npy file, in place; ValueError or EOFError if it is damaged, or tells of more than it holds."""
    with open(path, "rb") as file:
        _check_header(file, path.stat().st_size)
    return np.lib.format.open_memmap(path, mode="r")


def _check_header(file: IO[bytes], size: int) -> None:
    """Refuse a header of more than there is, before memory is taken for it."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"its header tells of {shape} values of {dtype}, more than there are")


def _mapped(path: Path) -> Array:
    try:
        return mapped(path)
    except _DAMAGE:
        raise CommandError(_damaged(path, "npy")) from None


def _damaged(path: Path, kind: str) -> str:
    return f"{path} is not .{kind}, is damaged, or holds Python objects, which are never loaded"


def _matrix(array: Array, name: str) -> Array:
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise CommandError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected two axes, rows and features, of real "
            "numbers"
        )
    # What the fit takes stays where it is, in the file.
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _vector(array: Array, name: str) -> Array:
    if array.ndim != 1 or array.dtype.kind not in "biufU":
        raise CommandError(
            f"{name} has shape {array.shape} and dtype {array.dtype}; expected one axis of labels, integers or text"
        )
    return whole_labels(np.array(array), name)


def _label_file(target: str) -> Array:
    path = Path(target)
    if not path.is_file():
        raise CommandError(f"--target {target}: there is no such file")
    return _vector(_mapped(path), target)


def _check_finite(features: Any, path: Path) -> None:
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
                f"{path}, data row {start + row + 1}, column {column} holds {block[row, column]}; expected finite "
                "numbers; drop such rows, or fill them in"
            )
