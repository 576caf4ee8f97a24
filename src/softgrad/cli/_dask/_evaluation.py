"""Evaluating a model on a table of several files on a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.cli._dask._cluster import absolute_target, errors_of, parted_table
from softgrad.cli._metrics import Evaluation, Sums, figures, sums_of
from softgrad.cli._tables._feature_encoding import merged_substitutions
from softgrad.cli._tables._labels import class_indices

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from softgrad._typing import Array
    from softgrad.cli._progress import FitProgress
    from softgrad.cli._saved_model import SavedModel
    from softgrad.cli._tables._feature_encoding import Substitutions
    from softgrad.cli._tables._file_part import FilePart
    from softgrad.cli._tables._read_options import ReadOptions
    from softgrad.linear_model import SoftmaxRegression


def evaluate_parts(
    saved: SavedModel, table: Path, reading: ReadOptions, target: str | None, address: str, progress: FitProgress
) -> tuple[Evaluation, list[str]]:
    """Evaluate a model on a table that is read in parts; return the figures and warnings."""
    with parted_table(table, reading, address, progress) as parted:
        context = saved, reading, absolute_target(target)
        found = parted.map("evaluating", _evaluate_part, context)
    sums, warnings, substitutions = zip(*found, strict=True)
    return figures(sum(sums[1:], sums[0]), saved.model.classes_), reading_remarks(saved, warnings, substitutions)


def reading_remarks(
    saved: SavedModel, warnings: Iterable[Sequence[str]], substitutions: Iterable[dict[str, Substitutions]]
) -> list[str]:
    """Return the warnings of all parts, and what their encoding replaced."""
    remarks = list(dict.fromkeys(warning for part in warnings for warning in part))
    if saved.encoding is not None:
        remarks += saved.encoding.describe(merged_substitutions(substitutions))
    return remarks


def sums_of_rows(model: SoftmaxRegression, features: Any, classes: Array) -> Sums:
    """Return the sums over rows for an evaluation; there may be none."""
    if not len(classes):
        return sums_of(np.empty((0, len(model.classes_))), classes)
    # Log-probabilities are logits up to a shift of each row, and exact in the tails.
    return sums_of(model.predict_log_proba(features), classes)


def _evaluate_part(
    context: tuple[SavedModel, ReadOptions, str | None], part: FilePart
) -> tuple[Sums, list[str], dict[str, Substitutions]]:
    saved, reading, target = context
    with errors_of(part):
        rows = saved.reader.read(part.path, reading, target=target, labels=True, part=part)
        classes = class_indices(np.asarray(rows.labels), saved.model.classes_, part.path, part.first_row)
        return sums_of_rows(saved.model, rows.features, classes), rows.warnings, rows.substitutions
