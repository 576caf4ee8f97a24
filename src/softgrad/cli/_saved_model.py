"""A saved model with what it takes to apply it to a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._array_table import read_array
from softgrad.cli._tables._clean_fields import stripped_labels
from softgrad.cli._tables._feature_encoding import Column, Encoding
from softgrad.cli._tables._file_format import kind_of
from softgrad.cli._tables._named_table import column_named, labels_of, listing, read_frame
from softgrad.cli._tables._read_options import FRAMES, ReadOptions
from softgrad.cli._tables._table_record import check_table_record
from softgrad.cli._tables._typed_columns import as_text, numbers_and_text
from softgrad.cli._terminal import say

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from softgrad.linear_model import SoftmaxRegression

    Array = NDArray[Any]


class SavedModel(NamedTuple):
    """A fitted model, and how tables become what it takes."""

    model: SoftmaxRegression
    encoding: Encoding | None
    """Of named columns; None for a model that was fitted to an array."""
    target: str | None
    """The column of labels, by name, or by position in an array; None if they were not in a column."""
    first_index: int | None = None
    """Of LibSVM text: whether it counts columns from 0 or 1."""

    def save(self, path: Path) -> None:
        """Write it all to one file, whole or not at all."""
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
        """Rows as the model takes them, and if asked their labels.

        What the user should know, such as values filled in, goes to stderr.

        Parameters
        ----------
        table : Path
            Of any kind. Named columns may stand in any order, beside others; the columns of arrays are taken as they
            stand.
        options : ReadOptions, optional
            How it is read; values are written as in the table of the fit, unless the options say otherwise.
        target : str, optional
            Where the labels are, if not where they were for the fit.
        labels : bool
            Whether labels are needed; without, the table need not have them.
        """
        options = options or ReadOptions()
        kind = kind_of(table, options)
        if kind in FRAMES:
            return self._read_frame(table, options, target, labels)
        if self.encoding is not None and self.encoding.text:
            raise CommandError(
                f"{table} has columns without names; the model was fitted to text in column "
                f"{self.encoding.text[0]!r}; expected CSV, TSV or Parquet"
            )
        # A label's column is remembered by position in .npy alone; the other kinds say themselves where labels are.
        if target is None and self.encoding is None and kind == "npy":
            target = self.target
        features = self.model.n_features_in_
        found = read_array(table, target, options, features=features, first_index=self.first_index)
        _warn(found.remarks)
        if labels and found.labels is None:
            raise CommandError(f"{table} has no labels; write --target with a .npy file of them")
        y = stripped_labels(found.labels)[0] if labels and found.labels is not None else None
        return self._named(found.features), y

    def _read_frame(
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
            raise CommandError("--target is missing: the model does not say which column holds the labels")
        options = options.of_fit(encoding.reading)
        table = read_frame(path, options, text=encoding.text, verbatim=encoding.verbatim)
        # A model of Python may know its columns by names with blanks around them.
        given = {column.name.strip(): column.name for column in encoding.columns}
        frame = table.frame.rename(columns={name: given.get(name, name) for name in table.frame.columns})
        names = [str(name) for name in frame.columns]
        absent = [column.name for column in encoding.columns if column.name not in frame]
        if absent:
            raise CommandError(
                f"{path} lacks what the model takes: {listing([repr(name) for name in absent])}; its columns: "
                f"{listing(names)}"
            )
        chosen = frame[[column.name for column in encoding.columns]]
        rows = numbers_and_text(chosen, text=encoding.text, declared=True)
        features = encoding.apply(rows)
        _warn([*table.remarks, *encoding.remarks(rows)])
        if not labels:
            return features, None
        label = column_named(str(wanted), names, path, "--target")
        if self.model.classes_.dtype.kind != "U":
            return features, labels_of(frame[label])
        # As text, for labels may all look like numbers, 01 for one; and what is a class is not missing.
        known = [label] if set(options.missing) & set(self.model.classes_.tolist()) else []
        if known or frame[label].dtype.kind != "O":
            frame = read_frame(path, options, text=[label], verbatim=known).frame
        return features, labels_of(as_text(frame[label]))

    def _named(self, features: Any) -> Any:
        """An array under the names that the model knows its columns by."""
        if self.encoding is None:
            return features
        import pandas as pd  # noqa: PLC0415

        dense = features if isinstance(features, np.ndarray) else features.toarray()
        return pd.DataFrame(dense, columns=[column.name for column in self.encoding.columns], copy=False)


def _warn(remarks: list[str]) -> None:
    for remark in remarks:
        say(f"warning: {remark}")


def open_model(path: Path) -> SavedModel:
    """Read a model of `softgrad fit`, or of `save_model`, whose columns are numbers."""
    from softgrad.linear_model._formats._model_file import load_with_table  # noqa: PLC0415

    try:
        model, table = load_with_table(path)
    except ValueError as error:
        raise CommandError(str(error)) from None
    try:
        if table is not None:
            check_table_record(table, getattr(model, "feature_names_in_", np.array([])).tolist())
            record = table["encoding"]
            encoding = None if record is None else Encoding.from_json(record)
            return SavedModel(model, encoding, table["target"], table["first_index"])
    except KeyError as error:
        raise CommandError(f"{path} cannot be used: its description of tables lacks {error}") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise CommandError(f"{path} cannot be used: {error}, in its description of tables") from None
    if not hasattr(model, "feature_names_in_"):
        return SavedModel(model, None, None)
    columns = tuple(Column(str(name), None, None) for name in model.feature_names_in_)
    return SavedModel(model, Encoding(columns, ReadOptions()), None)
