"""Columns that give the label away are named; honest ones are not."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

import softgrad.cli
from softgrad.cli._leaks import leaks
from softgrad.cli._typed_columns import numbers_and_text

RNG = np.random.default_rng(3)
N = 400
LABELS = np.sort(RNG.integers(0, 3, N))
HONEST = pd.DataFrame(
    {"a": RNG.standard_normal(N), "b": LABELS + RNG.standard_normal(N), "c": RNG.choice(["x", "z"], N)}
)
SHOP = np.array(["food", "tools", "toys"])[LABELS]


def found(column, name="leak", labels=LABELS):
    return leaks(numbers_and_text(HONEST.iloc[: len(labels)].assign(**{name: column})), labels, "label")


def slips(values, count):
    values = np.array(values)
    values[:count] = np.roll(values, 200)[:count]
    return values


@pytest.mark.parametrize(
    "name, column, reason",
    [
        ("Unnamed: 0", np.arange(N), "has no name in the file and numbers the rows, as an index of to_csv() does"),
        ("Unnamed: 0.1", RNG.permutation(N), "has no name in the file, as an index of to_csv() does"),
        ("id", np.arange(N), "numbers the rows, from 0 to 399"),
        ("Id", np.arange(1, N + 1), "numbers the rows, from 1 to 400"),
        ("id", np.arange(N) * 3 + 1000, "alone decides the label: each label has a range of its own"),
        ("id", np.arange(N)[::-1] / 7, "alone decides the label: each label has a range of its own"),
        ("label.1", HONEST["a"], "has the name of the target, 'label'"),
        ("Label", HONEST["a"], "has the name of the target, 'label'"),
        ("shop", SHOP, "alone decides the label: each of its 3 values goes with one"),
        ("code", LABELS, "alone decides the label: each of its 3 values goes with one"),
        ("code", np.array([5.0, -1.0, 2.0])[LABELS], "alone decides the label: each of its 3 values goes with one"),
        ("code", LABELS * 10 + RNG.integers(0, 4, N), "alone decides the label: each of its 12 values goes with one"),
        ("score", LABELS + RNG.random(N), "alone decides the label: each label has a range of its own"),
        ("gaps", np.where(np.arange(N) % 5, SHOP, None), "alone decides the label: each of its 3 values goes with one"),
    ],
)  # fmt: skip
def test_a_leak_is_named_with_what_to_write(name, column, reason):
    assert found(column, name) == [
        f"column {name!r} {reason}; if that gives the label away, write --drop {name!r}"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "column, labels",
    [
        (HONEST["a"], LABELS),
        (slips(SHOP, 30), LABELS),
        (LABELS == 0, LABELS),
        (np.arange(1900, 1900 + N), RNG.permutation(LABELS)),
        (np.ones(N), LABELS),
        (np.arange(9), LABELS[:1].repeat(9)),
        (np.arange(12) % 2, np.arange(12) % 2),
        (np.arange(100, 114), np.arange(14) // 7),
        (np.arange(N) // 2 / 7, np.repeat(RNG.integers(0, 3, N // 2), 2)),
    ],
    ids=["noise", "slips", "one class", "years", "constant", "one label", "small", "small ranges", "rows twice"],
)
def test_what_is_chance_or_no_more_than_a_good_feature_is_not_named(column, labels):
    assert found(column, labels=labels) == []


def test_few_slips_hide_no_leak():
    labels = np.arange(4000) % 2
    column = labels.copy()
    column[:2] = 1 - column[:2]
    rows = numbers_and_text(pd.DataFrame({"alive": np.array(["no", "yes"])[column]}))
    assert "decides the label but in 2 of 4000 rows: each of its 2 values" in leaks(rows, labels, "survived")[0]


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_real_tables_are_clean(load):
    table = load(as_frame=True)
    assert leaks(numbers_and_text(table.data), table.target.to_numpy(), "target") == []


def test_many_leaks_are_few_lines():
    rows = numbers_and_text(pd.DataFrame({f"c{i}": SHOP for i in range(12)}))
    assert leaks(rows, LABELS, "y")[8:] == ["and 4 more columns alike"]


def test_the_warning_is_on_stderr_and_in_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    HONEST.assign(y=LABELS).to_csv("t.csv")
    with pytest.raises(SystemExit) as stop:
        softgrad.cli.main(["fit", "t.csv", "--target", "y", "--report", "r.html", "--json"])
    out, err = capsys.readouterr()
    assert stop.value.code == 0
    (remark,) = json.loads(out)["remarks"]
    assert remark.endswith("write --drop 'Unnamed: 0'")
    assert f"warning: {remark}\n" in err
    assert "has no name in the file and numbers the rows" in Path("r.html").read_text(encoding="utf-8")
