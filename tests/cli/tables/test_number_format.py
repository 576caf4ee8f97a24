"""Numbers as people write them: read where an option says how, refused otherwise, text left alone."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import softgrad.cli
from softgrad.cli._errors import CommandError
from softgrad.cli._tables._named_table import read_named_table
from softgrad.cli._tables._number_format import NumberFormat, is_number, reading_advice
from softgrad.cli._tables._read_options import ReadOptions
from softgrad.cli._tables._typed_columns import typed_columns

ONE_NOTATION = "them as 1234.5, all in one format and without % or currency"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "decimal, thousands, values",
    [
        (".", None, {"−5": -5, " 7 ": 7, "+.5": 0.5, "1.": 1, "1e−3": 1e-3}),
        (",", None, {"0,5": 0.5, "-1,5e3": -1500, "7": 7, ",5": 0.5}),
        (".", ",", {"1,230": 1230, "1,234,567.5": 1234567.5, "12": 12, "1234.5": 1234.5, "1,00,000": 1e5}),
        (",", ".", {"1.230": 1230, "−1.234.567,5": -1234567.5, "0,5": 0.5}),
        (",", " ", {"1 230,5": 1230.5, "1\u00a0230": 1230, "1\u202f230\u202f000": 1230000, "1\u2009230": 1230}),
        (".", "'", {"1'230.5": 1230.5, "1’230": 1230}),
        (".", "_", {"1_000": 1000}),
    ],
)
def test_notations_are_read(decimal, thousands, values):
    found = {text: NumberFormat(decimal, thousands).parse(text) for text in values}
    assert found == values
    assert all(map(is_number, values))


@pytest.mark.parametrize(
    "decimal, thousands, texts",
    [
        (".", ",", ["1,2", "1,23", "1,2345", ",123", "0.5,000", "1,,000", "12,34", "1234,567"]),
        (",", ".", ["0.5", "1.23", "1.2345,6"]),
        (",", None, ["0.5", "1,2,3", "", "-", "e5", "nan", "inf", "0x1"]),
        (".", None, ["0,5", "1_0", "٣", "20%", "$7"]),
    ],
)
def test_other_text_is_no_number(decimal, thousands, texts):
    assert [NumberFormat(decimal, thousands).parse(text) for text in texts] == [None] * len(texts)


WORDS = "red  - – 2020-01-01 12:30 1.2.3.4 A1 A- 10-20 10–20 '90s <5 v1,0 € 1,2,3 3rd ½"


@pytest.mark.parametrize("text", WORDS.split(" "))
def test_words_dates_and_ranges_are_text(text):
    assert not is_number(text)
    assert reading_advice([text, "0,5"]) is None


@pytest.mark.parametrize(
    "values, options",
    [
        (["0,5", "1,25"], '--decimal "," to read 0.5'),
        (["0,5", "7"], '--decimal "," to read 0.5'),
        (["1,230", "2,000"], '--decimal "," to read 1.23 or --thousands "," to read 1230'),
        (["1,230,000", "2,000"], '--thousands "," to read 1.23e+06'),
        (["1.234,5", "2"], '--decimal "," --thousands "." to read 1234.5'),
        (["1\u00a0230", "5"], '--thousands " " to read 1230'),
        (["1'230", "5"], '--thousands "\'" to read 1230'),
        (["−5", "3"], '--decimal "." to read -5'),
        (["20%", "5%"], ONE_NOTATION),
        (["$7", "$1,230"], ONE_NOTATION),
        (["7 €", "8 €"], ONE_NOTATION),
        (["(1,230)", "5"], ONE_NOTATION),
        (["7 USD", "8 USD"], ONE_NOTATION),
        (["EUR 1.234,50", "EUR 7"], ONE_NOTATION),
        (["US$7", "Rs. 5"], ONE_NOTATION),
        (["5.5 kg", "6 kg"], "them in one unit, without 'kg'"),
        (["1e3 km", "2 km"], "them in one unit, without 'km'"),
        ([f"{i}°C" for i in range(21)], "them in one unit, without '°C'"),
        ([f"€{i}{'KM'[i % 2]}" for i in range(21)], "them in one unit, without 'K' and 'M'"),
        (["0,5", "1.5", "1,234.5"], ONE_NOTATION),
        (["–0.5", "0.5"], ONE_NOTATION),
        (["‐5", "5"], ONE_NOTATION),
        (["0.5-", "0.5"], ONE_NOTATION),
        (["٣٤", "٣٥"], ONE_NOTATION),
        (["٠٫٥", "١٬٢٣٠"], ONE_NOTATION),
        (["０.５", "１.５"], ONE_NOTATION),
        (["'0.5", "'1.5"], ONE_NOTATION),
        (['="5"', '="6"'], ONE_NOTATION),
    ],
)
def test_columns_of_such_numbers_are_refused_and_the_option_is_named(values, options):
    Path("t.csv").write_text(pd.DataFrame({"a": values}).to_csv(index=False), encoding="utf-8")
    message = f"column 'a', data row 1: {values[0]!r}; expected numbers such as 1234.5; write {options}, --text 'a' if"
    with pytest.raises(CommandError, match=re.escape(message)):
        typed_columns(read_named_table(Path("t.csv")).frame)


@pytest.mark.parametrize(
    "values",
    [
        [f"{i} doors" for i in range(20)],
        [f"Class {i}" for i in range(40)],
        [f"A{i}" for i in range(40)],
        ["v1.0", "v2.5"],
        ["1.5 kg", "red"],
        [f"{i} {'abcd'[i % 4]}" for i in range(40)],
        ["USD", "EUR"],
        ["1.2.3 kg", "1.2.4 kg"],
    ],
)
def test_numbers_in_names_of_categories_are_text(values):
    assert typed_columns(pd.DataFrame({"a": values}))["a"].tolist() == values


def test_measures_are_text_where_the_user_or_the_file_says_so():
    table = pd.DataFrame({"a": ["1.5 kg", "2.5 kg"]})
    for options in ({"text": ["a"]}, {"declared": True}):
        assert typed_columns(table, **options)["a"].tolist() == ["1.5 kg", "2.5 kg"]


def test_the_refusal_names_a_value_that_is_no_plain_number():
    table = pd.DataFrame({"a": ["3", "0.5", "1,5", "−2"]})
    with pytest.raises(CommandError, match="data row 3: '1,5'; expected numbers"):
        typed_columns(table)


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_beyond_float64_are_refused_as_infinite(sign):
    table = pd.DataFrame({"a": [1, None, sign * 10**400]}, dtype=object)
    with pytest.raises(CommandError, match=r"column 'a', data row 3: '-?inf'; expected a finite number"):
        typed_columns(table)


def test_such_numbers_beside_text_are_refused_as_plain_ones_are():
    table = pd.DataFrame({"a": ["0,5", "NA", "1,5"]})
    with pytest.raises(CommandError, match="column 'a', data row 2: 'NA'; expected a finite number, as in other rows"):
        typed_columns(table)


def test_numbers_in_another_notation_than_that_of_the_option_are_refused():
    Path("t.csv").write_text("a;b\n0.5;0,5\n1.5;1,5\n", encoding="utf-8")
    frame = read_named_table(Path("t.csv"), ReadOptions(decimal=",")).frame
    assert frame["b"].tolist() == [0.5, 1.5]
    with pytest.raises(CommandError, match=r"column 'a', data row 1: '0.5'; .*--decimal \".\" to read 0.5"):
        typed_columns(frame)


def test_a_model_remembers_how_numbers_are_written(capsys):
    rng = np.random.default_rng(0)
    plain = pd.DataFrame({"a": rng.normal(2000, 900, 60).round(1), "y": ["p", "q"] * 30})
    plain.to_csv("plain.csv", index=False)
    local = plain.assign(a=[f"{a:,.1f}".translate(str.maketrans(",.", ".,")) for a in plain["a"]])
    local.to_csv("local.csv", index=False, sep=";")

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(list(arguments))
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    code, _, err = run("fit", "local.csv", "--target", "y")
    assert (code, err.count("\n"), 'write --decimal "," --thousands "."' in err) == (2, 1, True)
    options = ["--decimal", ",", "--thousands", "."]
    reports = [
        json.loads(run("fit", *table, "--target", "y", "--json", "--output", "m")[1])
        for table in (["plain.csv"], ["local.csv", *options])
    ]
    assert reports[0]["loss"] == reports[1]["loss"]
    predictions = run("predict", "m", "local.csv", "--proba")
    assert predictions[0] == 0
    assert run("predict", "m", "plain.csv", "--proba", "--decimal", ".") == predictions
    code, _, err = run("predict", "m", "plain.csv", "--proba")
    assert (code, err.count("\n"), "column 'a', data row 1" in err, '--decimal "."' in err) == (2, 1, True, True)
    assert run("evaluate", "m", "plain.csv", "--decimal", ".", "--json")[0] == 0
