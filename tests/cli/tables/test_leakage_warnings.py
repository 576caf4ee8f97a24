"""Columns that give the label away are named; honest ones are not."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

import softgrad.cli
from softgrad.cli._tables._leakage_warnings import array_leakage_warnings, leakage_warnings
from softgrad.cli._tables._typed_columns import typed_columns

RNG = np.random.default_rng(3)
N = 400
LABELS = np.sort(RNG.integers(0, 3, N))
HONEST = pd.DataFrame(
    {"a": RNG.standard_normal(N), "b": LABELS + RNG.standard_normal(N), "c": RNG.choice(["x", "z"], N)}
)
SHOP = np.array(["food", "tools", "toys"])[LABELS]


def found(column, name="leak", labels=LABELS):
    return leakage_warnings(typed_columns(HONEST.iloc[: len(labels)].assign(**{name: column})), labels, "label")


def slips(values, count):
    values = np.array(values)
    values[:count] = np.roll(values, 200)[:count]
    return values


VALUES = "alone determines the label: each of its {} values goes with one"


@pytest.mark.parametrize(
    "name, column, reason",
    [
        ("Unnamed: 0", np.arange(N), "has no name in the file and numbers the rows, like an index from to_csv()"),
        ("Unnamed: 0.1", RNG.permutation(N), "has no name in the file, like an index from to_csv()"),
        ("id", np.arange(N), "numbers the rows, from 0 to 399"),
        ("Id", np.arange(1, N + 1), "numbers the rows, from 1 to 400"),
        ("id", np.arange(N) * 3 + 1000, "alone determines the label: each label has its own range"),
        ("id", np.arange(N)[::-1] / 7, "alone determines the label: each label has its own range"),
        ("label.1", HONEST["a"], "has the name of the target, 'label'"),
        ("Label", HONEST["a"], "has the name of the target, 'label'"),
        ("shop", SHOP, VALUES.format(3)),
        ("code", LABELS, VALUES.format(3)),
        ("code", np.array([5.0, -1.0, 2.0])[LABELS], VALUES.format(3)),
        ("code", LABELS * 10 + RNG.integers(0, 4, N), VALUES.format(12)),
        ("score", LABELS + RNG.random(N), "alone determines the label: each label has its own range"),
        ("gaps", np.where(np.arange(N) % 5, SHOP, None), VALUES.format(3)),
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


def test_a_number_after_the_name_is_a_repetition_only_behind_a_dot():
    for name in ("label2", "label.x", "label.12", "my label"):
        assert found(HONEST["a"], name) == []


def test_few_slips_hide_no_leak():
    labels = np.arange(4000) % 2
    column = labels.copy()
    column[:2] = 1 - column[:2]
    rows = typed_columns(pd.DataFrame({"alive": np.array(["no", "yes"])[column]}))
    assert (
        "determines the label except in 2 of 4000 rows: each of its 2 values"
        in leakage_warnings(rows, labels, "survived")[0]
    )


def one_hot(values, names):
    return pd.DataFrame({str(name): np.where(values == name, 1, 0) for name in names})


def together(rows, labels=LABELS):
    return leakage_warnings(typed_columns(pd.concat([HONEST.iloc[: len(labels)], rows], axis=1)), labels, "y")


def test_one_hot_columns_of_the_label_are_named_together():
    reason = (
        "together determine the label: each marks rows of one label, as one-hot columns do; if that gives the label"
    )
    whole = f"columns '0', '1', '2' {reason} away, write --drop '0,1,2'"
    assert together(one_hot(LABELS, [0, 1, 2])) == [whole]
    assert together(one_hot(LABELS, [0, 1, 2]).replace({0: "no", 1: "yes"})) == [whole]
    assert together(1 - one_hot(LABELS, [0, 1, 2])) == [whole]
    assert together(one_hot(LABELS, [1, 2])) == [f"columns '1', '2' {reason} away, write --drop '1,2'"]
    (found,) = together(one_hot(LABELS * 10 + np.arange(N) % 3, [*range(3), *range(10, 13), *range(20, 23)]))
    assert found.startswith("columns '0', '1', '2', '10', '11', '12', '20', '21', '22' together")


@pytest.mark.parametrize(
    "values, names",
    [
        (LABELS, [0]),
        (np.where(np.arange(N) % 50, LABELS, 3), [0, 1, 2]),
        (slips(LABELS, 5), [0, 1, 2]),
        (RNG.integers(0, 3, N), [0, 1, 2]),
        (np.arange(N), range(N)),
    ],
    ids=["one label", "rows without a mark", "slips", "chance", "one row each"],
)
def test_one_hot_columns_that_leave_labels_open_are_not_named(values, names):
    assert together(one_hot(values, names)) == []


def test_a_group_that_fails_on_all_rows_makes_way_for_one_that_holds():
    labels = np.arange(6000) % 3
    almost = np.where(labels == 0, 1, 0)
    almost[1] = 1  # in one row of 6000, which the sample lacks
    rows = pd.concat([pd.DataFrame({"almost": almost}), one_hot(labels, [0, 1, 2])], axis=1)
    (found,) = leakage_warnings(typed_columns(rows), labels, "y")
    assert found.startswith("columns '0', '1', '2' together")


@pytest.mark.parametrize("value", [7.0, "boat"])
def test_a_column_that_decides_by_its_gaps_is_named(value):
    survived = np.arange(N) % 5 < 2
    filled = survived.copy()
    filled[:10] = ~filled[:10]
    boat = pd.Series([value] * N)
    (reason,) = found(boat.where(survived), "boat", survived)
    assert reason.startswith("column 'boat' alone determines the label: by whether it has a value; if that")
    (reason,) = found(boat.where(filled), "boat", survived)
    assert "alone determines the label except in 10 of 400 rows: by whether it has a value; if that" in reason
    filled[:20] = ~survived[:20]
    assert found(boat.where(filled), "boat", survived) == []


def test_gaps_at_random_are_no_leak():
    for share in (0.01, 0.5, 0.99):
        assert found(np.where(RNG.random(N) < share, np.nan, HONEST["a"])) == []


def test_a_rare_label_is_enough():
    labels = np.zeros(20000, int)
    labels[RNG.choice(20000, 12, replace=False)] = 1
    rows = pd.DataFrame({"a": RNG.standard_normal(20000), "code": np.where(labels, "x", "z")})
    assert (
        "'code' alone determines the label: each of its 2 values"
        in leakage_warnings(typed_columns(rows), labels, "y")[0]
    )
    assert leakage_warnings(typed_columns(rows.assign(code=np.arange(20000) % 7)), labels, "y") == []


def test_many_values_decide_a_rare_label_by_chance():
    labels = np.where(np.arange(N) % 100 == 50, 1, 0)
    assert found(np.where(labels, 5.5, np.arange(N) % 11), labels=labels) == []


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
def test_real_tables_are_clean(load):
    table = load(as_frame=True)
    labels = table.target.to_numpy()
    assert leakage_warnings(typed_columns(table.data), labels, "target") == []
    assert array_leakage_warnings(table.data.to_numpy(), labels, int) == []
    assert array_leakage_warnings(scipy.sparse.csr_matrix(table.data.to_numpy()), labels, int) == []


@pytest.mark.parametrize("shape", [(12, 3000), (40, 3000), (150, 2000)])
@pytest.mark.parametrize("classes", [2, 3])
def test_wide_noise_is_clean(shape, classes):
    labels = RNG.integers(0, classes, shape[0])
    for noise in (
        RNG.standard_normal(shape),
        RNG.integers(0, 2, shape),
        RNG.random(shape) < 0.1,
        RNG.poisson(1, shape),
    ):
        assert array_leakage_warnings(noise.astype(float), labels, int) == []


def test_leaks_of_an_array_are_named_by_position():
    matrix = RNG.standard_normal((N, 6))
    matrix[:, 1] = np.arange(N)
    matrix[:, 3] = LABELS + RNG.random(N)
    away = "; if that gives the label away, leave it out of the array: numpy.delete(X, {}, axis=1)"
    assert array_leakage_warnings(matrix, LABELS, lambda position: position + 10) == [
        "column 11 numbers the rows, from 0 to 399" + away.format(11),
        "column 13 alone determines the label: each label has its own range" + away.format(13),
    ]
    matrix[:, :3] = one_hot(LABELS, [0, 1, 2])
    (_, group) = sorted(array_leakage_warnings(matrix, LABELS, int))
    assert group.startswith("columns 0, 1, 2 together determine")
    assert group.endswith(away.replace(" it ", " them ").format("[0, 1, 2]"))


def test_leaks_of_sparse_rows_are_named_by_index():
    dense = np.where(RNG.random((N, 50)) < 0.1, 1.0, 0.0)
    dense[:, 7] = np.array([0.0, 2.0, 5.0])[LABELS]
    matrix = scipy.sparse.csr_matrix(dense)
    (found,) = array_leakage_warnings(matrix, LABELS, lambda position: position + 1)
    assert found == (
        "index 8 alone determines the label: each of its 3 values goes with one; if that gives the label away, leave "
        "its values out of the file"
    )
    dense[:, :3] = one_hot(LABELS, [0, 1, 2])
    dense[:, 7] = 0
    (found,) = array_leakage_warnings(scipy.sparse.csr_matrix(dense), LABELS, int)
    assert found.startswith("indices 0, 1, 2 together determine")
    assert found.endswith("leave their values out of the file")


@pytest.mark.parametrize("kind", ["npy", "npz", "libsvm"])
def test_fit_names_the_leaks_of_files_without_names(tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    matrix = np.column_stack([HONEST["a"], HONEST["b"], LABELS * 2 - 1])
    options, column = [], "column 2"
    if kind == "npz":
        np.savez("t.npz", X=matrix, y=LABELS)
    elif kind == "npy":
        np.save("t.npy", np.insert(matrix, 1, LABELS, axis=1))
        options, column = ["--target", "1"], "column 3"
    else:
        lines = [f"{y} 1:{a:g} 2:{b:g} 3:{c:g}" for y, (a, b, c) in zip(LABELS, matrix, strict=True)]
        Path("t.libsvm").write_text("\n".join(lines) + "\n")
        column = "index 3"
    with pytest.raises(SystemExit) as stop:
        softgrad.cli.main(["fit", f"t.{kind}", *options, "--json"])
    out, err = capsys.readouterr()
    assert stop.value.code == 0
    (remark,) = json.loads(out)["remarks"]
    assert remark.startswith(f"{column} alone determines the label: each of its 3 values goes with one")
    assert f"warning: {remark}\n" in err


def test_many_leaks_are_few_lines():
    rows = typed_columns(pd.DataFrame({f"c{i}": SHOP for i in range(12)}))
    assert leakage_warnings(rows, LABELS, "y")[8:] == ["and 4 more"]


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
