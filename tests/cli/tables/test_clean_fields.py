"""Blanks around names, fields and labels, and the texts that mean a missing value."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from softgrad.cli._tables._named_table import read_named_table
from softgrad.cli._tables._read_options import ReadOptions


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def csv(content):
    Path("t.csv").write_text(content, encoding="utf-8")
    return Path("t.csv")


@pytest.mark.parametrize("left, right", [("", ""), (" ", ""), ("", "  "), ("\t", "\u00a0"), ("\u2009", "\u3000")])
def test_blanks_around_fields_change_nothing(left, right):
    plain = [["a", "b", "c", "d", "e"], ["1", "red", "?", "True", "0.1"], ["2", "blue", "7", "False", "1e-300"]]
    padded = "".join(",".join(f"{left}{field}{right}" for field in row) + "\n" for row in plain)
    table = read_named_table(csv(padded), ReadOptions(sep=",", missing=("?",)))
    expected = {"a": [1, 2], "b": ["red", "blue"], "c": [np.nan, 7.0], "d": [True, False], "e": [0.1, 1e-300]}
    pd.testing.assert_frame_equal(table.frame, pd.DataFrame(expected))
    assert table.unmatched == ()
    assert bool(table.warnings) == bool(left + right)


def test_what_was_stripped_is_counted():
    table = read_named_table(csv(" a,b,y \n red,1,p\nred ,2, q\nblue,3,p\n red,4,p\n"))
    assert table.warnings == ["stripped the blanks around 4 fields and 2 names, such as ' red' in column 'a'"]
    pd.DataFrame({"a ": ["x ", "x"], "b": [1, 2]}).to_parquet("t.parquet")
    table = read_named_table(Path("t.parquet"))
    assert table.frame.to_dict("list") == {"a": ["x", "x"], "b": [1, 2]}
    assert table.warnings == ["stripped the blanks around 1 field and 1 name, such as 'x ' in column 'a'"]


def test_blank_fields_are_missing():
    for text in ((), ("b",)):
        assert read_named_table(csv("a,b\n1,x\n  ,\t\n2,z\n"), text=text).frame.isna().sum().tolist() == [1, 1]


def test_a_line_end_inside_a_field_stays():
    assert read_named_table(csv('a,b\n"x\n",1\n')).frame["a"].tolist() == ["x\n"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@pytest.mark.parametrize("text", ["-999", "-999.0", " -999 "])
def test_numbers_that_mean_missing_are_compared_as_numbers(name, text):
    frame = pd.DataFrame({"a": [1, -999, 3], "b": [0.5, 1.5, -999.0]})
    frame.to_csv("t.csv", index=False)
    frame.to_parquet("t.parquet")
    found = read_named_table(Path(name), ReadOptions(missing=(text, "zz")))
    assert found.frame.isna().sum().tolist() == [1, 1]
    assert found.unmatched == ("zz",)


def test_verbatim_columns_keep_every_text():
    path = csv("zip , country,n\n007,NA,NA\n 010 ,DE,5\n")
    table = read_named_table(path, ReadOptions(missing=("NA",)), text=["zip", "country"], verbatim=["country"])
    assert table.frame.to_dict("list") == {
        "zip": ["007", "010"],
        "country": ["NA", "DE"],
        "n": [pytest.approx(np.nan, nan_ok=True), 5.0],
    }
