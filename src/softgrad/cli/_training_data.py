"""The rows of a fit: read with their labels, then split into training and held-out rows and encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._array_table import ArrayTable, read_array
from softgrad.cli._tables._clean_fields import stripped_fields_warning
from softgrad.cli._tables._column_names import find_column, name_list
from softgrad.cli._tables._feature_encoding import FeatureEncoding, Fill, fit_encoding
from softgrad.cli._tables._file_format import detect_format
from softgrad.cli._tables._labels import column_labels, stripped_labels
from softgrad.cli._tables._leakage_warnings import array_leakage_warnings, leakage_warnings
from softgrad.cli._tables._misreading_warnings import label_case_warnings, misreading_warnings
from softgrad.cli._tables._named_table import read_named_table
from softgrad.cli._tables._read_options import NAMED_COLUMN_FORMATS, TEXT_FORMATS
from softgrad.cli._tables._typed_columns import as_text, refuse_missing, typed_columns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from softgrad._typing import Array
    from softgrad.cli._tables._file_part import FilePart
    from softgrad.cli._tables._read_options import ReadOptions


class ColumnOptions(NamedTuple):
    """The options that apply to tables with named columns only."""

    drop: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    fill: Fill = "refuse"
    text_label: bool = False
    """Whether labels stay text where they look like numbers, because in another part they do not."""


class HeldOut(NamedTuple):
    """The rows to hold out for evaluation."""

    fraction: float
    seed: int


class LabelledTable(NamedTuple):
    """A table as read and checked, before rows are held out."""

    features: Any
    """A DataFrame of numbers and text; or a matrix without column names, dense or CSR."""
    labels: Array
    target: str | None
    """Name of the label column, or its position in an array; None if the labels are stored apart."""
    text: list[str]
    """Columns that --text keeps as text."""
    first_index: int | None
    """0 or 1, where LibSVM text starts to count columns; None for other formats."""
    warnings: list[str]
    unmatched: tuple[str, ...] = ()
    """Values of --na that no field of this part held; of a whole table, a warning says so."""


class TrainingData(NamedTuple):
    """Training and held-out rows as the model takes them."""

    x_train: Any
    y_train: Array
    x_test: Any
    y_test: Array
    encoding: FeatureEncoding | None
    """None for arrays, which are used as they are."""
    warnings: list[str]


def read_labelled_table(
    path: Path, target: str | None, columns: ColumnOptions, reading: ReadOptions, part: FilePart | None = None
) -> LabelledTable:
    """Read a table of any format, or a part of it, and warn of likely mistakes in it."""
    if detect_format(path, reading) in NAMED_COLUMN_FORMATS:
        return _read_named(path, target, columns, reading, part)
    _refuse_column_options(path, columns, reading)
    table = read_array(path, target, reading, part=part)
    if table.labels is None:
        raise CommandError(f"{path} has no array y, the default for labels; write --target with the name of theirs")
    labels, stripped = stripped_labels(table.labels)
    warnings = stripped_fields_warning(stripped)
    if part is None:
        warnings += label_case_warnings(labels)
    if _is_searched(part):
        warnings += array_leakage_warnings(table.features, labels, _numbering_in_file(table))
    return LabelledTable(table.features, labels, table.target, [], table.first_index, warnings)


def split_and_encode(table: LabelledTable, fill: Fill, reading: ReadOptions, held_out: HeldOut) -> TrainingData:
    """Hold out a fraction of every class; means and categories are those of the training rows."""
    x, y = table.features, table.labels
    train, test = _split(y, *held_out)
    if not hasattr(x, "iloc"):
        if not len(test):  # indexing would copy an array that is mapped from its file
            return TrainingData(x, y, x[:0], y[:0], None, table.warnings)
        return TrainingData(x[train], y[train], x[test], y[test], None, table.warnings)
    encoding = fit_encoding(x.iloc[train], fill, reading, verbatim=table.text)
    x_train, x_test = (encoding.transform(x.iloc[rows]) for rows in (train, test))
    return TrainingData(x_train, y[train], x_test, y[test], encoding, [*table.warnings, *encoding.warnings(x)])


def _is_searched(part: FilePart | None) -> bool:
    """Return whether to search for likely mistakes: they show in the first part as well as in all."""
    return part is None or part.first_number == 0


def _refuse_column_options(path: Path, columns: ColumnOptions, reading: ReadOptions) -> None:
    given = {
        "--drop": columns.drop,
        "--text": columns.text,
        "--missing": columns.fill != "refuse",
        "--na": reading.missing,
        "--no-header": not reading.header,
    }
    for option, value in given.items():
        if value:
            formats = "CSV and TSV" if option == "--no-header" else "CSV, TSV and Parquet"
            raise CommandError(f"{option} is for {formats}; {path} has no named columns")


def _numbering_in_file(table: ArrayTable) -> Callable[[int], int]:
    """Return the map from a feature's position to its number in the file, where the labels may be a column too."""
    if table.first_index is not None:
        return table.first_index.__add__
    if table.target is not None:
        label = int(table.target)
        return lambda position: position + (position >= label)
    return int


def _read_named(
    path: Path, target: str | None, columns: ColumnOptions, reading: ReadOptions, part: FilePart | None
) -> LabelledTable:
    file_format = detect_format(path, reading)
    is_text = file_format in TEXT_FORMATS
    if not (is_text or reading.header):
        raise CommandError(f"--no-header is for CSV and TSV; {path} is read as {file_format}; leave it out")
    table = read_named_table(path, reading, part=part)
    names = [str(name) for name in table.frame.columns]
    if target is None:
        raise CommandError(f"--target is missing; write the name of the label column: {name_list(names)}")
    label = find_column(target, names, path, "--target")
    dropped = {find_column(name, names, path, "--drop") for name in columns.drop}
    text = [find_column(name, names, path, "--text") for name in columns.text]
    if label in dropped:
        raise CommandError(f"column {label!r} is the target; leave it out of --drop")
    as_label = [label] if columns.text_label else []
    if text or as_label:
        table = read_named_table(path, reading, text=[*text, *as_label], verbatim=text, part=part)
    table = table._replace(frame=table.frame.drop(columns=list(dropped)))
    warnings, unmatched = table.warnings, table.unmatched
    if part is None:
        unmatched = ()
    else:
        table = table._replace(unmatched=())
    if _is_searched(part):
        warnings = misreading_warnings(table, header=is_text and reading.header, text=text)
    frame = table.frame
    labels = column_labels(as_text(frame[label]) if label in [*text, *as_label] else frame[label])
    frame = frame.drop(columns=label)
    if not len(frame.columns):
        raise CommandError(f"{path} has no column except {label!r}; expected at least one feature")
    features = typed_columns(frame, text=text, declared=not is_text)
    if columns.fill == "refuse":
        refuse_missing(features)
    if part is None:
        warnings = [*warnings, *label_case_warnings(labels)]
    if _is_searched(part):
        warnings = [*warnings, *leakage_warnings(features, labels, label)]
    return LabelledTable(features, labels, label, text, None, warnings, unmatched)


def _split(labels: Array, test_fraction: float, seed: int) -> tuple[Array, Array]:
    """Return the training and the held-out rows, each in the order of the table."""
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    rows = np.arange(len(labels))
    if not test_fraction:
        return rows, rows[:0]
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) > 1 and counts.min() < 2:
        rare = classes[counts.argmin()].item()
        raise CommandError(
            f"class {rare!r} has one row, which cannot be both trained on and held out; drop it, or write "
            "--test-fraction 0"
        )
    try:
        train, test = train_test_split(rows, test_size=test_fraction, random_state=seed, stratify=labels)
    except ValueError as error:
        raise CommandError(f"--test-fraction {test_fraction}: {error}") from None
    untrained = np.setdiff1d(labels[test], labels[train])
    if untrained.size:
        raise CommandError(
            f"--test-fraction {test_fraction} leaves class {untrained[0].item()!r} no row to train on; write a smaller "
            "fraction"
        )
    return np.sort(train), np.sort(test)
