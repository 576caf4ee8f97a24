"""A block: the rows of one partition, checked and encoded on a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, issparse
from sklearn.base import BaseEstimator

from softgrad.dask._storage import store
from softgrad.linear_model._problem._design_matrix import validate_rows
from softgrad.linear_model._problem._rows import LocalRows
from softgrad.linear_model._problem._sparse_rows import select_columns
from softgrad.linear_model._problem._targets import EncodedTarget, convert_sample_weight, encode_target

if TYPE_CHECKING:
    from softgrad._loss_spec import LossSpec
    from softgrad._typing import Array
    from softgrad.linear_model._problem._targets import FitClasses


class Facts(NamedTuple):
    """A block as the client needs to know it."""

    partition: int
    rows: int
    columns: int
    column_names: list[str] | None
    dtype: np.dtype[Any]
    is_sparse: bool
    elements: int
    bytes: int
    used: Array | None  # of sparse rows: whether a column has entries
    has_labels: bool  # rather than class probabilities
    names: Array  # the labels, or the columns of the probabilities
    is_present: Array  # for each name, whether a row of positive weight has it
    heaviest: float  # the largest weight of a row


class FitRules(NamedTuple):
    """What makes the rows of every block the rows of one fit."""

    classes: FitClasses
    spec: LossSpec
    dtype: np.dtype[Any]
    used: Array | None  # the columns of the fit; None for all
    leaf_rows: int


class Block:
    """The rows of one partition with their targets and weights."""

    def __init__(self, partition: int, x: Any, y: EncodedTarget, weight: Array | None, column_names: Any) -> None:
        arrays = {"data": x.data, "indices": x.indices, "starts": x.indptr} if issparse(x) else {"x": x}
        targets = {"codes": y.codes, "probabilities": y.probabilities, "weight": weight}
        arrays |= {name: array for name, array in targets.items() if array is not None}
        self.shape: tuple[int, int] = x.shape
        self._names = y.names
        self._arrays = store(arrays)
        weight = np.ones(x.shape[0]) if weight is None else weight
        used = None
        if issparse(x):
            used = np.zeros(x.shape[1], bool)
            used[x.indices] = True
        self.facts = Facts(
            partition=partition,
            rows=x.shape[0],
            columns=x.shape[1],
            column_names=column_names,
            dtype=x.dtype,
            is_sparse=used is not None,
            elements=x.nnz if issparse(x) else x.size,
            bytes=sum(array.nbytes for array in arrays.values()),
            used=used,
            has_labels=y.codes is not None,
            names=y.names,
            is_present=y.masses((weight > 0).astype(float)) > 0,
            heaviest=weight.max(),
        )

    @property
    def is_stored(self) -> bool:
        """Whether the rows are in a file."""
        return self._arrays.is_stored

    def rows(self, part: slice, rules: FitRules) -> LocalRows:
        """Return some of the rows as rows of the fit."""
        arrays = self._arrays.read()
        y = EncodedTarget(self._names, arrays.get("codes"), arrays.get("probabilities")).part(part)
        weight = arrays["weight"][part] if "weight" in arrays else np.ones(part.stop - part.start)
        x = arrays["x"][part] if "x" in arrays else _csr_rows(arrays, part, self.shape[1])
        if rules.used is not None:
            x = select_columns(x, rules.used)
        x = x.astype(rules.dtype, copy=False)
        return LocalRows(x, rules.classes.targets(y, weight), rules.spec, rules.leaf_rows)

    def __sizeof__(self) -> int:
        """Return the size by which Dask judges a worker's memory."""
        return self._arrays.__sizeof__()


def make_block(partition: int, X: Any, y: Any, sample_weight: Any, estimator: str) -> Block | None:
    """Return the rows of a partition, or None if it has none; an error names the partition."""
    if not X.shape[0]:
        return None
    try:
        checked = BaseEstimator()
        x = validate_rows(checked, X, reset=True)
        encoded = encode_target(y, x.shape[0], estimator, is_part=True)
        weight = None if sample_weight is None else convert_sample_weight(sample_weight, x.shape[0])
    except (ValueError, TypeError) as error:
        raise type(error)(f"partition {partition}: {error}") from None
    names = getattr(checked, "feature_names_in_", None)
    try:
        return Block(partition, x, encoded, weight, None if names is None else names.tolist())
    except OSError as error:
        raise OSError(f"partition {partition}: writing its rows to a file of the worker failed: {error}") from None


def facts_of(block: Block | None) -> Facts | None:
    """Return the facts of a block."""
    return None if block is None else block.facts


def _csr_rows(arrays: dict[str, Array], part: slice, columns: int) -> Any:
    starts = arrays["starts"][part.start : part.stop + 1]
    entries = slice(int(starts[0]), int(starts[-1]))
    shape = part.stop - part.start, columns
    return csr_matrix((arrays["data"][entries], arrays["indices"][entries], starts - starts[0]), shape)
