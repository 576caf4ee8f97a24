"""A saved model with the encoding of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._model_rows import RowReader
from softgrad.cli._tables._feature_encoding import ColumnEncoding, FeatureEncoding
from softgrad.cli._tables._read_options import ReadOptions
from softgrad.cli._tables._table_record import check_table_record
from softgrad.cli._terminal import say

if TYPE_CHECKING:
    from pathlib import Path

    from softgrad.cli._model_rows import ModelRows
    from softgrad.linear_model import SoftmaxRegression


class SavedModel(NamedTuple):
    """A fitted model, and how to turn a table into its features."""

    model: SoftmaxRegression
    encoding: FeatureEncoding | None
    """Encoding of the named columns; None for a model fitted to an array."""
    target: str | None
    """Name of the label column, or its position in an array; None if the labels were stored apart."""
    first_index: int | None = None
    """0 or 1, where LibSVM text starts to count columns; None for other formats."""

    def save(self, path: Path) -> None:
        """Write all of it to one file; if that fails, an existing file is unchanged."""
        from softgrad.linear_model._formats._model_file import save_with_table  # noqa: PLC0415

        table = {
            "encoding": None if self.encoding is None else self.encoding.to_json(),
            "target": self.target,
            "first_index": self.first_index,
        }
        save_with_table(self.model, path, table)

    @property
    def reader(self) -> RowReader:
        """The reader of tables for this model."""
        return RowReader(self.encoding, self.target, self.first_index, self.model.n_features_in_, self.model.classes_)

    @property
    def label_name(self) -> str:
        """The name of a column of predicted labels."""
        return self.target if self.encoding is not None and self.target is not None else "label"

    def read(self, table: Path, options: ReadOptions | None = None, **settings: Any) -> ModelRows:
        """Read rows of a table; parameters are those of `RowReader.read`.

        Warnings, such as of values filled in, are printed to stderr.
        """
        rows = self.reader.read(table, options, **settings)
        substitutions = [] if self.encoding is None else self.encoding.describe(rows.substitutions)
        print_warnings([*rows.warnings, *substitutions])
        return rows


def print_warnings(warnings: list[str]) -> None:
    """Print warnings on stderr."""
    for warning in warnings:
        say(f"warning: {warning}")


def open_model(path: Path) -> SavedModel:
    """Read a model file of `softgrad fit` or `save_model`; a model of the latter has numeric columns only."""
    from softgrad.linear_model._formats._model_file import load_with_table  # noqa: PLC0415

    try:
        model, table = load_with_table(path)
    except ValueError as error:
        raise CommandError(str(error)) from None
    try:
        if table is not None:
            check_table_record(table, getattr(model, "feature_names_in_", np.array([])).tolist())
            record = table["encoding"]
            encoding = None if record is None else FeatureEncoding.from_json(record)
            return SavedModel(model, encoding, table["target"], table["first_index"])
    except KeyError as error:
        raise CommandError(f"{path} cannot be used: its description of tables lacks {error}") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise CommandError(f"{path} cannot be used: {error}, in its description of tables") from None
    if not hasattr(model, "feature_names_in_"):
        return SavedModel(model, None, None)
    columns = tuple(ColumnEncoding(str(name), None, None) for name in model.feature_names_in_)
    return SavedModel(model, FeatureEncoding(columns, ReadOptions()), None)
