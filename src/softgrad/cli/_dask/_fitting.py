"""Fitting a model to a table of several files on a cluster, and measuring it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.cli._class_factors import class_factors
from softgrad.cli._dask._cluster import PartedTable, absolute_target, errors_of, parted_table
from softgrad.cli._dask._description import Description, describe, held_out_mask
from softgrad.cli._dask._evaluation import sums_of_rows
from softgrad.cli._fitting import FitRows, Fitted, fit_warnings
from softgrad.cli._metrics import Sums, figures
from softgrad.cli._saved_model import SavedModel
from softgrad.cli._tables._feature_encoding import merged_substitutions

if TYPE_CHECKING:
    from softgrad._typing import Array
    from softgrad.cli._model_rows import ModelRows, RowReader
    from softgrad.cli._progress import FitProgress
    from softgrad.cli._tables._feature_encoding import Substitutions
    from softgrad.cli._tables._file_part import FilePart
    from softgrad.linear_model import Iteration, SoftmaxRegression

_MEGABYTE = 1e6


def fit_parts(rows: FitRows, options: dict[str, Any], address: str, progress: FitProgress) -> Fitted:
    """Fit a model to a table that is read in parts, on the cluster at an address or one on this machine."""
    rows = rows._replace(target=absolute_target(rows.target))
    with parted_table(rows.table, rows.reading, address, progress) as table:
        found = describe(table, rows)
        start = time.perf_counter()
        with fit_warnings() as messages:
            model = _fit(table, rows, found, options, progress)
        seconds = time.perf_counter() - start
        context = rows, found.reader._replace(classes=model.classes_), model
        measured = table.map("measuring", _measure_part, context)
    training, held_out, substitutions = zip(*measured, strict=True)
    sums = [sum(parts[1:], parts[0]) for parts in (training, held_out)]
    encoding = found.reader.encoding
    filled = [] if encoding is None else encoding.describe(merged_substitutions(substitutions))
    return Fitted(
        SavedModel(model, encoding, found.reader.target, found.reader.first_index),
        figures(sums[0], model.classes_),
        figures(sums[1], model.classes_) if sums[1].rows else None,
        None,
        seconds,
        [*found.warnings, *filled, *messages],
    )


def _fit(
    table: PartedTable, rows: FitRows, found: Description, options: dict[str, Any], progress: FitProgress
) -> SoftmaxRegression:
    progress.stage("fitting")
    labels = found.reader.classes[:0]
    none: Any = np.empty((0, found.reader.features), found.dtype)
    if found.reader.encoding is not None:
        import pandas as pd  # noqa: PLC0415

        names = [name for column in found.reader.encoding.columns for name in column.features]
        none = pd.DataFrame(none, columns=names)
    x, y = table.tasks.collections(_training_rows, (rows, found.reader), table.parts, found.lengths, (none, labels))
    class_weight = class_factors(options["class_weight"], found.reader.classes)
    model = table.tasks.model(**{**options, "class_weight": class_weight})

    def report(iteration: Iteration) -> None:
        workers = table.tasks.workers
        size = model.n_bytes_ / _MEGABYTE
        progress.iteration(iteration, f" of {size:,.0f} MB on {workers} worker{'s' * (workers != 1)}")

    model.fit(x, y, on_iteration=report)
    local: SoftmaxRegression = model.to_local()
    return local


def _training_rows(context: tuple[FitRows, RowReader], part: FilePart) -> tuple[Any, Array]:
    """Return features and labels of the training rows of a part."""
    rows, reader = context
    read, held_out = _read(rows, reader, part)
    x, y = read.features, np.asarray(read.labels)
    if not held_out.any():
        return x, y
    return x[~held_out], y[~held_out]


def _measure_part(
    context: tuple[FitRows, RowReader, SoftmaxRegression], part: FilePart
) -> tuple[Sums, Sums, dict[str, Substitutions]]:
    """Return the sums over the training rows and over the held-out rows of a part."""
    rows, reader, model = context
    read, held_out = _read(rows, reader, part)
    x, classes = read.features, np.searchsorted(model.classes_, np.asarray(read.labels))
    with errors_of(part):
        training, testing = (sums_of_rows(model, x[mask], classes[mask]) for mask in (~held_out, held_out))
    return training, testing, read.substitutions


def _read(rows: FitRows, reader: RowReader, part: FilePart) -> tuple[ModelRows, Array]:
    with errors_of(part):
        read = reader.read(part.path, rows.reading, target=rows.target, labels=True, part=part)
    return read, held_out_mask(rows.held_out, part, len(read.features))
