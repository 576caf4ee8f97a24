"""Arrays of every format as features and labels."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import dump_svmlight_file

from softgrad.cli._tables._array_table import read_array
from tests.cli.refusal import assert_refused

X = np.random.default_rng(0).standard_normal((12, 3)).round(3)
Y = np.arange(12) % 3


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_arrays_of_every_kind_are_the_same():
    np.save("x.npy", X)
    np.save("y.npy", Y)
    np.save("both.npy", np.insert(X, 1, Y, axis=1))
    np.savez("a.npz", X=X, y=Y)
    np.savez_compressed("b.npz", X=X, species=Y.astype(float), other="x")
    dump_svmlight_file(X, Y, "a.svm")
    dump_svmlight_file(X, Y, "a.txt", zero_based=False)
    Path("a.svm.gz").write_bytes(gzip.compress(Path("a.svm").read_bytes()))
    for name, target in [
        ("x.npy", "y.npy"), ("both.npy", "1"), ("both.npy", "-3"), ("a.npz", None), ("a.npz", "y.npy"),
        ("b.npz", "species"), ("a.svm", None), ("a.txt", None), ("a.svm.gz", None),
    ]:  # fmt: skip
        table = read_array(Path(name), target)
        dense = table.features.toarray() if scipy.sparse.issparse(table.features) else table.features
        np.testing.assert_array_equal(dense, X)
        np.testing.assert_array_equal(table.labels, Y)
        assert table.labels.dtype.kind == "i"
        assert table.target == ("1" if name == "both.npy" else None)
    assert read_array(Path("a.svm"), None).first_index == 0
    assert read_array(Path("a.txt"), None).first_index == 1


def test_rows_for_a_model_may_lack_labels_but_no_features():
    np.save("x.npy", X)
    assert read_array(Path("x.npy"), "3", features=3).labels is None
    assert read_array(Path("x.npy"), None, features=3).labels is None
    np.savez("x.npz", X=X)
    assert read_array(Path("x.npz"), None, features=3).labels is None
    np.save("both.npy", np.insert(X, 3, Y, axis=1))
    np.testing.assert_array_equal(read_array(Path("both.npy"), "3", features=3).labels, Y)
    for name in ("x.npy", "x.npz"):
        with assert_refused(f"{name} has 3 features; the model has 4"):
            read_array(Path(name), None, features=4)
