"""Warnings of tables that may mean something else than was read."""

import json
from pathlib import Path

import numpy as np
import pytest

import softgrad.cli
from softgrad.cli._tables._misreading_warnings import label_case_warnings, misreading_warnings
from softgrad.cli._tables._named_table import read_named_table
from softgrad.cli._tables._read_options import ReadOptions
from softgrad.linear_model import load_model


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Run a command; returns its exit code, stdout and stderr."""

    def command(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main([str(argument) for argument in arguments])
        return stop.value.code, *capsys.readouterr()

    return command


def csv(lines, name="t.csv"):
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Path(name)


def doubts(lines, *, header=True, text=(), missing=(), target=None):
    table = read_named_table(csv(lines), ReadOptions(header=header, missing=tuple(missing)))
    return misreading_warnings(table, header=header, text=text)


IRIS = ["5.1,3.5,1.4,0.2,Iris-setosa", "4.9,3.0,1.4,0.2,Iris-setosa", "7.0,3.2,4.7,1.4,Iris-versicolor"]
ADULT = ["39, State-gov, 77516, Male, <=50K", "50, Private, 83311, Male, <=50K", "38, State-gov, 215646, Female, >50K"]
MUSHROOM = ["p,x,s,n,t,p", "e,x,s,y,t,a", "p,x,s,n,f,p"]


@pytest.mark.parametrize("lines", [IRIS, ADULT, MUSHROOM, ["1,2,0", "3,4,1"]])
def test_a_header_that_is_a_row_is_a_warning(lines):
    found = [text for text in doubts(lines) if "looks like a row of data; if it is one, write --no-header" in text]
    assert len(found) == 1
    assert not any("--no-header" in text for text in doubts(lines, header=False))
    table = read_named_table(csv(lines))
    declared = misreading_warnings(table, header=False, text=())  # names as Parquet has them
    assert not any("--no-header" in text for text in declared)


@pytest.mark.parametrize(
    "lines",
    [
        ["a,b,y", "1,x,p", "2,z,q"],
        ["0,1,2,3", "5,6,7,1", "2,3,4,0"],
        ["1,2,y", "5,6,p", "2,3,q"],
        ["2019,2020,2021,y", "5,6,7,p", "2,3,4,q"],
        ["red,blue,y", "1,0,p", "0,1,q"],
    ],
)
def test_a_header_of_names_is_none(lines):
    assert doubts(lines) == []


def test_labels_that_differ_by_case():
    assert label_case_warnings(np.array(["Red", "red", "RED", "blue"])) == [
        "labels that differ only by case are different classes: 'RED' and 'Red' and 'red'"
    ]
    assert label_case_warnings(np.array(["red", "blue"])) == label_case_warnings(np.array([1, 2])) == []


def test_text_that_may_be_missing_and_numbers_that_may_be_text():
    lines = ["zip,country,y", "007,NA,p", "010,DE,q", "011,FR,NaN"]
    assert doubts(lines) == [
        "column 'zip': '007' is read as a number; write --text 'zip' to keep it as text",
        "column 'country': 'NA' in 1 row is read as text; write --na 'NA' if it means a missing value, "
        "--text 'country' if not",
        "column 'y': 'NaN' in 1 row is read as text; write --na 'NaN' if it means a missing value, --text 'y' if not",
    ]
    assert doubts(lines, text=["country", "y"])[1:] == []
    assert doubts(["a,y", "0,p", "0.5,q", "10,p"]) == []


def test_options_that_match_nothing_are_told_and_blanks_too(run):
    rows = [f" {i % 7}, {('?', 'red ', 'blue')[i % 3]},{('p', 'q ')[i // 20]}" for i in range(40)]
    csv(["a, colour,y ", *rows])
    arguments = ["--target", "y", "--missing", "most-frequent", "--json"]
    code, out, err = run("fit", "t.csv", *arguments, "--na", "?", "--na", "none")
    assert code == 0
    remarks = json.loads(out)["remarks"]
    assert remarks[0] == "stripped the blanks around 60 fields and 2 names, such as ' ?' in column 'colour'"
    assert remarks[1] == "--na 'none' matched no field"
    assert all(f"warning: {remark}\n" in err for remark in remarks)
    model = load_model("t.softgrad.safetensors")
    assert model.feature_names_in_.tolist() == ["a", "colour=blue", "colour=red"]
    assert model.classes_.tolist() == ["p", "q"]
    code, out, err = run("evaluate", "t.softgrad.safetensors", "t.csv", "--json")
    assert (code, json.loads(out)["rows"]) == (0, 40)
    assert "matched no field" not in err


def test_a_column_called_text_is_kept_at_every_step(run):
    rows = [
        f"00{i % 4},{('NA', 'DE')[i % 2]},{(i * 7) % 5 if i % 9 else 'NA'},{('00', 'NA')[i // 20]}" for i in range(40)
    ]
    csv(["zip,country,n,y", *rows])
    text = [part for name in ("zip", "country", "y") for part in ("--text", name)]
    code, _, err = run("fit", "t.csv", "--target", "y", "--na", "NA", "--missing", "median", *text)
    assert code == 0
    assert "country" not in err
    model = load_model("t.softgrad.safetensors")
    names = ["zip=000", "zip=001", "zip=002", "zip=003", "country=DE", "country=NA", "n"]
    assert model.feature_names_in_.tolist() == names
    assert model.classes_.tolist() == ["00", "NA"]
    code, out, err = run("evaluate", "t.softgrad.safetensors", "t.csv", "--json")
    assert (code, json.loads(out)["rows"]) == (0, 40)
    assert "country" not in err
    code, out, _ = run("predict", "t.softgrad.safetensors", "t.csv")
    assert set(out.split()) <= {"y", "00", "NA"}


def test_text_labels_of_parquet_and_arrays(run):
    import pandas as pd  # noqa: PLC0415

    pd.DataFrame({"a": np.arange(20) % 7, "y": np.arange(20) % 2}).to_parquet("t.parquet")
    assert run("fit", "t.parquet", "--target", "y", "--text", "y")[0] == 0
    assert load_model("t.softgrad.safetensors").classes_.tolist() == ["0", "1"]
    assert run("evaluate", "t.softgrad.safetensors", "t.parquet")[0] == 0
    np.savez("t.npz", X=np.arange(20.0)[:, None] % 7, y=np.array(["p", "p ", "Q", "q"] * 5))
    code, _, err = run("fit", "t.npz")
    assert code == 0
    assert "warning: stripped the blanks around 5 fields\n" in err
    assert "warning: labels that differ only by case are different classes: 'Q' and 'q'\n" in err
    assert load_model("t.softgrad.safetensors").classes_.tolist() == ["Q", "p", "q"]
