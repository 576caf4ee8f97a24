"""Reading LibSVM text."""

from __future__ import annotations

import codecs
import io
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._decompression import check_text_size, open_decompressed
from softgrad.cli._tables._labels import whole_labels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from softgrad._typing import Array

MOST_FEATURES = 10**7  # the rows are sparse, but every class has a coefficient for each
_WORD = re.compile(rb"\s*([A-Za-z_\x80-\xff][^\s:#]*)(?=\s|$)")


def read_libsvm(
    path: Path, features: int | None = None, first_index: int | None = None
) -> tuple[Any, Array, int, list[str]]:
    """Read sparse rows, labels, the first index and warnings; `features` and `first_index` are those of a model."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    matrix, labels = _parse_file(path)
    # The format does not say where indices start. A file without index 0 counts from 1, as LibSVM does.
    least = int(matrix.indices.min()) if matrix.nnz else 1
    first = min(least, 1) if first_index is None else first_index
    if least < first:
        row, _ = _first_entry(matrix, matrix.indices == 0)
        raise CommandError(
            f"{path}, data row {row}: index 0; the model counts columns from 1, because no training row has index 0; "
            "add 1 to every index, or if both tables count from 0, add 0:0 to a row and fit again"
        )
    warnings = []
    if features is None:
        features = int(matrix.indices.max()) + 1 - first if matrix.nnz else 0
        if features > MOST_FEATURES:
            row, index = _first_entry(matrix, matrix.indices >= MOST_FEATURES + first)
            raise CommandError(
                f"{path}, data row {row}: index {index}; expected at most {MOST_FEATURES - 1 + first}, because "
                "every class has a coefficient for each index up to the largest; renumber the features without gaps"
            )
    else:
        unseen = matrix.indices >= features + first
        if unseen.any():
            row, index = _first_entry(matrix, unseen)
            warnings.append(
                f"{unseen.sum()} of {matrix.nnz} values ignored, because the model knows indices {first} to "
                f"{features - 1 + first} only; the first one is index {index} in data row {row}"
            )
            matrix = _entries(matrix, ~unseen)
    shifted = csr_matrix((matrix.data, matrix.indices - first, matrix.indptr), shape=(matrix.shape[0], features))
    return shifted, whole_labels(labels, f"{path}, label"), first, warnings


def _parse_file(path: Path) -> tuple[Any, Array]:
    check_text_size(path)
    try:
        with _open_text(path) as file:
            return _parse(file)
    except (ValueError, OverflowError) as error:
        problem = error
    lines, words = _words(path)
    if words is not None:
        try:
            return _parse(io.BytesIO(b"".join(lines)))[0], np.array(words)
        except (ValueError, OverflowError) as error:
            problem = error
    text = str(problem).replace("b'", "'").removesuffix(".")
    raise CommandError(f"{path}, line {_first_bad_line(lines)}: {text}; expected LibSVM text: LABEL INDEX:VALUE ...")


@contextmanager
def _open_text(path: Path) -> Iterator[BinaryIO]:
    """Open a file behind its byte order mark, which scikit-learn would read as a part of the first label."""
    with open_decompressed(path) as file:
        if file.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
            file.read(len(codecs.BOM_UTF8))
        yield file


def _words(path: Path) -> tuple[list[bytes], list[str] | None]:
    """Return the lines and, if all labels are words, the words, replaced by 0 in the lines for scikit-learn."""
    with _open_text(path) as file:
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
    """Return the row, counted from 1, and the index of the first chosen entry."""
    position = int(chosen.argmax())
    return int(np.searchsorted(matrix.indptr, position, side="right")), int(matrix.indices[position])


def _entries(matrix: Any, chosen: Array) -> Any:
    """Return the matrix with the chosen entries only."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    ends = np.concatenate([[0], np.cumsum(chosen)])
    return csr_matrix((matrix.data[chosen], matrix.indices[chosen], ends[matrix.indptr]), shape=matrix.shape)


def _parse(file: BinaryIO) -> tuple[Any, Array]:
    from sklearn.datasets import load_svmlight_file  # noqa: PLC0415

    matrix, labels = load_svmlight_file(file, zero_based=True)
    return matrix, labels


def _first_bad_line(lines: list[bytes]) -> int:
    """Return the number of the first line that does not parse, by bisection; scikit-learn does not report it."""
    good, end = 0, len(lines)  # lines before `good` parse; one before `end` does not
    while end - good > 1:
        middle = (good + end) // 2
        try:
            _parse(io.BytesIO(b"".join(lines[good:middle])))
            good = middle
        except (ValueError, OverflowError):
            end = middle
    return good + 1
