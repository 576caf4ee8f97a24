"""Names of columns: unique, and looked up."""

import shlex
from pathlib import Path

import pytest

from softgrad.cli._tables._column_names import drop_option, find_column, find_columns, stripped_names
from tests.cli.refusal import assert_refused


def test_names_stay_unique_without_their_blanks():
    assert stripped_names(["a", " a", "a ", " ", "b"]) == (["a", "a.1", "a.2", "Unnamed: 3", "b"], 3)
    assert find_column(" a ", ["a", "b"], Path("t.csv"), "--drop") == "a"


def test_a_name_wins_over_a_position():
    names = ["1", "b", "0"]
    found = [find_column(given, names, Path("t.csv"), "--target") for given in ("0", "1", "2", "-1", "-2", "b")]
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
    with assert_refused(message):
        find_column(given, ["age", "Sex", "y"], Path("t.csv"), "--drop")


def test_names_with_commas_stay_usable_in_lists():
    names = ["a", "b", "a,b", "c, d, e", "it's"]
    for given, found in (
        (["a,b"], ["a,b"]),
        (["b,a"], ["b", "a"]),
        (["b,a,b,a", "0"], ["b", "a,b", "a"]),
        (["c, d, e,it's,-5"], ["c, d, e", "it's", "a"]),
    ):
        assert find_columns(given, names, Path("t.csv"), "--drop") == found
    assert find_columns(shlex.split(drop_option(names[2:]))[1:], names, Path("t.csv"), "--drop") == names[2:]
    with assert_refused("--drop: t.csv has no column ''"):
        find_columns(["a,"], names, Path("t.csv"), "--drop")
