"""From partitions to the rows of a fit: blocks are made and compared, and rules for all of them follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from dask import delayed

from softgrad.dask._blocks import FitRules, facts_of, make_block
from softgrad.dask._partitioned_rows import PartitionedRows
from softgrad.linear_model._problem._targets import FitClasses, check_largest_weight, fit_classes
from softgrad.linear_model._problem._tree_sum import rows_in_leaf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from softgrad._loss_spec import LossSpec
    from softgrad._typing import Array
    from softgrad.dask._blocks import Facts
    from softgrad.dask._cluster import Cluster


class FitRows(NamedTuple):
    """The rows of a fit, and the names of their classes and columns."""

    rows: PartitionedRows
    classes: Array
    columns: int
    column_names: Array | None
    used: Array | None  # the columns in `rows`, if not all
    blocks: int
    bytes: int


def fit_rows(
    cluster: Cluster, partitions: Sequence[tuple[Any, Any, Any]], class_weight: Any, spec: LossSpec, estimator: str
) -> FitRows:
    """Make a block of every partition, and return the rows of all."""
    make = delayed(make_block, pure=True)
    futures = cluster.compute([make(i, *parts, estimator) for i, parts in enumerate(partitions)])
    found = cluster.gather([cluster.submit(facts_of, future) for future in futures])
    blocks = [future for future, facts in zip(futures, found, strict=True) if facts is not None]
    facts = [block for block in found if block is not None]
    if not facts:
        raise ValueError(f"Found array with 0 sample(s) in {len(found)} partitions; a minimum of 1 is required")
    _check_alike(facts)
    check_largest_weight(max(block.heaviest for block in facts))
    names = _names(facts)
    is_present = np.zeros(len(names), bool)
    for block in facts:
        is_present[np.searchsorted(names, block.names)] |= block.is_present
    # Whether a class has weight needs no sums; only "balanced" weights do.
    balanced = isinstance(class_weight, str)
    has_labels = facts[0].has_labels
    classes = fit_classes(names, is_present.astype(float), None if balanced else class_weight, spec, has_labels)
    used = _used_columns(facts)
    columns = facts[0].columns
    shape = sum(block.rows for block in facts), columns if used is None else max(len(used), 1)
    leaf_rows = rows_in_leaf(shape, sum(block.elements for block in facts), len(classes.classes))
    dtype = np.result_type(*{block.dtype for block in facts})
    rules = FitRules(classes, spec, dtype, used, leaf_rows)
    if balanced:
        unweighted = rules._replace(classes=FitClasses(names, names, np.arange(len(names)), np.ones(len(names))))
        masses = PartitionedRows(cluster, blocks, facts, unweighted).totals.by_class
        rules = rules._replace(classes=fit_classes(names, masses, class_weight, spec, has_labels))
    return FitRows(
        PartitionedRows(cluster, blocks, facts, rules),
        rules.classes.classes,
        columns,
        None if facts[0].column_names is None else np.array(facts[0].column_names, object),
        used,
        len(facts),
        sum(block.bytes for block in facts),
    )


def _check_alike(facts: Sequence[Facts]) -> None:
    first = facts[0]
    for block in facts[1:]:
        here, there = f"partition {block.partition}", f"partition {first.partition}"
        if block.columns != first.columns:
            raise ValueError(
                f"X of {here} has {block.columns} columns, and of {there} {first.columns}; expected the same in all"
            )
        if block.column_names != first.column_names:
            raise ValueError(
                f"X of {here} has the columns {block.column_names}, and of {there} {first.column_names}; expected the "
                "same in all, in one order"
            )
        if block.is_sparse != first.is_sparse:
            sparse, dense = (here, there) if block.is_sparse else (there, here)
            raise TypeError(f"X of {sparse} is sparse, and of {dense} dense; expected one of the two in all partitions")
        if block.has_labels != first.has_labels:
            labels, other = (here, there) if block.has_labels else (there, here)
            raise ValueError(f"y of {labels} holds labels, and of {other} class probabilities; expected one kind")
        if not first.has_labels and block.names.tolist() != first.names.tolist():
            raise ValueError(
                f"y of {here} has the columns {block.names.tolist()}, and of {there} {first.names.tolist()}; expected "
                "the same in all"
            )


def _names(facts: Sequence[Facts]) -> Array:
    """Return the sorted labels of all blocks, which must be of one kind."""
    if not facts[0].has_labels:
        return facts[0].names
    kinds: dict[str, int] = {}
    for block in facts:
        kinds.setdefault(_kind(block.names), block.partition)
    if len(kinds) > 1:
        listed = ", ".join(f"{kind} (first in partition {partition})" for kind, partition in kinds.items())
        raise TypeError(f"y holds labels of different kinds: {listed}; expected one; write y = y.astype(str)")
    return np.unique(np.concatenate([block.names for block in facts]))


def _kind(names: Array) -> str:
    if names.dtype.kind == "O":
        return "text" if isinstance(names[0], str) else type(names[0]).__name__
    return {"b": "booleans", "U": "text", "T": "text"}.get(names.dtype.kind, "numbers")


def _used_columns(facts: Sequence[Facts]) -> Array | None:
    """As `_sparse_rows.used_columns`, for the columns that have entries in any block."""
    masks = [block.used for block in facts if block.used is not None]
    if not masks:
        return None
    used = np.flatnonzero(np.logical_or.reduce(masks))
    return used if 2 * len(used) < facts[0].columns else None
