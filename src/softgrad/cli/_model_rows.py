"""Reading the rows of a table as a model takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._array_table import read_array
from softgrad.cli._tables._column_names import find_column, find_columns, name_list
from softgrad.cli._tables._file_format import detect_format
from softgrad.cli._tables._labels import column_labels, stripped_labels
from softgrad.cli._tables._named_table import read_named_table
from softgrad.cli._tables._read_options import NAMED_COLUMN_FORMATS, TEXT_FORMATS, ReadOptions
from softgrad.cli._tables._typed_columns import as_text, typed_columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from softgrad._typing import Array
    from softgrad.cli._tables._feature_encoding import FeatureEncoding, Substitutions
    from softgrad.cli._tables._file_part import FilePart


class ModelRows(NamedTuple):
    """Rows as a model takes them."""

    features: Any
    labels: Array | None
    warnings: list[str]
    """Notes on how the table was read."""
    substitutions: dict[str, Substitutions]
    kept: pd.DataFrame | None = None
    """Columns of the table beside the features, on request; those of text files are text."""


class RowReader(NamedTuple):
    """Where the features and labels of a model are in a table, and how they are encoded."""

    encoding: FeatureEncoding | None
    """Encoding of the named columns; None for a model fitted to an array."""
    target: str | None
    """Name of the label column, or its position in an array; None if the labels were stored apart."""
    first_index: int | None
    """0 or 1, where LibSVM text starts to count columns; None for other formats."""
    features: int
    """Number of features."""
    classes: Array

    def read(
        self,
        table: Path,
        options: ReadOptions | None = None,
        *,
        target: str | None = None,
        labels: bool,
        part: FilePart | None = None,
        keep: Sequence[str] = (),
    ) -> ModelRows:
        """Read a table as features of the model and, on request, labels and other columns.

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
        part : FilePart, optional
            The rows of the file to read.
        keep : sequence of str
            Columns to return as they are, as `find_columns` takes them.
        """
        options = options or ReadOptions()
        file_format = detect_format(table, options)
        if file_format in NAMED_COLUMN_FORMATS:
            return self._read_named(table, options, target, labels, part, keep)
        if keep:
            raise CommandError(f"--keep {','.join(keep)} is for CSV, TSV and Parquet; {table} has no named columns")
        if self.encoding is not None and self.encoding.text:
            raise CommandError(
                f"{table} has no column names; the model was fitted to text in column "
                f"{self.encoding.text[0]!r}; expected CSV, TSV or Parquet"
            )
        # Only .npy needs the position of the label column; the other formats say where the labels are.
        if target is None and self.encoding is None and file_format == "npy":
            target = self.target
        found = read_array(table, target, options, features=self.features, first_index=self.first_index, part=part)
        if labels and found.labels is None:
            raise CommandError(f"{table} has no labels; write --target with a .npy file of labels")
        y = stripped_labels(found.labels)[0] if labels and found.labels is not None else None
        return ModelRows(self._with_names(found.features), y, found.warnings, {})

    def _read_named(
        self,
        path: Path,
        options: ReadOptions,
        target: str | None,
        labels: bool,
        part: FilePart | None,
        keep: Sequence[str],
    ) -> ModelRows:
        encoding = self.encoding
        if encoding is None:
            raise CommandError(
                f"{path} has named columns; the model was fitted to an array of {self.features} columns; "
                "expected .npy, .npz or LibSVM text"
            )
        wanted = target or self.target
        if labels and wanted is None:
            raise CommandError("--target is missing: the model does not know the label column")
        options = options.completed_by(encoding.reading)
        table = read_named_table(path, options, text=encoding.text, verbatim=encoding.verbatim, part=part)
        kept = _kept_columns(path, options, table.frame, keep, part) if keep else None
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
        substitutions = encoding.substitutions(rows, None if part is None else path)
        y = None
        if labels:
            label = find_column(str(wanted), names, path, "--target")
            y = self._labels(path, options, frame, label, part)
        return ModelRows(features, y, table.warnings, substitutions, kept)

    def _labels(
        self, path: Path, options: ReadOptions, frame: pd.DataFrame, label: str, part: FilePart | None
    ) -> Array:
        if self.classes.dtype.kind != "U":
            return column_labels(frame[label])
        # As text, because labels may look like numbers, such as 01; and a value of --na that is a class is not missing.
        known = [label] if set(options.missing) & set(self.classes.tolist()) else []
        if known or frame[label].dtype.kind != "O":
            frame = read_named_table(path, options, text=[label], verbatim=known, part=part).frame
        return column_labels(as_text(frame[label]))

    def _with_names(self, features: Any) -> Any:
        """Give an array the column names of the model."""
        if self.encoding is None:
            return features
        import pandas as pd  # noqa: PLC0415

        dense = features if isinstance(features, np.ndarray) else features.toarray()
        return pd.DataFrame(dense, columns=[column.name for column in self.encoding.columns], copy=False)


def _kept_columns(
    path: Path, options: ReadOptions, frame: pd.DataFrame, keep: Sequence[str], part: FilePart | None
) -> pd.DataFrame:
    """Return columns as the file has them: 007 and NA of CSV stay what they are."""
    names = find_columns(keep, list(map(str, frame.columns)), path, "--keep")
    if detect_format(path, options) in TEXT_FORMATS or options.missing:
        frame = read_named_table(path, options, text=names, verbatim=names, part=part).frame
    return frame[names]
