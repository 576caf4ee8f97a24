"""Files of every kind, whole and broken, as features and labels."""

import gzip
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import dump_svmlight_file

from softgrad.cli._errors import CommandError
from softgrad.cli._tables._array_table import read_array
from softgrad.cli._tables._file_format import kind_of
from softgrad.cli._tables._named_table import column_named, labels_of, read_frame
from softgrad.cli._tables._read_options import ReadOptions

X = np.random.default_rng(0).standard_normal((12, 3)).round(3)
Y = np.arange(12) % 3


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def text(name, content):
    Path(name).write_text(content, encoding="utf-8")
    return Path(name)


def refused(message):
    return pytest.raises(CommandError, match=re.escape(message))


@pytest.mark.parametrize(
    "name, kind",
    [("a.csv", "csv"), ("A.CSV", "csv"), ("a.csv.gz", "csv"), ("a.tsv", "tsv"), ("a.parquet", "parquet")]
    + [("a.npy", "npy"), ("a.npz", "npz"), ("a.svm", "libsvm"), ("a.libsvm.gz", "libsvm")],
)
def test_the_name_says_the_kind(name, kind):
    assert kind_of(Path(name)) == kind


def test_text_tables_of_every_kind_are_the_same():
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, -1e-300], "c": ["x y", "ü,\n"], "d": ["1", "p"]})
    frame.to_csv("t.csv", index=False)
    frame.to_csv("t.csv.gz", index=False)
    frame.to_csv("t.tsv", index=False, sep="\t")
    frame.to_parquet("t.parquet")
    for name in ("t.csv", "t.csv.gz", "t.tsv", "t.parquet"):
        pd.testing.assert_frame_equal(read_frame(Path(name)).frame, frame)


def test_only_what_means_missing_is_missing():
    table = text("t.csv", "a,b,c\n?,NA,\n1,-,x\n")
    assert read_frame(table).frame.isna().sum().tolist() == [0, 0, 1]
    frame = read_frame(table, ReadOptions(missing=("?", "NA"))).frame
    assert frame.isna().sum().tolist() == [1, 1, 1]
    assert frame["a"].dtype == np.float64


def test_columns_without_a_header_are_named_by_position():
    table = text("t.csv", "007,x\n008,y\n")
    bare = ReadOptions(header=False)
    assert read_frame(table, bare).frame.to_dict("list") == {"0": [7, 8], "1": ["x", "y"]}
    assert read_frame(table, bare, text=["0"]).frame["0"].tolist() == ["007", "008"]
    assert read_frame(table, text=["007"]).frame["007"].tolist() == ["008"]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("t.csv", b"", "t.csv is empty; expected a header line and rows"),
        ("t.tsv", b"", "t.tsv is empty; expected a header line and rows"),
        ("t.csv", b"a,b\n", "t.csv holds a header but no rows"),
        ("t.csv", b"\xff\xfe\x00a,y\n1,2\n", "t.csv is not UTF-16"),
        (
            "t.csv",
            b"a,b\n1,2\n1,2,3\n",
            "t.csv: line 3 has 3 fields, the first line 2, separated by ','",
        ),
        ("t.csv", b'a,b\n1,"2\n', 't.csv: a quote (") that opens in row 2 of the file is never closed'),
        ("t.csv.gz", b"a,b\n1,2\n", "t.csv.gz is not packed by gzip, or damaged"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "t.csv.gz is not packed by gzip, or damaged"),
        ("t.parquet", b"", "t.parquet is not Parquet, or damaged"),
        ("t.parquet", b"PAR1 and more PAR1", "t.parquet is not Parquet, or damaged"),
    ],
)
def test_broken_tables_are_refused(name, content, message):
    Path(name).write_bytes(content)
    with refused(message):
        read_frame(Path(name))


def test_truncated_parquet_is_refused():
    frame = pd.DataFrame({"a": np.arange(50), "b": [f"text {i}" for i in range(50)]})
    frame.to_parquet("t.parquet")
    whole = Path("t.parquet").read_bytes()
    for position in range(0, len(whole), 97):
        Path("t.parquet").write_bytes(whole[:position])
        with refused("t.parquet is"):
            read_frame(Path("t.parquet"))


def test_parquet_without_pyarrow_names_the_extra(monkeypatch):
    pd.DataFrame({"a": [1]}).to_parquet("t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with refused('t.parquet: Parquet needs pyarrow; write pip install "softgrad[parquet]"') as caught:
        read_frame(Path("t.parquet"))
    assert caught.value.exit_code == 1


def test_a_name_wins_over_a_position():
    names = ["1", "b", "0"]
    found = [column_named(given, names, Path("t.csv"), "--target") for given in ("0", "1", "2", "-1", "-2", "b")]
    assert found == ["0", "1", "0", "0", "b", "b"]


@pytest.mark.parametrize(
    "given, message",
    [
        ("3", "--drop 3: t.csv has 3 columns; expected a name, or a position from 0 to 2, or from -1 for the last"),
        ("-4", "--drop -4: t.csv has 3 columns"),
        ("agee", "--drop: t.csv has no column 'agee' (did you mean 'age'?); its columns: age, Sex, y"),
        ("SEX", "no column 'SEX' (did you mean 'Sex'?)"),
        ("", "no column ''; its columns"),
    ],
)
def test_unknown_columns_are_refused(given, message):
    with refused(message):
        column_named(given, ["age", "Sex", "y"], Path("t.csv"), "--drop")


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
    found = labels_of(pd.Series(values, name="y"))
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
    ],
)
def test_what_is_no_label_is_refused(values, message):
    with refused(message):
        labels_of(pd.Series(values, name="y"))


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_a_fit_takes_stays_in_the_file(dtype):
    np.save("x.npy", X.astype(dtype))
    np.save("y.npy", Y)
    features = read_array(Path("x.npy"), "y.npy").features
    assert isinstance(features, np.memmap)
    assert features.dtype == dtype


@pytest.mark.parametrize("dtype", ["f2", "i4", "u1", ">f8", "?"])
def test_other_numbers_become_float64(dtype):
    np.save("x.npy", (X > 0).astype(dtype))
    features = read_array(Path("x.npy"), None, features=3).features
    assert features.dtype == np.float64
    np.testing.assert_array_equal(features, X > 0)


def test_libsvm_text_stays_sparse_and_counts_columns_as_the_fit_did():
    table = text("t.svm", "1 1:0.5 100000:1\n2\n0 2:4 # note\n")
    found = read_array(table, None)
    assert scipy.sparse.issparse(found.features)
    assert (found.features.shape, found.features.nnz, found.first_index) == ((3, 100000), 3, 1)
    later = read_array(text("l.svm", "0 3:7\n"), None, features=5, first_index=1)
    assert later.features.toarray().tolist() == [[0, 0, 7, 0, 0]]
    later = read_array(text("l.svm", "0 3:7\n"), None, features=5, first_index=0)
    assert later.features.toarray().tolist() == [[0, 0, 0, 7, 0]]
    with refused("l.svm, data row 1: index 0; the model counts columns from 1"):
        read_array(text("l.svm", "0 0:7\n"), None, features=5, first_index=1)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "t.svm holds 0 rows of 0 features"),
        ("# note\n", "t.svm holds 0 rows"),
        ("1\n2\n", "t.svm holds 2 rows of 0 features"),
        ("1 1:1\n2 1:x\n3 1:1\n", "t.svm, line 2: could not convert string to float: 'x'; expected LibSVM text"),
        ("a,b,y\n1,2,3\n", "t.svm, line 1: could not convert string to float: 'a,b,y'"),
        ("1 1:2\n" * 999 + "1 1\n" + "1 1:2\n" * 500, "t.svm, line 1000: "),
        ("1 1:1\n2 3:1 2:1\n", "t.svm, line 2: "),
        ("1 1:1\n2 -1:1\n", "t.svm, line 2: "),
        ("1 99999999999:1\n", "t.svm, line 1: "),
        ("1 1:1\n2 1:nan\n", "t.svm, data row 2 holds nan; expected finite numbers"),
        ("1 1:1\n2\n1 1:1 2:inf\n", "t.svm, data row 3 holds inf"),
        ("0.5 1:1\n", "t.svm, label, data row 1: 0.5 is a measurement"),
        ("nan 1:1\n", "t.svm, label, data row 1: nan is a measurement"),
    ],
)
def test_broken_libsvm_text_is_refused_by_line(content, message):
    with refused(message):
        read_array(text("t.svm", content), None)


@pytest.mark.parametrize("content", [b"1 1:2\n", gzip.compress(b"1 1:2\n" * 99, mtime=0)[:-9]])
def test_broken_gzip_is_refused(content):
    Path("t.svm.gz").write_bytes(content)
    with refused("t.svm.gz is not packed by gzip, or damaged"):
        read_array(Path("t.svm.gz"), None)


@pytest.mark.parametrize(
    "array, target, message",
    [
        (
            X,
            None,
            "--target is missing: t.npy has 3 columns; expected a position from 0 to 2, -1 for the last, or a .npy",
        ),
        (X, "3", "--target 3: t.npy has 3 columns; expected a position from 0 to 2"),
        (X, "y", "--target y: t.npy has 3 columns"),
        (X, "0", "t.npy, column 0, data row 1: 0.126 is a measurement"),
        (X, "none.npy", "--target none.npy: there is no such file"),
        (X, "short.npy", "t.npy holds 12 rows but there are 2 labels; expected one for each"),
        (X, "matrix.npy", "matrix.npy has shape (12, 3) and dtype float64; expected one axis of labels"),
        (X, "complex.npy", "complex.npy has shape (12,) and dtype complex128; expected one axis of labels"),
        (X[0], "0", "t.npy has shape (3,) and dtype float64; expected two axes, rows and features, of real numbers"),
        (X.astype(complex), "0", "dtype complex128; expected two axes"),
        (X.astype(str), "0", "t.npy has shape (12, 3) and dtype <U"),
        (X[:0], "0", "t.npy holds 0 rows of 2 features; expected at least one of both"),
        (Y[:, None], "0", "t.npy holds 12 rows of 0 features"),
        (np.where(X[4, 1] == X, np.nan, X), "y.npy", "t.npy, data row 5, column 1 holds nan; expected finite numbers"),
        (np.where(X[4, 1] == X, -np.inf, X), "y.npy", "t.npy, data row 5, column 1 holds -inf"),
        (
            np.array([[{}]], object),
            "0",
            "t.npy is not .npy, is damaged, or holds Python objects, which are never loaded",
        ),
    ],
)
def test_unusable_arrays_are_refused(array, target, message):
    np.save("y.npy", Y)
    np.save("short.npy", Y[:2])
    np.save("matrix.npy", X)
    np.save("complex.npy", Y.astype(complex))
    np.save("t.npy", array)
    with refused(message):
        read_array(Path("t.npy"), target)


@pytest.mark.parametrize(
    "arrays, target, message",
    [
        ({"x": X, "y": Y}, None, "t.npz has no array called X, the features; its arrays: x, y"),
        ({}, None, "t.npz has no array called X, the features; its arrays: none"),
        ({"X": X, "y": Y}, "z", "--target z: t.npz has no such array; its arrays: X, y"),
        (
            {"X": X, "y": np.array([{}])},
            None,
            "t.npz is not .npz, is damaged, or holds Python objects, which are never loaded",
        ),
        ({"X": X[0], "y": Y}, None, "t.npz: X has shape (3,)"),
        ({"X": X, "y": X}, None, "t.npz: y has shape (12, 3)"),
    ],
)
def test_unusable_archives_are_refused(arrays, target, message):
    np.savez("t.npz", **arrays)
    with refused(message):
        read_array(Path("t.npz"), target)


@pytest.mark.parametrize("name", ["t.npy", "t.npz"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x93NUMPY\x01\x00\xff\xff{"])
def test_files_that_are_no_arrays_are_refused(name, content):
    Path(name).write_bytes(content)
    with refused(f"{name} is not {name[1:]}, is damaged, or holds Python objects, which are never loaded"):
        read_array(Path(name), "0")


def test_a_kind_under_the_name_of_another_is_refused():
    with open("t.npz", "wb") as file:
        np.save(file, X)
    with refused("t.npz holds one array without a name; write numpy.savez(file, X=..., y=...)"):
        read_array(Path("t.npz"), None)
    with open("t.npy", "wb") as file:
        np.savez(file, X=X)
    with refused("t.npy is not .npy"):
        read_array(Path("t.npy"), "0")


def test_every_truncation_of_an_archive_is_refused():
    np.savez_compressed("t.npz", X=X, y=Y)
    whole = Path("t.npz").read_bytes()
    for length in range(0, len(whole), 7):
        Path("t.npz").write_bytes(whole[:length])
        with refused("t.npz is"):
            read_array(Path("t.npz"), None)


def test_rows_for_a_model_may_lack_labels_but_no_features():
    np.save("x.npy", X)
    assert read_array(Path("x.npy"), "3", features=3).labels is None
    assert read_array(Path("x.npy"), None, features=3).labels is None
    np.savez("x.npz", X=X)
    assert read_array(Path("x.npz"), None, features=3).labels is None
    np.save("both.npy", np.insert(X, 3, Y, axis=1))
    np.testing.assert_array_equal(read_array(Path("both.npy"), "3", features=3).labels, Y)
    for name in ("x.npy", "x.npz"):
        with refused(f"{name} has 3 features; the model was fitted to 4"):
            read_array(Path(name), None, features=4)
