"""Encoding named columns: one-hot features, missing values, and their record in a model."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from softgrad.cli._tables._feature_encoding import FeatureEncoding, fit_encoding
from softgrad.cli._tables._read_options import ReadOptions
from softgrad.cli._tables._typed_columns import refuse_missing, typed_columns
from tests.cli.refusal import assert_refused


def typed(**columns):
    return typed_columns(pd.DataFrame(columns))


def test_numbers_stay_and_text_becomes_one_column_for_each_category():
    table = typed(age=[30, 40, 50], colour=["red", "blue", "red"], tall=[True, False, True])
    found = fit_encoding(table, "refuse").transform(table)
    assert found.columns.tolist() == ["age", "colour=blue", "colour=red", "tall"]
    np.testing.assert_array_equal(found, [[30, 0, 1, 1], [40, 1, 0, 0], [50, 0, 1, 1]])
    assert set(found.dtypes) == {np.dtype(np.float64)}


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.sampled_from(["a", "b", "é", ""])), min_size=1, max_size=30))
def test_encoding_is_scikit_learns(rows):
    numbers, words = zip(*rows, strict=True)
    table = typed(n=np.array(numbers), w=np.array(words, object))
    found = fit_encoding(table, "refuse").transform(table)
    one_hot = OneHotEncoder(sparse_output=False).fit_transform(np.array(words, object)[:, None])
    np.testing.assert_array_equal(found, np.column_stack([numbers, one_hot]))


@pytest.mark.parametrize("fill", ["mean", "median", "most-frequent"])
def test_missing_values_are_filled_in_as_scikit_learn_does(fill):
    numbers = np.array([1.0, np.nan, 4, 4, 10, np.nan, 2, 2])
    words = np.array(["b", "a", np.nan, "b", "a", "c", np.nan, "b"], object)
    table = typed(n=numbers, w=words)
    found = fit_encoding(table, fill).transform(table)
    expected = SimpleImputer(strategy=fill.replace("-", "_")).fit_transform(numbers[:, None]).ravel()
    np.testing.assert_allclose(found["n"], expected, rtol=1e-15)
    assert found[["w=a", "w=b", "w=c"]].to_numpy()[2].tolist() == [0, 1, 0]


def test_the_rows_that_were_learnt_from_decide():
    encoding = fit_encoding(typed(n=[1.0, 3.0], w=["a", "b"]), "mean")
    later = typed(n=[np.nan, 7.0, 1e9], w=["new", None, "a"])
    np.testing.assert_array_equal(encoding.transform(later), [[2, 0, 0], [7, 1, 0], [1e9, 1, 0]])
    assert encoding.warnings(later) == [
        "column 'n': 1 row without a value, filled in with 2.0",
        "column 'w': 1 row without a value, filled in with 'a'",
        "column 'w': 1 row with text that no training row has, first 'new' in data row 1; the column's features are "
        "0 there",
    ]
    assert encoding.warnings(typed(n=[5.0], w=["b"])) == []


def test_remarks_are_few():
    table = pd.DataFrame({f"c{i}": [1.0, np.nan] for i in range(20)})
    remarks = fit_encoding(table, "mean").warnings(table)
    assert len(remarks) == 9
    assert remarks[-1] == "and 12 more columns"


def test_an_encoding_comes_back_from_json():
    reading = ReadOptions(decimal=",", thousands=".", header=False, missing=("?",))
    encoding = fit_encoding(typed(n=[0.1, np.nan], w=["é", "b\n"]), "median", reading)
    assert FeatureEncoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding
    assert encoding.text == ["w"]


def test_declared_text_may_look_like_numbers():
    table = typed_columns(pd.DataFrame({"a": ["1", "4x"]}), declared=True)
    assert fit_encoding(table, "refuse").text == ["a"]


def test_all_missing_values_are_named_at_once():
    table = typed(a=[1.0, np.nan], b=[1, 2], c=["x", None])
    with assert_refused("missing values in 2 rows: 'a' in 1, 'c' in 1; write --missing mean, median or most-frequent"):
        refuse_missing(table)
    refuse_missing(table[["b"]])
    with assert_refused("column 'a', data row 2: a missing value; fill it in, or fit a model with --missing mean"):
        fit_encoding(table, "refuse").transform(table)


@pytest.mark.parametrize("values", [[np.nan, np.nan], [None, None]])
def test_a_column_without_values_is_refused(values):
    with assert_refused("column 'a' has no value in the training rows; write --drop 'a'"):
        fit_encoding(typed(a=values), "mean")


def test_text_that_is_no_category_is_refused():
    ids = [f"id {i}" for i in range(50)]
    message = (
        "column 'a' is text with 50 different values in 50 rows, such as 'id 0'; expected categories, at most 1000"
    )
    with assert_refused(message):
        typed_columns(pd.DataFrame({"a": ids}), categories=True)
    assert typed_columns(pd.DataFrame({"a": ids * 2}), categories=True)["a"].nunique() == 50
    many = [f"id {i % 1001}" for i in range(4000)]
    with assert_refused("column 'a' is text with 1001 different values in 4000 rows"):
        typed_columns(pd.DataFrame({"a": many}), categories=True)
    assert typed_columns(pd.DataFrame({"a": ids[:20]}), categories=True)["a"].nunique() == 20
    assert typed_columns(pd.DataFrame({"a": ids}))["a"].nunique() == 50  # as a model that has them reads it


@pytest.mark.parametrize(
    "values, message",
    [
        (["1", "x"], "column 'n', data row 2: 'x'; expected a finite number, as in the training rows"),
        (["1", "2"], "column 'n', data row 1: '1'; expected a finite number"),
    ],
)
def test_text_where_the_model_knows_numbers_is_refused(values, message):
    encoding = fit_encoding(typed(n=[1.0, 2.0]), "mean")
    with assert_refused(message):
        encoding.transform(typed_columns(pd.DataFrame({"n": values}), declared=True))


def test_rows_are_numbered_as_in_the_table_also_after_a_split():
    table = typed(n=[1.0, 2.0, 3.0, np.nan])
    with assert_refused("column 'n', data row 4: a missing value"):
        fit_encoding(table.iloc[[0, 1]], "refuse").transform(table.iloc[[1, 3]])
