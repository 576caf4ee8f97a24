"""A saved model with the encoding of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._array_table import read_array
from softgrad.cli._tables._column_names import find_column, name_list
from softgrad.cli._tables._feature_encoding import ColumnEncoding, FeatureEncoding
from softgrad.cli._tables._file_format import detect_format
from softgrad.cli._tables._labels import column_labels, stripped_labels
from softgrad.cli._tables._named_table import read_named_table
from softgrad.cli._tables._read_options import NAMED_COLUMN_FORMATS, ReadOptions
from softgrad.cli._tables._table_record import check_table_record
from softgrad.cli._tables._typed_columns import as_text, typed_columns
from softgrad.cli._terminal import say

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from softgrad._typing import Array
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

    def read(
        self, table: Path, options: ReadOptions | None = None, *, target: str | None = None, labels: bool
    ) -> tuple[Any, Array | None]:
        """Read a table as features of the model and, on request, labels.

        Warnings, such as of values filled in, are printed to stderr.

        Parameters
        ----------
        table : Path
            A file of any format. Named columns may be in any order and need not be the only ones; columns of arrays
            are used as they are.
        options : ReadOptions, optional
            How to read it. Unless the options say otherwise, values are written as in the training table.
        target : str, optional
            Where the labels are, if not where they were in the training table.
        labels : bool
            Whether to return labels; otherwise the table need not have them.
        """
        options = options or ReadOptions()
        file_format = detect_format(table, options)
        if file_format in NAMED_COLUMN_FORMATS:
            return self._read_named(table, options, target, labels)
        if self.encoding is not None and self.encoding.text:
            raise CommandError(
                f"{table} has no column names; the model was fitted to text in column "
                f"{self.encoding.text[0]!r}; expected CSV, TSV or Parquet"
            )
        # Only .npy needs the position of the label column; the other formats say where the labels are.
        if target is None and self.encoding is None and file_format == "npy":
            target = self.target
        features = self.model.n_features_in_
        found = read_array(table, target, options, features=features, first_index=self.first_index)
        _print_warnings(found.warnings)
        if labels and found.labels is None:
            raise CommandError(f"{table} has no labels; write --target with a .npy file of labels")
        y = stripped_labels(found.labels)[0] if labels and found.labels is not None else None
        return self._with_names(found.features), y

    def _read_named(
        self, path: Path, options: ReadOptions, target: str | None, labels: bool
    ) -> tuple[pd.DataFrame, Array | None]:
        encoding = self.encoding
        if encoding is None:
            raise CommandError(
                f"{path} has named columns; the model was fitted to an array of {self.model.n_features_in_} columns; "
                "expected .npy, .npz or LibSVM text"
            )
        wanted = target or self.target
        if labels and wanted is None:
            raise CommandError("--target is missing: the model does not know the label column")
        options = options.completed_by(encoding.reading)
        table = read_named_table(path, options, text=encoding.text, verbatim=encoding.verbatim)
        # A model fitted in Python may have column names with blanks around them.
        given = {column.name.strip(): column.name for column in encoding.columns}
        frame = table.frame.rename(columns={name: given.get(name, name) for name in table.frame.columns})
        names = [str(name) for name in frame.columns]
        absent = [column.name for column in encoding.columns if column.name not in frame]
        if absent:
            raise CommandError(
                f"{path} lacks columns of the model: {name_list([repr(name) for name in absent])}; its columns: "
                f"{name_list(names)}"
            )
        chosen = frame[[column.name for column in encoding.columns]]
        rows = typed_columns(chosen, text=encoding.text, declared=True)
        features = encoding.transform(rows)
        _print_warnings([*table.warnings, *encoding.warnings(rows)])
        if not labels:
            return features, None
        label = find_column(str(wanted), names, path, "--target")
        if self.model.classes_.dtype.kind != "U":
            return features, column_labels(frame[label])
        # As text, because labels may look like numbers, such as 01; and a value of --na that is a class is not missing.
        known = [label] if set(options.missing) & set(self.model.classes_.tolist()) else []
        if known or frame[label].dtype.kind != "O":
            frame = read_named_table(path, options, text=[label], verbatim=known).frame
        return features, column_labels(as_text(frame[label]))

    def _with_names(self, features: Any) -> Any:
        """Give an array the column names of the model."""
        if self.encoding is None:
            return features
        import pandas as pd  # noqa: PLC0415

        dense = features if isinstance(features, np.ndarray) else features.toarray()
        return pd.DataFrame(dense, columns=[column.name for column in self.encoding.columns], copy=False)


def _print_warnings(warnings: list[str]) -> None:
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
