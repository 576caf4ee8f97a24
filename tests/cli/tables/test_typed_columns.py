"""Columns of numbers, text and anything else."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from softgrad.cli._tables._typed_columns import typed_columns
from tests.cli.refusal import assert_refused


@pytest.mark.parametrize(
    "values",
    [
        [True, None, False],
        [Decimal("1"), None, Decimal("0")],
        pd.array([1, None, 0], dtype="Int64"),
        pd.array([True, None, False], dtype="boolean"),
        pd.array([1, None, 0], dtype="Float32"),
        np.array([1, np.nan, 0], np.float16),
    ],
    ids=["bool", "Decimal", "Int64", "boolean", "Float32", "float16"],
)
def test_numbers_of_every_kind_are_numbers(values):
    column = typed_columns(pd.DataFrame({"a": values}), declared=True)["a"]
    assert column.dtype == np.float64
    np.testing.assert_array_equal(column, [1, np.nan, 0])


@pytest.mark.parametrize(
    "values, expected",
    [
        ([1, 20], ["1", "20"]),
        ([1.0, np.nan], ["1", None]),
        ([0.5, 1.0], ["0.5", "1"]),
        ([True, False], ["True", "False"]),
        (["007", None], ["007", None]),
    ],
)
def test_numbers_that_are_names_are_written_as_in_the_table(values, expected):
    column = typed_columns(pd.DataFrame({"a": values}), text=["a"])["a"]
    assert column.where(column.notna(), None).tolist() == expected


@pytest.mark.parametrize(
    "values, message",
    [
        (
            ["1", "4x"],
            "column 'a', data row 2: '4x'; expected a finite number, as in other rows; write --na '4x' if it",
        ),
        (["z", None, "3"], "column 'a', data row 1: 'z'; expected a finite number"),
        (["1", "nan"], "column 'a', data row 2: 'nan'; expected a finite number"),
        (
            [1.0, -np.inf],
            "column 'a', data row 2: '-inf'; expected a finite number; drop such rows, or write --drop 'a'",
        ),
        (pd.to_datetime(["2020-01-01"]), "column 'a' holds datetime64"),
        (pd.to_timedelta(["1s"]), "column 'a' holds timedelta64"),
        ([datetime.date(2020, 1, 1)], "column 'a' holds date; expected numbers or text; write --drop 'a'"),
        ([[1], "x"], "column 'a' holds list and str; expected numbers or text"),
        ([b"x"], "column 'a' holds bytes"),
        ([1j], "column 'a' holds complex"),
    ],
)
def test_what_is_neither_number_nor_text_is_refused(values, message):
    with assert_refused(message):
        typed_columns(pd.DataFrame({"a": values}))
