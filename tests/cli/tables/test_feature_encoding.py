"""How named columns become X: types, one-hot columns, missing values, and what is remembered of it."""

import datetime
import json
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._feature_encoding import Encoding, learn
from softgrad.cli._tables._read_options import ReadOptions
from softgrad.cli._tables._typed_columns import numbers_and_text, refuse_missing


def refused(message):
    return pytest.raises(CommandError, match=re.escape(message))


def typed(**columns):
    return numbers_and_text(pd.DataFrame(columns))


def test_numbers_stay_and_text_becomes_one_column_for_each_category():
    table = typed(age=[30, 40, 50], colour=["red", "blue", "red"], tall=[True, False, True])
    found = learn(table, "refuse").apply(table)
    assert found.columns.tolist() == ["age", "colour=blue", "colour=red", "tall"]
    np.testing.assert_array_equal(found, [[30, 0, 1, 1], [40, 1, 0, 0], [50, 0, 1, 1]])
    assert set(found.dtypes) == {np.dtype(np.float64)}


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.sampled_from(["a", "b", "é", ""])), min_size=1, max_size=30))
def test_encoding_is_scikit_learns(rows):
    numbers, words = zip(*rows, strict=True)
    table = typed(n=np.array(numbers), w=np.array(words, object))
    found = learn(table, "refuse").apply(table)
    one_hot = OneHotEncoder(sparse_output=False).fit_transform(np.array(words, object)[:, None])
    np.testing.assert_array_equal(found, np.column_stack([numbers, one_hot]))


@pytest.mark.parametrize("fill", ["mean", "median", "most-frequent"])
def test_missing_values_are_filled_in_as_scikit_learn_does(fill):
    numbers = np.array([1.0, np.nan, 4, 4, 10, np.nan, 2, 2])
    words = np.array(["b", "a", np.nan, "b", "a", "c", np.nan, "b"], object)
    table = typed(n=numbers, w=words)
    found = learn(table, fill).apply(table)
    expected = SimpleImputer(strategy=fill.replace("-", "_")).fit_transform(numbers[:, None]).ravel()
    np.testing.assert_allclose(found["n"], expected, rtol=1e-15)
    assert found[["w=a", "w=b", "w=c"]].to_numpy()[2].tolist() == [0, 1, 0]


def test_the_rows_that_were_learnt_from_decide():
    encoding = learn(typed(n=[1.0, 3.0], w=["a", "b"]), "mean")
    later = typed(n=[np.nan, 7.0, 1e9], w=["new", None, "a"])
    np.testing.assert_array_equal(encoding.apply(later), [[2, 0, 0], [7, 1, 0], [1e9, 1, 0]])
    assert encoding.remarks(later) == [
        "column 'n': 1 row without a value, filled in with 2.0",
        "column 'w': 1 row without a value, filled in with 'a'",
        "column 'w': 1 row with text that no row fitted to has, first 'new' in data row 1; the column's features are "
        "0 there",
    ]
    assert encoding.remarks(typed(n=[5.0], w=["b"])) == []


def test_remarks_are_few():
    table = pd.DataFrame({f"c{i}": [1.0, np.nan] for i in range(20)})
    remarks = learn(table, "mean").remarks(table)
    assert len(remarks) == 9
    assert remarks[-1] == "and 12 more columns alike"


def test_an_encoding_comes_back_from_json():
    reading = ReadOptions(decimal=",", thousands=".", header=False, missing=("?",))
    encoding = learn(typed(n=[0.1, np.nan], w=["é", "b\n"]), "median", reading)
    assert Encoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding
    assert encoding.text == ["w"]


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
    column = numbers_and_text(pd.DataFrame({"a": values}), declared=True)["a"]
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
    column = numbers_and_text(pd.DataFrame({"a": values}), text=["a"])["a"]
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
    with refused(message):
        numbers_and_text(pd.DataFrame({"a": values}))


def test_declared_text_may_look_like_numbers():
    table = numbers_and_text(pd.DataFrame({"a": ["1", "4x"]}), declared=True)
    assert learn(table, "refuse").text == ["a"]


def test_all_missing_values_are_named_at_once():
    table = typed(a=[1.0, np.nan], b=[1, 2], c=["x", None])
    with refused(
        "missing values, of 2 rows: 'a' in 1, 'c' in 1; write --missing mean, median or most-frequent to fill"
    ):
        refuse_missing(table)
    refuse_missing(table[["b"]])
    with refused("column 'a', data row 2: a missing value; fill it in, or fit a model with --missing mean"):
        learn(table, "refuse").apply(table)


@pytest.mark.parametrize("values", [[np.nan, np.nan], [None, None]])
def test_a_column_without_values_is_refused(values):
    with refused("column 'a' has no value in the rows to fit to; write --drop 'a'"):
        learn(typed(a=values), "mean")


def test_text_that_is_no_category_is_refused():
    ids = [f"id {i}" for i in range(50)]
    message = (
        "column 'a' is text with 50 different values in 50 rows, such as 'id 0'; expected categories, at most 1000"
    )
    with refused(message):
        learn(typed(a=ids), "refuse")
    assert len(learn(typed(a=ids * 2), "refuse").columns[0].categories) == 50
    many = [f"id {i % 1001}" for i in range(4000)]
    with refused("column 'a' is text with 1001 different values in 4000 rows"):
        learn(typed(a=many), "refuse")
    assert len(learn(typed(a=ids[:20]), "refuse").columns[0].categories) == 20


@pytest.mark.parametrize(
    "values, message",
    [
        (
            ["1", "x"],
            "column 'n', data row 2: 'x'; expected a finite number, as in the rows that the model was fitted to",
        ),
        (["1", "2"], "column 'n', data row 1: '1'; expected a finite number"),
    ],
)
def test_text_where_the_model_knows_numbers_is_refused(values, message):
    encoding = learn(typed(n=[1.0, 2.0]), "mean")
    with refused(message):
        encoding.apply(numbers_and_text(pd.DataFrame({"n": values}), declared=True))


def test_rows_are_numbered_as_in_the_table_also_after_a_split():
    table = typed(n=[1.0, 2.0, 3.0, np.nan])
    with refused("column 'n', data row 4: a missing value"):
        learn(table.iloc[[0, 1]], "refuse").apply(table.iloc[[1, 3]])
