""".npy files as dask arrays."""

import os

import dask.array as da
import numpy as np
import pytest

from softgrad import linear_model
from softgrad.dask import SoftmaxRegression, from_npy

X = np.random.default_rng(0).normal(size=(1000, 3))
Y = np.arange(1000) % 3


def save(directory, *arrays):
    paths = [directory / f"{i}.npy" for i in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return paths


def test_files_are_the_rows_of_one_array(tmp_path):
    paths = save(tmp_path, X[:450], X[450:451], X[451:])
    x = from_npy(paths, rows=200)
    assert x.chunks == ((200, 200, 50, 1, 200, 200, 149), (3,))
    np.testing.assert_array_equal(x.compute(scheduler="sync"), X, strict=True)
    assert from_npy(str(paths[0])).chunks == ((450,), (3,))
    assert from_npy(paths[1], rows=7).chunks == ((1,), (3,))


def test_relative_paths_are_those_of_the_call(tmp_path, monkeypatch):
    save(tmp_path, X)
    monkeypatch.chdir(tmp_path)
    x = from_npy("0.npy")
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(x.compute(scheduler="sync"), X)


def test_blocks_are_mapped(tmp_path):
    (path,) = save(tmp_path, X)
    (block,) = from_npy(path, rows=1000).to_delayed().ravel()
    assert isinstance(block.compute(scheduler="sync"), np.memmap)


@pytest.mark.parametrize("kind", ["C order", "Fortran order", "two dtypes", "no rows in one"])
def test_fits(client, tmp_path, kind):
    parts = {
        "Fortran order": [np.asfortranarray(X[:600]), X[600:]],
        "two dtypes": [X[:600].astype(np.float32), X[600:]],
        "no rows in one": [X[:600], X[:0], X[600:]],
    }.get(kind, [X[:600], X[600:]])
    x = from_npy(save(tmp_path, *parts), rows=250)
    (tmp_path / "y").mkdir()
    y = from_npy(save(tmp_path / "y", *np.split(Y, [600])), rows=130)
    model = SoftmaxRegression(solver="lbfgs", client=client, tol=1e-2).fit(x, y)
    expected = linear_model.SoftmaxRegression(solver="lbfgs", tol=1e-2).fit(np.concatenate(parts), Y)
    np.testing.assert_array_equal(model.coef_, expected.coef_)


def test_errors(tmp_path):
    whole, narrow = save(tmp_path, X, X[:, :2])
    number, objects, empty, text, archive = (tmp_path / name for name in ("n", "o", "e", "t", "a.npz"))
    with open(number, "wb") as file:
        np.save(file, 1.0)
    with open(objects, "wb") as file:
        np.save(file, np.array([{}], object), allow_pickle=True)
    empty.touch()
    text.write_text("1,2\n")
    np.savez(archive, X)
    calls = [
        (lambda: from_npy([]), ValueError, "paths is empty; expected one .npy file or more"),
        (lambda: from_npy(whole, rows=0), ValueError, "rows=0; expected a positive integer, the rows of a block"),
        (lambda: from_npy(whole, rows=2.5), TypeError, "rows=2.5; expected a positive integer"),
        (lambda: from_npy(tmp_path / "missing.npy"), FileNotFoundError, "missing.npy"),
        (lambda: from_npy(number), ValueError, f"{number} holds a single number; expected an array of rows"),
        (lambda: from_npy(objects), ValueError, f"{objects} cannot be mapped as a .npy file"),
        (lambda: from_npy(empty), ValueError, f"{empty} cannot be mapped as a .npy file"),
        (lambda: from_npy(text), ValueError, f"{text} cannot be mapped as a .npy file"),
        (lambda: from_npy(archive), ValueError, f"{archive} cannot be mapped as a .npy file"),
        (
            lambda: from_npy([whole, narrow]),
            ValueError,
            rf"{narrow} holds rows of shape \(2,\), and {whole} of shape \(3,\); expected the same in all files",
        ),
    ]  # fmt: skip
    for call, error, message in calls:
        with pytest.raises(error, match=message):
            call()


def test_a_file_that_changes_before_it_is_read(tmp_path):
    (path,) = save(tmp_path, X)
    x = from_npy(path)
    assert isinstance(x, da.Array)
    os.unlink(path)
    with pytest.raises(FileNotFoundError, match=r"0\.npy"):
        x.compute(scheduler="sync")
