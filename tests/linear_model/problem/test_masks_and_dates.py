"""Masks and dates are refused by every method, for every argument, with what to write instead."""

import datetime
import importlib

import numpy as np
import pandas as pd
import pytest

import softgrad as sg
from softgrad.linear_model import SoftmaxRegression, SoftmaxRegressionCV

X = np.random.default_rng(0).normal(size=(12, 2))
Y = np.arange(12) % 2
ONES = np.ones(12)
DAYS = np.arange(12).astype("datetime64[D]")
LENGTHS = DAYS - DAYS[0]
OBJECTS = [datetime.date(2000, 1, 1 + i) for i in range(12)]


@pytest.fixture(scope="module")
def model():
    return SoftmaxRegression().fit(X, Y)


CALLS = {
    "fit": lambda _, x, y, weight: SoftmaxRegression().fit(x, y, weight),
    "partial_fit": lambda _, x, y, weight: SoftmaxRegression().partial_fit(x, y, [0, 1], weight),
    "cross-validation": lambda _, x, y, weight: SoftmaxRegressionCV([1.0], cv=2).fit(x, y, weight),
    "score": lambda model, x, y, weight: model.score(x, y, weight),
    "temperature_scale": lambda model, x, y, weight: model.temperature_scale(x, y, weight),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_masks_are_refused(model, call):
    mask = np.arange(12) == 3
    for x, y, weight, message in [
        (np.ma.array(X, mask=np.tile(mask[:, None], 2)), Y, None, r"X is a masked array.*; write X\.filled\("),
        (np.ma.array(X), Y, None, "X is a masked array"),
        ([np.ma.array(row) for row in X], Y, None, "X is a masked array"),
        (X, np.ma.array(Y, mask=mask), None, r"y is a masked array.*getmaskarray\(y\)\] and y\.compressed\(\)"),
        (X, [*Y[:-1], np.ma.masked], None, "y is a masked array"),
        (X, np.ma.array(np.eye(2)[Y]), None, "y is a masked array"),
        (X, Y, np.ma.array(ONES, mask=mask), r"sample_weight is a masked array.*; write sample_weight\.filled\(0\)"),
    ]:
        with pytest.raises(TypeError, match=f"^{message}"):
            call(model, x, y, weight)


COLUMNS = {
    "datetime64": pd.to_datetime(DAYS),
    "time zone": pd.to_datetime(DAYS).tz_localize("UTC"),
    "timedelta64": pd.to_timedelta(LENGTHS),
    "period": pd.period_range("2000", periods=12),
    "categorical": pd.Categorical(pd.to_datetime(DAYS)),
    "objects": pd.Series(OBJECTS, dtype=object),
    "arrow date": pd.array(OBJECTS, dtype="date32[pyarrow]"),
    "arrow time": pd.array(pd.to_datetime(DAYS), dtype="timestamp[ns][pyarrow]"),
    "missing": [*pd.to_datetime(DAYS[:-1]), pd.NaT],
}
FRAMES = {
    **{name: pd.DataFrame({"x": X[:, 0], "when": column}) for name, column in COLUMNS.items()},
    **{f"{name} alone": pd.DataFrame({"when": column}) for name, column in COLUMNS.items()},
}
ARRAYS = {
    "datetime64": DAYS[:, None],
    "timedelta64": LENGTHS[:, None],
    "datetime objects": np.array([[day] for day in DAYS], object),
    "timedelta objects": np.array([[length] for length in LENGTHS], object),
    "list": [[day] for day in DAYS],
    "list of dates": [[1.0, day] for day in OBJECTS],
}


COLUMN_OF_DATES = r"^column 'when' of X holds (dates|durations) \(.*\); expected numbers; write .*X\['when'\]"


@pytest.mark.parametrize("x", FRAMES.values(), ids=FRAMES)
def test_columns_of_dates_are_refused(x):
    with pytest.raises(TypeError, match=COLUMN_OF_DATES):
        SoftmaxRegression().fit(x, Y)


@pytest.mark.needs("polars")
@pytest.mark.parametrize("when", [OBJECTS, DAYS.astype("datetime64[us]"), LENGTHS.astype("timedelta64[us]")])
def test_columns_of_dates_in_polars_are_refused(when):
    x = importlib.import_module("polars").DataFrame({"x": X[:, 0], "when": when})
    with pytest.raises(TypeError, match=COLUMN_OF_DATES):
        SoftmaxRegression().fit(x, Y)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS)
def test_arrays_of_dates_are_refused(model, call, x):
    with pytest.raises(TypeError, match=r"^X holds (dates|durations) \(.*\); expected numbers; write"):
        call(model, x, Y, None)


@pytest.mark.parametrize("name", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_predictions_refuse_both(model, name):
    with pytest.raises(TypeError, match="X holds dates"):
        getattr(model, name)(np.column_stack([DAYS, DAYS]))
    with pytest.raises(TypeError, match="X is a masked array"):
        getattr(model, name)(np.ma.array(X))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_dates_as_labels_and_weights_are_refused(model, call):
    for y in (DAYS[Y], LENGTHS[Y], pd.Series(DAYS[Y]), list(DAYS[Y]), [OBJECTS[i] for i in Y], pd.Categorical(DAYS[Y])):
        with pytest.raises(TypeError, match=r"^y holds d.*; expected integers, strings or booleans; write y\.astype"):
            call(model, X, y, None)
    for weight in (LENGTHS, pd.Series(LENGTHS), OBJECTS):
        with pytest.raises(TypeError, match=r"^sample_weight holds d.*; expected real numbers"):
            call(model, X, Y, weight)


def test_classes_of_partial_fit_are_no_dates_and_not_masked():
    with pytest.raises(TypeError, match=r"classes is a masked array.*write classes\.compressed\(\)"):
        SoftmaxRegression().partial_fit(X, Y, np.ma.array([0, 1]))
    with pytest.raises(TypeError, match=r"classes holds dates.*write classes\.astype\(str\)"):
        SoftmaxRegression().partial_fit(X, Y, DAYS[:2])


def test_labels_that_only_look_like_dates_are_labels():
    names = DAYS[Y].astype(str)
    for y in (names, pd.Series(names), pd.Categorical(names), names.astype(object), pd.Series(names, dtype="string")):
        assert SoftmaxRegression().fit(X, y).classes_.tolist() == ["1970-01-01", "1970-01-02"]


def test_functions_refuse_lists_of_masked_arrays():
    for z in ([np.ma.array([1.0, 2.0], mask=[0, 1])], [1.0, np.ma.masked]):
        with pytest.raises(TypeError, match="logits is a masked array"):
            sg.softmax(z)
