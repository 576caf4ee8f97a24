"""Lazy predictions, and the estimator as an object: copies, pickles, the model in memory."""

import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from softgrad import linear_model
from softgrad.dask import SoftmaxRegression
from softgrad.linear_model import load_model, save_model

rng = np.random.default_rng(0)
x = rng.normal(size=(90, 3)).round(2)
FRAME = pd.DataFrame(x, columns=["a", "b", "c"])
X, PARTS = da.from_array(x, chunks=(40, 3)), dd.from_pandas(FRAME, npartitions=3)
METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


def fitted(classes, rows=x, client=None):
    """A fitted model and the one in memory with the same results."""
    y = np.array(["no", "yes", "perhaps"])[np.arange(90) % classes]
    local = linear_model.SoftmaxRegression().fit(rows, y)
    model = SoftmaxRegression(client=client)
    names = ["coef_", "intercept_", "classes_", "temperature_", "n_features_in_", "feature_names_in_"]
    model.__dict__.update({name: getattr(local, name) for name in names if hasattr(local, name)})
    return model, local


def counted(blocks, calls):
    """The blocks, which are appended to a list when they are computed."""

    def count(block):
        calls.append(len(block))
        return block

    return blocks.map_blocks(count, meta=blocks._meta)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_predictions_are_lazy_and_those_of_the_model_in_memory(classes, method):
    model, local = fitted(classes)
    named, local_of_names = fitted(classes, FRAME)
    forms = {
        "dense": (model, X, x),
        "columns in chunks": (model, X.rechunk((50, 2)), x),
        "empty blocks": (model, X.rechunk(((0, 40, 0, 50), 3)), x),
        "float32": (model, X.astype(np.float32), x.astype(np.float32)),
        "unknown lengths": (model, X[X[:, 0] > 0], x[x[:, 0] > 0]),
        "empty after a selection": (model, X[X[:, 0] > 9], x[:0]),
        "sparse": (model, X.map_blocks(scipy.sparse.csr_matrix), scipy.sparse.csr_matrix(x)),
        "frame": (named, PARTS, FRAME),
        "frame of unknown lengths": (named, PARTS[PARTS["a"] > 0], FRAME[FRAME["a"] > 0]),
    }
    expected_shape = (classes,) if method.endswith("proba") or (classes == 3 and method != "predict") else ()
    for name, (estimator, rows, in_memory) in forms.items():
        memory = local_of_names if estimator is named else local
        result = getattr(estimator, method)(rows)
        assert isinstance(result, da.Array), name
        assert result.shape[1:] == expected_shape, name
        computed = result.compute(scheduler="sync")
        assert result.dtype == computed.dtype, name
        if in_memory.shape[0]:
            blocks = result.to_delayed().ravel()
            assert len(blocks) == (rows.npartitions if hasattr(rows, "divisions") else rows.numblocks[0]), name
            # BLAS may round differently in blocks of other lengths.
            expected = getattr(memory, method)(in_memory)
            compare = np.testing.assert_array_equal if method == "predict" else np.testing.assert_allclose
            compare(computed, expected, **({} if method == "predict" else {"rtol": 1e-13, "atol": 1e-15}))
        else:
            assert computed.shape == (0, *expected_shape), name


def test_nothing_is_computed_before_compute(client):
    model, _ = fitted(3, client=client)
    calls = []
    rows = counted(X, calls)
    results = [getattr(model, method)(rows) for method in METHODS]
    results.append(model.score(rows, model.predict(X), compute=False))
    assert not calls
    dask.compute(*results, scheduler="sync")
    assert sum(calls) >= len(x)


def test_results_know_their_chunks():
    model, _ = fitted(3)
    assert model.predict(X).chunks == ((40, 40, 10),)
    assert model.predict_proba(X).chunks == ((40, 40, 10), (3,))
    named, _ = fitted(3, FRAME)
    assert np.isnan(named.predict(PARTS).chunks[0]).all()


def test_score(client):
    model, local = fitted(3, client=client)
    y = np.array(["no", "yes", "perhaps", "never"])[rng.integers(0, 4, 90)]
    weight = rng.integers(0, 3, 90)
    q = rng.dirichlet(np.ones(3), 90)
    Y, S, Q = (da.from_array(array, chunks=(40, *array.shape[1:])) for array in (y, weight, q))
    assert model.score(X, Y) == local.score(x, y)
    assert model.score(X, Y.rechunk(33), S) == local.score(x, y, weight)
    assert model.score(X, Q, S) == pytest.approx(local.score(x, q, weight), rel=1e-14)
    assert model.score(X, Y, S, compute=False).compute(scheduler="sync") == local.score(x, y, weight)
    named, in_memory = fitted(3, FRAME, client)
    frame = PARTS.assign(y=dd.from_pandas(pd.Series(y), npartitions=3))
    assert named.score(frame[["a", "b", "c"]], frame["y"]) == in_memory.score(FRAME, y)
    empty = da.concatenate([X[:0], X])
    assert model.score(empty, da.concatenate([Y[:0], Y])) == local.score(x, y)


def test_errors_of_predictions():
    model, _ = fitted(3)
    named, _ = fitted(3, FRAME)
    unfitted = SoftmaxRegression()
    for method in METHODS:
        with pytest.raises(NotFittedError, match="This SoftmaxRegression instance is not fitted yet"):
            getattr(unfitted, method)(X)
        with pytest.raises(TypeError, match=r"X is a numpy.ndarray; expected a dask array or data frame"):
            getattr(model, method)(x)
        with pytest.raises(ValueError, match="X has 2 features, but SoftmaxRegression is expecting 3 features"):
            getattr(model, method)(X[:, :2])
        with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
            getattr(named, method)(PARTS.rename(columns={"a": "z"}))
        with pytest.raises(ValueError, match="Feature names must be in the same order as they were in fit"):
            getattr(named, method)(PARTS[["b", "a", "c"]])
        with pytest.raises(ValueError, match=r"X\[5, 0\] is NaN"):
            getattr(model, method)(da.where(np.arange(90)[:, None] == 5, np.nan, X)).compute(scheduler="sync")
    with pytest.raises(NotFittedError):
        unfitted.score(X, X[:, 0])
    with pytest.raises(NotFittedError):
        unfitted.to_local()
    y = da.where(np.arange(90)[:, None] < 80, abs(X) + 1, -1.0)
    with pytest.raises(ValueError, match=r"^partition 2: y\[0, 0\] is -1.0; expected class probabilities"):
        model.score(X, y, compute=False).compute(scheduler="sync")
    with pytest.raises(ValueError, match="every sample_weight is zero"):
        model.score(X, model.predict(X), da.zeros(90, chunks=40), compute=False).compute(scheduler="sync")


def test_the_model_in_memory(client, tmp_path):
    y = np.arange(90) % 3
    model = SoftmaxRegression(C=2.0, client=client).fit(PARTS, da.from_array(y, chunks=30))
    local = model.to_local()
    assert type(local) is linear_model.SoftmaxRegression
    assert local.get_params() == linear_model.SoftmaxRegression(C=2.0).get_params()
    np.testing.assert_array_equal(local.predict_proba(FRAME), model.predict_proba(PARTS).compute())
    save_model(local, tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors").feature_names_in_.tolist() == ["a", "b", "c"]
    for call in local.summary, lambda: local.partial_fit(FRAME, y):
        with pytest.raises(ValueError, match="the rows of the fit are not available"):
            call()
    local.temperature_scale(FRAME, y)
    assert local.temperature_ != 1
    assert model.temperature_ == 1


def test_copies_and_pickles_leave_the_client_out(client):
    model, _ = fitted(3, client=client)
    model.set_params(C=5.0)
    for copy in pickle.loads(pickle.dumps(model)), clone(model):
        assert copy.get_params() == {**model.get_params(), "client": copy.client}
    restored = pickle.loads(pickle.dumps(model))
    assert restored.client is None
    np.testing.assert_array_equal(restored.predict(X).compute(), model.predict(X).compute())
    assert clone(model).client is client
    assert not hasattr(clone(model), "coef_")
    for text in repr(model), model._repr_html_():
        assert "SoftmaxRegression" in text
        assert "C=5.0" in text
    assert "<span>Fitted</span>" in model._repr_html_()
    assert "<span>Not fitted</span>" in clone(model)._repr_html_()
