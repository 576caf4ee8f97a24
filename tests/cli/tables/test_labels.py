"""Labels from columns and arrays."""

import numpy as np
import pandas as pd
import pytest

from softgrad.cli._tables._labels import column_labels, stripped_labels
from tests.cli.refusal import assert_refused


@pytest.mark.parametrize(
    "values, labels",
    [
        ([3, 1], np.array([3, 1])),
        ([2.0, -1.0], np.array([2, -1])),
        ([True, False], np.array([True, False])),
        (["a", "1"], np.array(["a", "1"])),
        (pd.Categorical(["u", "v"]), np.array(["u", "v"])),
        (pd.array([1, 2], dtype="Int64"), np.array([1, 2])),
        (pd.array([True, False], dtype="boolean"), np.array([True, False])),
    ],
)
def test_labels_keep_their_kind(values, labels):
    found = column_labels(pd.Series(values, name="y"))
    assert found.dtype.kind == labels.dtype.kind
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize(
    "values, message",
    [
        ([1.0, 0.5], "column 'y', data row 2: 0.5 is a measurement; expected labels, integers or text"),
        ([1.0, 2.0**60], "is a measurement"),
        ([1.0, np.inf], "column 'y', data row 2: inf is a measurement"),
        (["a", None], "column 'y', data row 2: no label; drop such rows"),
        ([1.0, np.nan], "column 'y', data row 2: no label"),
        (pd.to_datetime(["2020-01-01"]), "column 'y' holds datetime64"),
        ([b"a", b"b"], "column 'y' holds bytes; expected labels, integers or text; save it as text"),
    ],
)
def test_what_is_no_label_is_refused(values, message):
    with assert_refused(message):
        column_labels(pd.Series(values, name="y"))


def test_labels_of_arrays():
    labels, count = stripped_labels(np.array(["red", "red ", " blue"]))
    assert labels.tolist() == ["red", "red", "blue"]
    assert count == 2
    assert stripped_labels(np.array([1, 2]))[1] == 0
