"""The first pass of a fit: what the parts of a table hold, and what follows for all of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._dask._cluster import errors_of
from softgrad.cli._errors import CommandError
from softgrad.cli._model_rows import RowReader
from softgrad.cli._tables._column_facts import column_facts, merged_encoding
from softgrad.cli._tables._column_names import name_list
from softgrad.cli._tables._misreading_warnings import label_case_warnings
from softgrad.cli._training_data import read_labelled_table

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.cli._dask._cluster import PartedTable
    from softgrad.cli._fitting import FitRows
    from softgrad.cli._tables._column_facts import ColumnFacts
    from softgrad.cli._tables._file_part import FilePart
    from softgrad.cli._training_data import HeldOut


class PartFacts(NamedTuple):
    """What a part holds."""

    part: FilePart
    columns: list[ColumnFacts] | None
    """None for an array."""
    features: int
    dtype: np.dtype[Any]
    """Of an array's features."""
    target: str | None
    text: list[str]
    """Columns of --text."""
    kind: str
    """The dtype kind of the labels."""
    training: dict[Any, int]
    """Number of training rows of each label."""
    held_out: dict[Any, int]
    warnings: list[str]
    unmatched: frozenset[str]
    """Values of --na that no field held."""


class Description(NamedTuple):
    """What all parts hold."""

    reader: RowReader
    dtype: np.dtype[Any]
    lengths: list[int]
    """Number of training rows of each part."""
    training: int
    held_out: int
    warnings: list[str]


def describe(table: PartedTable, plan: FitRows) -> Description:
    """Find the columns, categories, fills and classes of a table."""
    if plan.columns.fill == "median":
        raise CommandError("--missing median needs all values at once; with --dask write --missing mean")
    found = table.map("describing", _describe_part, plan)
    if len({_family(part.kind) for part in found}) > 1:
        plan = plan._replace(columns=plan.columns._replace(text_label=True))
        found = table.map("describing, with labels as text", _describe_part, plan)
    first = found[0]
    for part in found[1:]:
        _check_same_columns(part, first)
    training, held_out = (Counter[Any]() for _ in range(2))
    for part in found:
        training.update(part.training)
        held_out.update(part.held_out)
    _check_classes(training, held_out, plan.held_out)
    classes = np.array(sorted(training))
    encoding = None
    features = first.features
    if first.columns is not None:
        columns = [part.columns or [] for part in found]
        encoding = merged_encoding(columns, plan.columns.fill, plan.reading, first.text)
        features = sum(len(column.features) for column in encoding.columns)
    unmatched = frozenset.intersection(*(part.unmatched for part in found))
    warnings = [
        *dict.fromkeys(warning for part in found for warning in part.warnings),
        *(f"--na {text!r} matched no field" for text in plan.reading.missing if text in unmatched),
        *label_case_warnings(classes),
    ]
    return Description(
        RowReader(encoding, first.target, None, features, classes),
        np.result_type(*{part.dtype for part in found}),
        [sum(part.training.values()) for part in found],
        training.total(),
        held_out.total(),
        warnings,
    )


def _describe_part(plan: FitRows, part: FilePart) -> PartFacts:
    """Read a part and return what it holds."""
    with errors_of(part):
        table = read_labelled_table(part.path, plan.target, plan.columns, plan.reading, part)
        named = hasattr(table.features, "iloc")
        training = ~held_out_mask(plan.held_out, part, len(table.labels))
        columns = column_facts(table.features, training, plan.columns.fill, part.path) if named else None
    return PartFacts(
        part,
        columns,
        table.features.shape[1],
        np.dtype(np.float64) if named else table.features.dtype,
        table.target,
        table.text,
        table.labels.dtype.kind,
        _counts(table.labels[training]),
        _counts(table.labels[~training]),
        table.warnings,
        frozenset(table.unmatched),
    )


def held_out_mask(how: HeldOut, part: FilePart, rows: int) -> Array:
    """Return which rows of a part are held out: a random choice that depends on the number of a row only."""
    from softgrad.linear_model._problem._sampling import sampling_keys  # noqa: PLC0415

    numbers = np.arange(part.first_number, part.first_number + rows, dtype=np.uint64)
    keys = sampling_keys(numbers ^ sampling_keys(np.array([how.seed])))
    mask: Array = keys.astype(np.float64) < how.fraction * 2.0**64
    return mask


def _family(kind: str) -> str:
    return {"i": "integers", "u": "integers", "b": "booleans"}.get(kind, "text")


def _counts(labels: Array) -> dict[Any, int]:
    values, counts = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _check_same_columns(part: PartFacts, first: PartFacts) -> None:
    here, there = part.part.path, first.part.path
    if (part.columns is None) != (first.columns is None):
        named, other = (here, there) if first.columns is None else (there, here)
        raise CommandError(f"{named} has named columns and {other} has none; expected files of one format")
    if part.target != first.target:
        raise CommandError(
            f"--target is column {part.target!r} in {here}, and {first.target!r} in {there}; write its name"
        )
    if part.columns is None or first.columns is None:
        if part.features != first.features:
            raise CommandError(f"{here} has {part.features} features and {there} {first.features}; expected the same")
        return
    names, expected = ([column.name for column in facts] for facts in (part.columns, first.columns))
    for have, lack, other, path in ((expected, names, there, here), (names, expected, here, there)):
        absent = sorted(set(have) - set(lack))
        if absent:
            raise CommandError(
                f"{path} lacks columns of {other}: {name_list([repr(name) for name in absent])}; expected the same "
                "columns in all files; write --drop COLUMN where it is not a feature"
            )


def _check_classes(training: Counter[Any], held_out: Counter[Any], how: HeldOut) -> None:
    if not training:
        raise CommandError(f"--test-fraction {how.fraction} leaves no row to train on; write a smaller fraction")
    untrained = sorted(set(held_out) - set(training))
    if untrained:
        raise CommandError(
            f"--test-fraction {how.fraction} leaves class {untrained[0]!r} no row to train on; write another --seed or "
            "a smaller fraction"
        )
    if how.fraction and not held_out:
        raise CommandError(
            f"--test-fraction {how.fraction} holds out none of {training.total()} rows; write a larger fraction, or 0"
        )
