"""The rows of a fit: read, split into training and held-out rows, and encoded by what the training rows say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._array_table import ArrayTable, read_array
from softgrad.cli._tables._clean_fields import blanks_remark, stripped_labels
from softgrad.cli._tables._feature_encoding import Encoding, Fill, learn
from softgrad.cli._tables._file_format import kind_of
from softgrad.cli._tables._leakage_warnings import leaks, leaks_of_array
from softgrad.cli._tables._misreading_warnings import label_cases, misreadings
from softgrad.cli._tables._named_table import column_named, labels_of, listing, read_frame
from softgrad.cli._tables._read_options import FRAMES
from softgrad.cli._tables._typed_columns import as_text, numbers_and_text, refuse_missing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from softgrad.cli._tables._read_options import ReadOptions

    Array = NDArray[Any]


class Columns(NamedTuple):
    """What the user says of a table with named columns."""

    drop: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    fill: Fill = "refuse"


class Training(NamedTuple):
    """Training and held-out rows as the model takes them, and how they came about."""

    x_train: Any
    y_train: Array
    x_test: Any
    y_test: Array
    encoding: Encoding | None
    target: str | None
    first_index: int | None
    remarks: list[str]


def training_rows(
    path: Path, target: str | None, columns: Columns, reading: ReadOptions, test_fraction: float, seed: int
) -> Training:
    """Read a table, hold out a part of every class, and encode."""
    if kind_of(path, reading) in FRAMES:
        return _of_frame(path, target, columns, reading, test_fraction, seed)
    given = {
        "--drop": columns.drop,
        "--text": columns.text,
        "--missing": columns.fill != "refuse",
        "--na": reading.missing,
        "--no-header": not reading.header,
    }
    for option, value in given.items():
        if value:
            raise CommandError(f"{option} is for CSV, TSV and Parquet; {path} has no named columns")
    table = read_array(path, target, reading)
    if table.labels is None:
        raise CommandError(f"{path} has no array called y, the labels; write --target with the name of theirs")
    x = table.features
    y, stripped = stripped_labels(table.labels)
    remarks = [*blanks_remark(stripped), *label_cases(y), *leaks_of_array(x, y, _numbers_in_file(table))]
    train, test = _split(y, test_fraction, seed)
    if not len(test):  # and a mapped file stays mapped
        return Training(x, y, x[:0], y[:0], None, table.target, table.first_index, remarks)
    return Training(x[train], y[train], x[test], y[test], None, table.target, table.first_index, remarks)


def _numbers_in_file(table: ArrayTable) -> Callable[[int], int]:
    """The number that the file has for a feature: its index, or its position, the column of labels included."""
    if table.first_index is not None:
        return table.first_index.__add__
    if table.target is not None:
        label = int(table.target)
        return lambda position: position + (position >= label)
    return int


def _of_frame(
    path: Path, target: str | None, columns: Columns, reading: ReadOptions, test_fraction: float, seed: int
) -> Training:
    table = read_frame(path, reading)
    names = [str(name) for name in table.frame.columns]
    if target is None:
        raise CommandError(f"--target is missing; name the column of labels: {listing(names)}")
    label = column_named(target, names, path, "--target")
    dropped = {column_named(name, names, path, "--drop") for name in columns.drop}
    text = [column_named(name, names, path, "--text") for name in columns.text]
    if label in dropped:
        raise CommandError(f"column {label!r} is the target; leave it out of --drop")
    if text:
        table = read_frame(path, reading, text=text, verbatim=text)
    parquet = kind_of(path, reading) == "parquet"
    table = table._replace(frame=table.frame.drop(columns=list(dropped)))
    doubts = misreadings(table, label, header=reading.header and not parquet, text=text)
    frame = table.frame
    labels = labels_of(as_text(frame[label]) if label in text else frame[label])
    frame = frame.drop(columns=label)
    if not len(frame.columns):
        raise CommandError(f"{path} has no column but {label!r}; expected at least one feature beside it")
    rows = numbers_and_text(frame, text=text, declared=parquet)
    if columns.fill == "refuse":
        refuse_missing(rows)
    train, test = _split(labels, test_fraction, seed)
    encoding = learn(rows.iloc[train], columns.fill, reading, verbatim=text)
    return Training(
        encoding.apply(rows.iloc[train]),
        labels[train],
        encoding.apply(rows.iloc[test]),
        labels[test],
        encoding,
        label,
        None,
        [*doubts, *leaks(rows, labels, label), *encoding.remarks(rows)],
    )


def _split(labels: Array, test_fraction: float, seed: int) -> tuple[Array, Array]:
    """Rows to train on and rows to hold out, in the order of the table."""
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    every = np.arange(len(labels))
    if not test_fraction:
        return every, every[:0]
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) > 1 and counts.min() < 2:
        rare = classes[counts.argmin()].item()
        raise CommandError(
            f"class {rare!r} has one row, which cannot be both trained on and held out; drop it, or write "
            "--test-fraction 0"
        )
    try:
        train, test = train_test_split(every, test_size=test_fraction, random_state=seed, stratify=labels)
    except ValueError as error:
        raise CommandError(f"--test-fraction {test_fraction}: {error}") from None
    untrained = np.setdiff1d(labels[test], labels[train])
    if untrained.size:
        raise CommandError(
            f"--test-fraction {test_fraction} leaves class {untrained[0].item()!r} no row to train on; write a "
            "smaller one"
        )
    return np.sort(train), np.sort(test)
