"""The estimator of softgrad.dask, which is that of softgrad.linear_model bit for bit."""

import warnings
from functools import partial

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from dask import delayed
from distributed import wait
from sklearn.exceptions import ConvergenceWarning

from softgrad import linear_model
from softgrad.dask import SoftmaxRegression

N, D, K = 1501, 5, 3
COLUMNS = list("abcde")


def rows_of(n=N, d=D, k=K, dtype=np.float64):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(n, d)) * np.linspace(0.1, 5, d)).astype(dtype)
    return x, (x @ rng.normal(size=(d, k)) + rng.gumbel(size=(n, k)) * 3).argmax(axis=1)


X, Y = rows_of()
SPARSE = scipy.sparse.random_array((N, 40), density=0.1, format="csr", rng=np.random.default_rng(1))


def blocks(array, rows=400):
    return da.from_array(array, chunks=(rows, *array.shape[1:]))


def sparse_blocks(matrix, kind=scipy.sparse.csr_matrix):
    meta = kind((0, matrix.shape[1]))
    parts = [matrix[start : start + 400] for start in range(0, N, 400)]
    return da.concatenate([da.from_delayed(delayed(kind)(part), part.shape, matrix.dtype, meta) for part in parts])


def fit(model, *args, **kwargs):
    """Fit, and return the model and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*args, **kwargs)
    return model, [str(warning.message) for warning in caught]


def assert_same(client, partitioned, local, sample_weight=None, **parameters):
    """The fit of dask collections equals that of the same rows in memory in every result; return both."""
    parameters = {"solver": "lbfgs", "tol": 1e-2, **parameters}
    weight = sample_weight.compute() if hasattr(sample_weight, "compute") else sample_weight
    expected, expected_warnings = fit(linear_model.SoftmaxRegression(**parameters), *local, weight)
    model, caught = fit(SoftmaxRegression(client=client, **parameters), *partitioned, sample_weight)
    assert caught == expected_warnings
    for name, value in vars(expected).items():
        if name.endswith("_") and not name.startswith("_") and name != "history_":
            np.testing.assert_array_equal(getattr(model, name), value, name, strict=isinstance(value, np.ndarray))
    assert [i[:3] for i in model.history_] == [i[:3] for i in expected.history_]
    return model, expected


@pytest.mark.parametrize("rows", [N, 1000, 300, 512, (1, 0, 700, 1, 0, 0, 798, 1), (0, N, 0)], ids=str)
def test_the_number_of_workers_and_the_blocks_change_no_bit(client_of_any, rows):
    assert_same(client_of_any, (blocks(X, rows), blocks(Y, rows)), (X, Y))


def test_blocks_of_one_row(client):
    assert_same(client, (blocks(X[:25], 1), blocks(Y[:25], 1)), (X[:25], Y[:25]))


@pytest.mark.parametrize("places", ["012012", "210021", "000000", "112200"])
def test_placement_changes_no_bit(client, places):
    workers = [sorted(client.nthreads())[int(place)] for place in places]
    x = blocks(X, 260)
    parts = [client.persist(part, workers=[worker]) for part, worker in zip(x.blocks, workers, strict=True)]
    wait(parts)
    assert [[*holders] for part in parts for holders in client.who_has(part).values()] == [[w] for w in workers]
    assert_same(client, (da.concatenate(parts), blocks(Y, 260)), (X, Y))


DTYPES = [np.float16, np.float32, np.int8, np.uint64, bool]


@pytest.mark.parametrize("dtype", DTYPES, ids=[np.dtype(dtype).name for dtype in DTYPES])
def test_the_dtypes_of_rows(client, dtype):
    x = X.astype(dtype) if dtype is not np.uint64 else np.abs(X).astype(dtype)
    assert_same(client, (blocks(x), blocks(Y)), (x, Y))


def test_blocks_of_different_dtypes_are_one_array(client):
    parts = X[:700].astype(np.float32), X[700:]
    x = da.concatenate([da.from_delayed(delayed(part), part.shape, np.float32) for part in parts])
    assert_same(client, (x, blocks(Y, (700, N - 700))), (np.concatenate(parts), Y))


def test_fortran_order(client):
    x = np.asfortranarray(X)
    assert_same(client, (da.from_array(x, chunks=(400, D)), blocks(Y)), (x, Y))
    fortran = blocks(X).map_blocks(np.asfortranarray)
    assert_same(client, (fortran, blocks(Y)), (X, Y), C=2.0)


def test_columns_in_several_chunks(client):
    assert_same(client, (da.from_array(X, chunks=(400, 2)), blocks(Y, 400)), (X, Y))


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.csc_array], ids=lambda kind: kind.__name__)
def test_sparse_rows(client, kind):
    assert_same(client, (sparse_blocks(SPARSE, kind), blocks(Y)), (SPARSE, Y))


@pytest.mark.parametrize("entries", [40, 0], ids=["some columns", "no column"])
def test_sparse_rows_with_few_used_columns(client, entries):
    wide = scipy.sparse.csr_array(scipy.sparse.hstack([scipy.sparse.csr_array((N, 300)), SPARSE[:, :entries]]))
    assert_same(client, (sparse_blocks(wide), blocks(Y)), (wide, Y))


def test_wide_sparse_rows_take_the_diagonal(client):
    rng = np.random.default_rng(2)
    wide = scipy.sparse.random_array((N, 4200), density=0.003, format="csr", rng=rng)
    assert_same(client, (sparse_blocks(wide), blocks(Y)), (wide, Y), fit_intercept=False)


def test_a_sample_of_the_rows(client):
    x, y = rows_of(5000, 66, 2, np.float32)
    weight = np.arange(5000) % 7.0
    assert_same(client, (blocks(x, 999), blocks(y, 999)), (x, y), blocks(weight, 999), tol=1e-4)


def test_many_classes_have_one_block(client):
    x, _ = rows_of(2100, 130)
    y = np.arange(2100) % 1000
    assert_same(client, (blocks(x, 700), blocks(y, 700)), (x, y), tol=1e-1)


NAMED = pd.DataFrame(X, columns=COLUMNS)
LABELS = {
    "integers": Y - 1,
    "unsigned": Y.astype(np.uint8),
    "whole floats": Y * 2.0,
    "bools": Y > 0,
    "text": np.array(["a", "bb", "ccc"])[Y],
    "objects": np.array(["a", "bb", "ccc"], object)[Y],
    "only in one block": np.where(np.arange(N) == 1200, 9, Y),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_kinds_of_labels(client, labels):
    assert_same(client, (blocks(X), blocks(labels)), (X, labels), solver="newton")


SERIES = {
    "strings": pd.Series(LABELS["text"]),
    "objects": pd.Series(LABELS["objects"], dtype=object),
    "categories": pd.Series(LABELS["text"], dtype="category"),
    "categories of numbers": pd.Series(Y * 3, dtype="category"),
    "nullable integers": pd.Series(Y, dtype="Int64"),
    "nullable strings": pd.Series(LABELS["text"], dtype="string"),
}


@pytest.mark.parametrize("labels", SERIES.values(), ids=SERIES)
def test_kinds_of_labels_in_a_frame(client, labels):
    frame = NAMED.assign(label=labels)
    parts = dd.from_pandas(frame, npartitions=4)
    model, _ = assert_same(client, (parts[COLUMNS], parts["label"]), (NAMED, frame["label"]), solver="newton")
    assert model.feature_names_in_.tolist() == COLUMNS


def test_a_frame_with_an_array_of_labels_and_a_series_of_weights(client):
    frame = dd.from_pandas(NAMED.assign(s=np.arange(N) % 3), npartitions=4)
    y = da.from_array(Y, chunks=(tuple(map(len, frame.partitions)),))
    assert_same(client, (frame[COLUMNS], y), (NAMED, Y), frame["s"])


READERS = {
    "parquet": partial(dd.read_parquet, filesystem="arrow"),
    "csv": dd.read_csv,
}


@pytest.mark.parametrize("kind", READERS)
def test_files(client, tmp_path, kind):
    frame = NAMED.round(3).assign(label=LABELS["text"], weight=np.arange(N) % 4)
    for part in range(3):
        rows = frame.iloc[part * 600 : (part + 1) * 600]
        (rows.to_csv if kind == "csv" else rows.to_parquet)(tmp_path / f"{part}.{kind}", index=False)
    parts = READERS[kind](f"{tmp_path}/*.csv" if kind == "csv" else str(tmp_path))
    rows = parts.compute()  # Parquet files may come in any order
    assert len(rows) == N
    assert_same(client, (parts[COLUMNS], parts["label"]), (rows[COLUMNS], rows["label"]), parts["weight"], C=3.0)


def test_class_probabilities(client):
    probabilities = np.random.default_rng(3).dirichlet(np.ones(K), N)
    probabilities[::3, 0] = 0
    assert_same(client, (blocks(X), blocks(probabilities)), (X, probabilities), label_smoothing=0.1)
    frame = pd.DataFrame(probabilities, columns=["z", "x", "y"])
    parts = dd.from_pandas(NAMED.join(frame.rename(columns=str)), npartitions=4)
    targets = parts[["z", "x", "y"]].rename(columns={"x": "w"})
    local = frame.rename(columns={"x": "w"})
    model, _ = assert_same(client, (parts[COLUMNS], targets), (NAMED, local), class_weight={"w": 2.0})
    assert model.classes_.tolist() == ["w", "y", "z"]


PARAMETERS = {
    "a dictionary of class weights": {"class_weight": {0: 2.0, 1: 0.5}},
    "balanced classes": {"class_weight": "balanced"},
    "label smoothing": {"label_smoothing": 0.2},
    "no intercept": {"fit_intercept": False},
    "no penalty": {"C": np.inf},
    "newton": {"solver": "newton"},
    "auto": {"solver": "auto"},
    "max_iter": {"max_iter": 2, "tol": 1e-9},
}


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_parameters(client, parameters):
    weight = np.where(np.arange(N) % 5, np.linspace(0.1, 3, N), 0)
    assert_same(client, (blocks(X), blocks(Y)), (X, Y), blocks(weight), **parameters)


def test_labels_without_weight_are_no_classes(client):
    y = np.where(np.arange(N) < 450, 7, Y)
    weight = (y != 7).astype(float)
    for class_weight in None, "balanced":
        model, _ = assert_same(
            client, (blocks(X), blocks(y)), (X, y), blocks(weight), class_weight=class_weight, solver="newton"
        )
        assert model.classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["separable", "quasi-separable"])
def test_separable_rows_without_a_penalty(client, kind):
    x, y = X[:600, :2], (X[:600, 0] > 0).astype(int)
    if kind == "quasi-separable":
        x = np.where(np.arange(600)[:, None] % 3, x, [0, 1]) * [1, 0.01]
        y = np.where(np.arange(600) % 3, y, np.arange(600) % 2)
    model, _ = assert_same(client, (blocks(x, 250), blocks(y, 250)), (x, y), C=np.inf, solver="newton", tol=1e-5)
    assert not model.converged_


def test_a_warning_names_the_line_of_the_call(client):
    for C, max_iter, message in (1.0, 3, "max_iter=3 reached"), (np.inf, 30, "the rows are separable"):
        model = SoftmaxRegression(C, solver="newton", max_iter=max_iter, tol=0, client=client)
        with pytest.warns(ConvergenceWarning, match=message) as caught:
            model.fit(blocks(X, 900), blocks(X[:, 0] > 0, 900))
        assert [warning.filename for warning in caught] == [__file__]


def test_warm_start(client):
    model = SoftmaxRegression(solver="lbfgs", warm_start=True, client=client, tol=1e-2).fit(blocks(X), blocks(Y))
    expected = linear_model.SoftmaxRegression(solver="lbfgs", warm_start=True, tol=1e-2).fit(X, Y)
    for estimator in model, expected:
        estimator.set_params(C=0.1, tol=1e-3)
    model.fit(blocks(X), blocks(Y))
    expected.fit(X, Y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    assert model.n_iter_ == expected.n_iter_
    with pytest.raises(ValueError, match="warm_start=True: the model was fitted to 5 columns and the classes"):
        model.fit(blocks(X), blocks(Y + 1))


def test_iterations_are_reported(client, capsys):
    seen = []
    model = SoftmaxRegression(solver="lbfgs", tol=1e-2, verbose=1, client=client)
    model.fit(blocks(X), blocks(Y), on_iteration=seen.append)
    assert seen == model.history_
    assert capsys.readouterr().err.count("iteration ") == len(seen)
    assert (model.n_blocks_, model.n_bytes_) == (4, X.nbytes + Y.nbytes)
