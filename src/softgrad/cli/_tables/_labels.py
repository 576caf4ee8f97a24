"""Labels of rows, from a column of a table or an array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._clean_fields import BLANKS
from softgrad.cli._tables._typed_columns import row_number

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from softgrad._typing import Array

_LARGEST_EXACT = 2**53  # float64 represents all integers up to here


def column_labels(column: pd.Series[Any]) -> Array:
    """Return the labels in a column: integers, booleans or text; a missing one is an error."""
    where = f"column {str(column.name)!r}"
    gaps = column.isna().to_numpy()
    if gaps.any():
        row = row_number(column.index[int(gaps.argmax())])
        raise CommandError(f"{where}, data row {row}: no label; drop such rows, or fill them in")
    if column.dtype.kind in "Mm":
        raise CommandError(f"{where} holds {column.dtype}; expected labels, integers or text")
    if column.dtype.kind in "biuf":
        return whole_labels(column.to_numpy(), where, row_number(column.index[0]) if len(column) else 1)
    values = column.tolist()
    if all(isinstance(value, bool) for value in values):
        return np.array(values)
    if any(isinstance(value, bytes) for value in values):
        raise CommandError(f"{where} holds bytes; expected labels, integers or text; save it as text, a string column")
    return np.array([str(value) for value in values], dtype=str)


def whole_labels(values: Array, where: str, first_row: int = 1) -> Array:
    """Convert floats to integers; one that is not whole is an error, which counts rows from `first_row`."""
    if values.dtype.kind != "f":
        return values
    # Comparisons with NaN are false, so that it is refused too.
    whole = (np.abs(values) <= _LARGEST_EXACT) & (values == np.floor(values))
    if not whole.all():
        row = int((~whole).argmax())
        raise CommandError(
            f"{where}, data row {first_row + row}: {values[row].item()!r} is a measurement; expected labels, integers "
            "or text; write --target with the label column, or divide the values into classes"
        )
    return values.astype(np.int64)


def stripped_labels(labels: Array) -> tuple[Array, int]:
    """Strip the blanks around labels that are text, and count those that had some."""
    if labels.dtype.kind != "U":
        return labels, 0
    plain = np.strings.strip(labels, BLANKS)
    return plain, int((plain != labels).sum())


def class_indices(labels: Array, classes: Array, table: Path, first_row: int = 0) -> Array:
    """Return the index of each label in the model's classes; an unknown label is an error.

    The error counts the rows of the file, of which the first label has `first_row` above it.
    """
    text = classes.dtype.kind in "US"
    if (labels.dtype.kind in "US") == text:
        place = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
        known = classes[place] == labels
    else:
        known = np.zeros(len(labels), bool)
    if known.all():
        return place
    row = int((~known).argmax())
    names = [repr(label) for label in classes.tolist()]
    listed = ", ".join(names if len(names) <= 12 else [*names[:11], f"... ({len(names)} in all)"])
    raise CommandError(
        f"{table}, data row {first_row + row + 1}: label {labels[row].item()!r} is none of the model's classes, "
        f"{listed}; drop such rows, or fit a model with rows of that class"
    )
