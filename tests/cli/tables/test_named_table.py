"""CSV, TSV and Parquet, whole and broken."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from softgrad.cli._tables._file_format import detect_format
from softgrad.cli._tables._named_table import read_named_table
from softgrad.cli._tables._read_options import ReadOptions
from tests.cli.refusal import assert_refused

X = np.random.default_rng(0).standard_normal((12, 3)).round(3)
Y = np.arange(12) % 3


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def text(name, content):
    Path(name).write_text(content, encoding="utf-8")
    return Path(name)


@pytest.mark.parametrize(
    "name, kind",
    [("a.csv", "csv"), ("A.CSV", "csv"), ("a.csv.gz", "csv"), ("a.tsv", "tsv"), ("a.parquet", "parquet")]
    + [("a.npy", "npy"), ("a.npz", "npz"), ("a.svm", "libsvm"), ("a.libsvm.gz", "libsvm")],
)
def test_the_name_says_the_kind(name, kind):
    assert detect_format(Path(name)) == kind


def test_text_tables_of_every_kind_are_the_same():
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, -1e-300], "c": ["x y", "ü,\n"], "d": ["1", "p"]})
    frame.to_csv("t.csv", index=False)
    frame.to_csv("t.csv.gz", index=False)
    frame.to_csv("t.tsv", index=False, sep="\t")
    frame.to_parquet("t.parquet")
    for name in ("t.csv", "t.csv.gz", "t.tsv", "t.parquet"):
        pd.testing.assert_frame_equal(read_named_table(Path(name)).frame, frame)


def test_only_what_means_missing_is_missing():
    table = text("t.csv", "a,b,c\n?,NA,\n1,-,x\n")
    assert read_named_table(table).frame.isna().sum().tolist() == [0, 0, 1]
    frame = read_named_table(table, ReadOptions(missing=("?", "NA"))).frame
    assert frame.isna().sum().tolist() == [1, 1, 1]
    assert frame["a"].dtype == np.float64


def test_columns_without_a_header_are_named_by_position():
    table = text("t.csv", "007,x\n008,y\n")
    bare = ReadOptions(header=False)
    assert read_named_table(table, bare).frame.to_dict("list") == {"0": [7, 8], "1": ["x", "y"]}
    assert read_named_table(table, bare, text=["0"]).frame["0"].tolist() == ["007", "008"]
    assert read_named_table(table, text=["007"]).frame["007"].tolist() == ["008"]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("t.csv", b"", "t.csv is empty; expected a header line and rows"),
        ("t.tsv", b"", "t.tsv is empty; expected a header line and rows"),
        ("t.csv", b"a,b\n", "t.csv holds a header but no rows"),
        ("t.csv", b"\xff\xfe\x00a,y\n1,2\n", "t.csv is not UTF-16"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "t.csv: line 3 has 3 fields, the first one 2, separated by ','"),
        ("t.csv", b'a,b\n1,"2\n', 't.csv: a quote (") that opens in row 2 is never closed'),
        ("t.csv.gz", b"a,b\n1,2\n", "t.csv.gz is not gzip, or is damaged"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "t.csv.gz is not gzip, or is damaged"),
        ("t.parquet", b"", "t.parquet is not Parquet, or is damaged"),
        ("t.parquet", b"PAR1 and more PAR1", "t.parquet is not Parquet, or is damaged"),
    ],
)
def test_broken_tables_are_refused(name, content, message):
    Path(name).write_bytes(content)
    with assert_refused(message):
        read_named_table(Path(name))
