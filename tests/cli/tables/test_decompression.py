"""Damaged gzip, and files whose content is far larger than they are."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from softgrad.cli._tables import _decompression, _libsvm
from softgrad.cli._tables._array_table import read_array
from softgrad.cli._tables._named_table import read_named_table
from tests.cli.refusal import assert_refused


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("content", [b"1 1:2\n", gzip.compress(b"1 1:2\n" * 99, mtime=0)[:-9]])
def test_broken_gzip_is_refused(content):
    Path("t.svm.gz").write_bytes(content)
    with assert_refused("t.svm.gz is not gzip, or is damaged"):
        read_array(Path("t.svm.gz"), None)


def test_what_unpacks_to_far_more_than_its_size_is_refused(monkeypatch):
    def parse(*_, **__):
        raise AssertionError("rows are parsed before their size is known")

    monkeypatch.setattr(_decompression, "_ALWAYS_ALLOWED", 10**5)
    expected = "MB or more; expected at most 0 MB or 100 times its size; if it is a table, decompress it first"
    np.savez_compressed("t.npz", X=np.zeros((10**5, 2)), y=np.zeros(10**5))
    with assert_refused("t.npz: X decompresses from 0.0 MB to 2 " + expected):
        read_array(Path("t.npz"), None)
    Path("t.csv.gz").write_bytes(gzip.compress(b"a,y\n" + b"1,2\n" * 10**5))
    with assert_refused("t.csv.gz decompresses from 0.0 MB to 0 " + expected), monkeypatch.context() as patched:
        patched.setattr(pd, "read_csv", parse)
        read_named_table(Path("t.csv.gz"))
    Path("t.svm.gz").write_bytes(gzip.compress(b"1 1:1\n" * 10**5))
    with assert_refused("t.svm.gz decompresses from 0.0 MB to 0 " + expected), monkeypatch.context() as patched:
        patched.setattr(_libsvm, "_parse", parse)
        read_array(Path("t.svm.gz"), None)
    pd.DataFrame({"a": np.zeros(10**6)}).to_parquet("t.parquet")
    with assert_refused("t.parquet decompresses from 0.0 MB to 8 " + expected):
        read_named_table(Path("t.parquet"))
