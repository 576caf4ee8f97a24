"""The rows of a fit: read with their labels, then split into training and held-out rows and encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._array_table import ArrayTable, read_array
from softgrad.cli._tables._clean_fields import stripped_fields_warning
from softgrad.cli._tables._feature_encoding import fit_encoding
from softgrad.cli._tables._file_format import detect_format
from softgrad.cli._tables._labels import column_labels, stripped_labels
from softgrad.cli._tables._leakage_warnings import array_leakage_warnings, leakage_warnings
from softgrad.cli._tables._misreading_warnings import label_case_warnings, misreading_warnings
from softgrad.cli._tables._named_table import read_named_table
from softgrad.cli._tables._read_options import NAMED_COLUMN_FORMATS, TEXT_FORMATS
from softgrad.cli._tables._row_weights import group_codes, row_weights
from softgrad.cli._tables._typed_columns import as_text, refuse_missing, typed_columns
from softgrad.cli._training_columns import ColumnOptions, column_roles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from softgrad._typing import Array
    from softgrad.cli._tables._feature_encoding import FeatureEncoding, Fill
    from softgrad.cli._tables._file_part import FilePart
    from softgrad.cli._tables._read_options import ReadOptions


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
    weight: Array | None = None
    """Row weights above 0."""
    groups: Array | None = None
    """The group of every row, as an integer."""
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
    weight: Array | None = None
    """Weights of the training rows."""
    weight_test: Array | None = None
    groups: Array | None = None
    """Groups of the training rows."""


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
    """Hold out a fraction of every class, or of the groups; means and categories are those of the training rows."""
    x, y = table.features, table.labels
    train, test = _split(y, held_out) if table.groups is None else _split_groups(y, table.groups, held_out)
    if not hasattr(x, "iloc"):
        if not len(test):  # indexing would copy an array that is mapped from its file
            return TrainingData(x, y, x[:0], y[:0], None, table.warnings)
        return TrainingData(x[train], y[train], x[test], y[test], None, table.warnings)
    encoding = fit_encoding(x.iloc[train], fill, reading, verbatim=table.text)
    x_train, x_test = (encoding.transform(x.iloc[rows]) for rows in (train, test))
    warnings = [*table.warnings, *encoding.warnings(x)]
    weight, weight_test = (None if table.weight is None else table.weight[rows] for rows in (train, test))
    groups = None if table.groups is None else table.groups[train]
    return TrainingData(x_train, y[train], x_test, y[test], encoding, warnings, weight, weight_test, groups)


def _is_searched(part: FilePart | None) -> bool:
    """Return whether to search for likely mistakes: they show in the first part as well as in all."""
    return part is None or part.first_number == 0


def _refuse_column_options(path: Path, columns: ColumnOptions, reading: ReadOptions) -> None:
    given = {
        "--drop": columns.drop,
        "--only": columns.only,
        "--text": columns.text,
        "--weight": columns.weight,
        "--groups": columns.groups,
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
    roles = column_roles(target, columns, names, path)
    label, text = roles.target, roles.text
    as_label = [label] if columns.text_label else []
    if text or as_label:
        table = read_named_table(path, reading, text=[*text, *as_label], verbatim=text, part=part)
    frame = table.frame
    warnings, unmatched = table.warnings, table.unmatched
    if part is None:
        unmatched = ()
    else:
        table = table._replace(unmatched=())
    if _is_searched(part):
        read = table._replace(frame=frame[[name for name in names if name in {label, *roles.features}]])
        warnings = misreading_warnings(read, header=is_text and reading.header, text=text)
    labels = column_labels(as_text(frame[label]) if label in [*text, *as_label] else frame[label])
    features = typed_columns(frame[roles.features], text=text, declared=not is_text, categories=part is None)
    weight = None if roles.weight is None else row_weights(frame[roles.weight])
    groups = None if roles.groups is None else group_codes(frame[roles.groups])
    if weight is not None and not weight.all():
        kept = weight > 0
        features, labels, weight = features[kept], labels[kept], weight[kept]
        groups = None if groups is None else groups[kept]
        warnings = [*warnings, f"{(~kept).sum()} of {len(kept)} rows have the weight 0 and are left out"]
    if columns.fill == "refuse":
        refuse_missing(features)
    if part is None:
        warnings = [*warnings, *label_case_warnings(labels)]
    if _is_searched(part):
        warnings = [*warnings, *leakage_warnings(features, labels, label)]
    return LabelledTable(features, labels, label, text, None, warnings, weight, groups, unmatched)


def _split(labels: Array, held_out: HeldOut) -> tuple[Array, Array]:
    """Return the training and the held-out rows, each in the order of the table."""
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    test_fraction, seed = held_out
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
    except ValueError:
        raise CommandError(
            f"--test-fraction {test_fraction} of {len(rows)} row{'s' * (len(rows) > 1)}; expected at least one row of "
            f"each of {len(classes)} class{'es' * (len(classes) > 1)} to train on and to hold out; write another "
            "fraction, or --test-fraction 0"
        ) from None
    _refuse_untrained(labels, train, test, f"--test-fraction {test_fraction} leaves", "write a smaller fraction")
    return np.sort(train), np.sort(test)


def _split_groups(labels: Array, groups: Array, held_out: HeldOut) -> tuple[Array, Array]:
    """Return the training and the held-out rows, which have no group in common."""
    from sklearn.model_selection import GroupShuffleSplit  # noqa: PLC0415

    test_fraction, seed = held_out
    rows = np.arange(len(labels))
    if not test_fraction:
        return rows, rows[:0]
    count = int(groups.max()) + 1
    splitter = GroupShuffleSplit(1, test_size=test_fraction, random_state=seed)
    try:
        train, test = next(splitter.split(rows, groups=groups))
    except ValueError:
        raise CommandError(
            f"--test-fraction {test_fraction} of {count} group{'s' * (count > 1)} leaves none to train on or none to "
            "hold out; write another fraction, or --test-fraction 0"
        ) from None
    _refuse_untrained(labels, train, test, "the held-out groups leave", "write another --seed or a smaller fraction")
    return train, test


def _refuse_untrained(labels: Array, train: Array, test: Array, cause: str, advice: str) -> None:
    """Raise an error that names a class with held-out rows only."""
    untrained = np.setdiff1d(labels[test], labels[train])
    if untrained.size:
        raise CommandError(f"{cause} class {untrained[0].item()!r} no row to train on; {advice}")
