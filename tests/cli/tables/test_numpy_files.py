"""Files of NumPy, whole and broken."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from softgrad.cli._tables._array_table import read_array
from tests.cli.refusal import assert_refused

X = np.random.default_rng(0).standard_normal((12, 3)).round(3)
Y = np.arange(12) % 3


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


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
        (X, "short.npy", "t.npy holds 12 rows but there are 2 labels; expected one per row"),
        (X, "matrix.npy", "matrix.npy has shape (12, 3) and dtype float64; expected integers or text with one axis"),
        (X, "complex.npy", "complex.npy has shape (12,) and dtype complex128; expected integers or text with one axis"),
        (X[0], "0", "t.npy has shape (3,) and dtype float64; expected real numbers with two axes, rows and features"),
        (X.astype(complex), "0", "dtype complex128; expected real numbers with two axes"),
        (X.astype(str), "0", "t.npy has shape (12, 3) and dtype <U"),
        (X[:0], "0", "t.npy holds 0 rows of 2 features; expected at least one of each"),
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
    with assert_refused(message):
        read_array(Path("t.npy"), target)


@pytest.mark.parametrize(
    "arrays, target, message",
    [
        ({"x": X, "y": Y}, None, "t.npz has no array X for the features; its arrays: x, y"),
        ({}, None, "t.npz has no array X for the features; its arrays: none"),
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
    with assert_refused(message):
        read_array(Path("t.npz"), target)


@pytest.mark.parametrize("name", ["t.npy", "t.npz"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x93NUMPY\x01\x00\xff\xff{"])
def test_files_that_are_no_arrays_are_refused(name, content):
    Path(name).write_bytes(content)
    with assert_refused(f"{name} is not {name[1:]}, is damaged, or holds Python objects, which are never loaded"):
        read_array(Path(name), "0")


def test_a_kind_under_the_name_of_another_is_refused():
    with open("t.npz", "wb") as file:
        np.save(file, X)
    with assert_refused("t.npz holds one unnamed array; save it with numpy.savez(file, X=..., y=...)"):
        read_array(Path("t.npz"), None)
    with open("t.npy", "wb") as file:
        np.savez(file, X=X)
    with assert_refused("t.npy is not .npy"):
        read_array(Path("t.npy"), "0")


def test_every_truncation_of_an_archive_is_refused():
    np.savez_compressed("t.npz", X=X, y=Y)
    whole = Path("t.npz").read_bytes()
    for length in range(0, len(whole), 7):
        Path("t.npz").write_bytes(whole[:length])
        with assert_refused("t.npz is"):
            read_array(Path("t.npz"), None)


def header(shape, dtype="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (2**62, 2**62), (10**12, 2), (2**70, 1), (-1, 8)])
def test_headers_that_tell_of_more_than_there_is_are_refused(shape):
    forged = header(shape) + bytes(64)
    Path("t.npy").write_bytes(forged)
    with assert_refused("t.npy is not .npy, is damaged"):
        read_array(Path("t.npy"), "0")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile("t.npz", "w", method) as archive:
            archive.writestr("X.npy", forged)
        with assert_refused("t.npz is not .npz, is damaged"):
            read_array(Path("t.npz"), None)


DAMAGED_HEADERS = [b"(" * 1000, b"{'descr': '<f8', 'fortran_order': False, 'shape': (True, 8)}", b"[" * 5000, b"{'a"]


@pytest.mark.parametrize("text", DAMAGED_HEADERS, ids=range(4))
def test_headers_that_are_none_are_refused(text):
    damaged = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)
    Path("t.npy").write_bytes(damaged)
    with assert_refused("t.npy is not .npy, is damaged"):
        read_array(Path("t.npy"), "0")
    with zipfile.ZipFile("t.npz", "w") as archive:
        archive.writestr("X.npy", damaged)
    with assert_refused("t.npz is not .npz, is damaged"):
        read_array(Path("t.npz"), None)


def test_an_archive_of_many_arrays_is_not_listed_whole():
    with zipfile.ZipFile("t.npz", "w") as archive:
        for number in range(1000):
            archive.writestr(f"a{number}.npy", b"")
    with assert_refused("has no array X for the features; its arrays: a0, a1, a2, a3, a4, a5, a6, a7, ..., a997,"):
        read_array(Path("t.npz"), None)
