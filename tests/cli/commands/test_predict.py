"""`softgrad predict` as a user meets it: the same predictions from every kind of table, and what it refuses."""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import dump_svmlight_file, load_iris

import softgrad.cli
from softgrad.cli._errors import CommandError
from softgrad.cli._predictions import _ranks
from softgrad.cli._saved_model import open_model
from softgrad.linear_model import SoftmaxRegression, load_model, save_model
from softgrad.linear_model._formats._model_file import save_with_table

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versi,color", "Jungfrau ü"])
COLUMNS = ["a", "b", "c", "d"]
FRAME = pd.DataFrame(X, columns=COLUMNS).assign(species=NAMES[Y])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of the command: of iris by name, by array and by LibSVM text, and of text with values missing."""
    folder = tmp_path_factory.mktemp("models")
    FRAME.to_csv(folder / "iris.csv", index=False)
    np.save(folder / "both.npy", np.c_[X, Y])
    dump_svmlight_file(X, Y, str(folder / "one.svm"), zero_based=False)
    pets = pd.DataFrame({"age": np.arange(60.0), "pet": ["dog", "cat", "owl"] * 20, "id": np.arange(60)})
    pets.loc[7, ["age", "pet"]] = np.nan
    pets.assign(label=["01", "1", "x"] * 20).to_csv(folder / "pets.csv", index=False)
    fits = [
        ["iris.csv", "--target", "species"],
        ["both.npy", "--target", "-1"],
        ["one.svm"],
        ["pets.csv", "--target", "label", "--drop", "id", "--missing", "mean", "--na", "NA"],
    ]
    for table, *options in fits:
        model = str(folder / Path(table).stem)
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(["fit", str(folder / table), *options, "--output", model, "--tol", "1e-4"])
        assert stop.value.code == 0
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run `softgrad predict` in an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def predict(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(["predict", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return stop.value.code, out, err

    return predict


def rows(text):
    return list(csv.reader(io.StringIO(text)))


def test_labels_are_csv_under_the_targets_name(run, models):
    code, out, err = run(models / "iris", models / "iris.csv")
    assert (code, err) == (0, "")
    model = load_model(models / "iris")
    assert rows(out) == [["species"], *([name] for name in model.predict(FRAME[COLUMNS]))]
    assert "\r" not in out


def test_probabilities_are_csv_beside_the_label_under_the_classes_names_to_the_last_digit(run, models):
    code, out, err = run(models / "iris", models / "iris.csv", "--proba")
    assert (code, err) == (0, "")
    header, *values = rows(out)
    model = load_model(models / "iris")
    assert header == ["species", *sorted(NAMES)]
    assert [row[0] for row in values] == model.predict(FRAME[COLUMNS]).tolist()
    np.testing.assert_array_equal(np.array([row[1:] for row in values], float), model.predict_proba(FRAME[COLUMNS]))


def test_json_is_one_object(run, models):
    model = load_model(models / "iris")
    out = run(models / "iris", models / "iris.csv", "--json")[1]
    labels = model.predict(FRAME[COLUMNS]).tolist()
    assert json.loads(out) == {"classes": sorted(NAMES), "labels": labels}
    out = run(models / "iris", models / "iris.csv", "--json", "--proba")[1]
    expected = model.predict_proba(FRAME[COLUMNS]).tolist()
    assert json.loads(out) == {"classes": sorted(NAMES), "labels": labels, "probabilities": expected}


@pytest.mark.parametrize("options", [[], ["--proba"], ["--json"]])
def test_a_file_gets_what_stdout_gets(run, models, options):
    printed = run(models / "iris", models / "iris.csv", *options)[1]
    code, out, err = run(models / "iris", models / "iris.csv", *options, "--output", "p.csv")
    assert (code, out, err) == (0, "", "")
    assert Path("p.csv").read_bytes() == printed.encode()


def test_tables_of_every_kind_are_predicted_alike(run, models):
    shuffled = FRAME.assign(other="x", more=1.0)[["more", "d", "other", "a", "species", "c", "b"]]
    shuffled.to_csv("t.csv", index=False)
    shuffled.drop(columns="species").to_csv("t.tsv", index=False, sep="\t")
    shuffled.to_parquet("t.parquet")
    np.save("t.npy", X)
    np.save("both.npy", np.c_[X, Y])
    np.savez("t.npz", X=X)
    dump_svmlight_file(X, np.zeros(150), "t.svm", zero_based=False)
    expected = run(models / "iris", models / "iris.csv", "--json")[1]
    for table in ("t.csv", "t.tsv", "t.parquet", "t.npy", "t.npz", "t.svm"):
        assert run(models / "iris", table, "--json") == (0, expected, ""), table
    expected = run(models / "both", models / "both.npy")[1]
    assert rows(expected)[0] == ["label"]
    for table in ("t.npy", "both.npy", "t.npz"):
        assert run(models / "both", table) == (0, expected, ""), table
    assert run(models / "one", "t.svm")[1] == expected


def test_libsvm_text_counts_columns_as_the_fit_did(run, models):
    dump_svmlight_file(X, Y, "t.svm", zero_based=True)
    assert run(models / "one", "t.svm")[2] == (
        "error: t.svm, data row 1: index 0; the model counts columns from 1, because no training row has "
        "index 0; add 1 to every index, or if both tables count from 0, add 0:0 to a row and fit again\n"
    )
    Path("t.svm").write_text("0 2:3.5\n0\n", encoding="utf-8")
    model = load_model(models / "one")
    assert [int(label) for (label,) in rows(run(models / "one", "t.svm")[1])[1:]] == model.predict(
        np.array([[0, 3.5, 0, 0], [0, 0, 0, 0]])
    ).tolist()


def test_text_and_missing_values_are_treated_as_in_the_fit(run, models):
    Path("t.csv").write_text("pet,age\ncat,3\nfox,3\n,\n12,3\n", encoding="utf-8")
    code, out, err = run(models / "pets", "t.csv", "--proba")
    assert code == 0
    age = open_model(models / "pets").encoding.columns[0].fill
    model = load_model(models / "pets")
    assert model.feature_names_in_.tolist() == ["age", "pet=cat", "pet=dog", "pet=owl"]
    pet = open_model(models / "pets").encoding.columns[1].fill
    filled = model.predict_proba(
        pd.DataFrame([[age, *(pet == name for name in ("cat", "dog", "owl"))]], columns=model.feature_names_in_)
    )
    known, unknown, missing, number = np.array([row[1:] for row in rows(out)[1:]], float)
    np.testing.assert_array_equal(missing, filled[0])
    np.testing.assert_array_equal(unknown, number)
    assert np.abs(known - unknown).max() > 1e-3
    assert err.splitlines() == [
        f"warning: column 'age': 1 row without a value, filled in with {age!r}",
        f"warning: column 'pet': 1 row without a value, filled in with {pet!r}",
        "warning: column 'pet': 2 rows with text that no training row has, first 'fox' in data row 2; the column's "
        "features are 0 there",
    ]


def test_labels_are_read_as_the_model_has_them(models):
    """Of 01 and 1, two classes, a table of both alone must not make one number."""
    table = models / "two.csv"
    table.write_text("age,pet,label\n1,dog,01\n2,cat,1\n", encoding="utf-8")
    saved = open_model(models / "pets")
    assert saved.target == "label"
    features, labels, *_ = saved.read(table, labels=True)
    assert labels.tolist() == ["01", "1"]
    assert features.columns.tolist() == saved.model.feature_names_in_.tolist()
    assert saved.read(table, target="-1", labels=True).labels.tolist() == ["01", "1"]
    assert saved.read(table, labels=False).labels is None
    with pytest.raises(CommandError, match="has no column 'lable'"):
        saved.read(table, target="lable", labels=True)


def test_labels_of_arrays(models, tmp_path):
    saved = open_model(models / "both")
    assert saved.target == "4"
    np.testing.assert_array_equal(saved.read(models / "both.npy", labels=True).labels, Y)
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    with pytest.raises(CommandError, match=r"has no labels; write --target with a .npy file of labels"):
        saved.read(tmp_path / "x.npy", labels=True)
    np.testing.assert_array_equal(saved.read(tmp_path / "x.npy", target=str(tmp_path / "y.npy"), labels=True).labels, Y)
    np.testing.assert_array_equal(open_model(models / "one").read(models / "one.svm", labels=True).labels, Y)


def test_models_of_python_take_tables(run):
    save_model(SoftmaxRegression(tol=1e-4).fit(FRAME[COLUMNS], FRAME["species"]), "named")
    save_model(SoftmaxRegression(tol=1e-4).fit(X, Y), "bare")
    FRAME.to_csv("t.csv", index=False)
    np.save("t.npy", X)
    out = run("named", "t.csv")[1]
    assert rows(out)[0] == ["label"]
    assert rows(out)[1:] == [[name] for name in load_model("named").predict(FRAME[COLUMNS])]
    assert rows(run("bare", "t.npy")[1])[1:] == [[str(label)] for label in load_model("bare").predict(X)]
    with pytest.raises(CommandError, match="--target is missing: the model does not know the label column"):
        open_model(Path("named")).read(Path("t.csv"), labels=True)
    assert (
        open_model(Path("named")).read(Path("t.csv"), target="species", labels=True).labels.tolist()
        == NAMES[Y].tolist()
    )


@pytest.mark.parametrize(
    "model, table, message",
    [
        ("iris", "lacks.csv", "lacks.csv lacks columns of the model: 'b', 'd'; its columns: a, c, species"),
        ("iris", "text.csv", "column 'b', data row 2: '4x'; expected a finite number, as in the training rows"),
        ("iris", "gap.csv", "column 'b', data row 2: a missing value; fill it in, or fit a model with --missing"),
        ("iris", "inf.csv", "column 'b', data row 2: 'inf'; expected a finite number"),
        ("iris", "narrow.npy", "narrow.npy has 3 features; the model has 4"),
        ("iris", "nan.npy", "nan.npy, data row 2, column 0 holds nan; expected finite numbers"),
        ("iris", "empty.csv", "empty.csv is empty; expected a header line and rows"),
        ("iris", "t.foo", "t.foo: unknown file format"),
        ("both", "lacks.csv", "lacks.csv has named columns; the model was fitted to an array of 4 columns"),
        ("pets", "narrow.npy", "narrow.npy has no column names; the model was fitted to text in column 'pet'"),
        ("lacks.csv", "lacks.csv", "lacks.csv is damaged, or was not written by save_model"),
        ("nowhere", "lacks.csv", "nowhere"),
        ("iris", "nowhere.csv", "nowhere.csv"),
    ],
)
def test_unusable_tables_and_models_are_refused(run, models, model, table, message):
    Path("lacks.csv").write_text("a,c,species\n1,2,setosa\n", encoding="utf-8")
    for name, cell in (("text", "4x"), ("gap", ""), ("inf", "inf")):
        Path(f"{name}.csv").write_text(f"a,b,c,d\n1,2,3,4\n1,{cell},3,4\n", encoding="utf-8")
    np.save("narrow.npy", X[:, :3])
    np.save("nan.npy", np.array([[1.0] * 4, [np.nan] * 4]))
    Path("empty.csv").touch()
    Path("t.foo").write_text("{}", encoding="utf-8")
    before = sorted(Path().iterdir())
    path = models / model if (models / model).exists() else model
    code, out, err = run(path, table, "--output", "p.csv")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(Path().iterdir()) == before


def test_a_link_to_a_folder_that_is_not_there_is_refused(run, models):
    FRAME.to_csv("t.csv", index=False)
    Path("link").symlink_to("nowhere/p.csv")
    code, out, err = run(models / "iris", "t.csv", "--output", "link")
    assert (code, out) == (2, "")
    assert re.match(r"error: --output link: there is no folder .*nowhere; create it", err)


@pytest.mark.parametrize(
    "output, message",
    [
        ("nowhere/p.csv", "--output nowhere/p.csv: there is no folder nowhere"),
        (".", "--output . is not a file; name one to write, such as ./predictions.csv"),
        ("-", "--output - would be a file, not standard output; name one to write, such as predictions.csv"),
        ("/dev/null", "--output /dev/null is not a regular file; name one to write, such as predictions.csv"),
        ("t.csv", "--output t.csv would replace t.csv, which is an input"),
        ("model", "--output model would replace the model"),
    ],
)
def test_bad_outputs_are_refused(run, models, output, message):
    FRAME.to_csv("t.csv", index=False)
    Path("model").write_bytes((models / "iris").read_bytes())
    before = {path: path.read_bytes() for path in Path().iterdir()}
    code, out, err = run("model", "t.csv", "--output", output)
    assert (code, out) == (2, "")
    assert message in err
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


@pytest.mark.parametrize(
    "record", [{}, {"encoding": 3}, {"encoding": {"columns": [5]}}, {"encoding": {"columns": [{}]}}, 7]
)
def test_a_model_with_a_wrong_description_of_tables_is_refused(run, tmp_path, record):
    save_with_table(SoftmaxRegression(tol=1e-2).fit(X, Y), tmp_path / "m", record)
    FRAME.to_csv("t.csv", index=False)
    code, out, err = run("m", "t.csv")
    assert (code, out) == (2, "")
    assert err.startswith("error: m cannot be used: ")


def test_a_reader_that_stops_early_is_no_error(models):
    program = [sys.executable, "-c", "import softgrad.cli; softgrad.cli.main()"]
    command = [*program, "predict", str(models / "iris"), str(models / "iris.csv"), "--proba"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_labels_that_the_terminal_cannot_write_are_one_line(models):
    program = [sys.executable, "-c", "import softgrad.cli; softgrad.cli.main()"]
    command = [*program, "predict", str(models / "iris"), str(models / "iris.csv")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith(b"error: this terminal's encoding, ascii, has no '\\xfc'; write PYTHONIOENCODING")


# ---- columns beside the label


def test_a_cluster_does_not_write_to_stdout(run, models):
    code, _, err = run(models / "iris", models / "iris.csv", "--dask", "--output", "-")
    assert (code, err) == (2, "error: --dask writes Parquet files; add --output with the name of a folder for them\n")


def test_a_full_device_is_one_line(run, models, monkeypatch):
    with contextlib.suppress(OSError), open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code, _, err = run(models / "iris", models / "iris.csv")
    assert code == 1
    assert err == "error: stdout cannot be written: no space left on device; redirect it to another file\n"


def test_kept_columns_are_written_as_the_table_has_them(run, models):
    Path("t.csv").write_text("id,pet,age,label\n007,cat,3,01\nNA,dog,40.0,x\n 8 ,owl,5,\n", encoding="utf-8")
    model = models / "pets"
    labels = load_model(model).predict(open_model(model).reader.read(Path("t.csv"), labels=False).features)
    code, out, err = run(model, "t.csv", "--keep", "id,age", "--keep", "label")
    assert (code, err) == (0, "warning: stripped the blanks around 1 field, such as ' 8 ' in column 'id'\n")
    expected = [["007", "3", "01"], ["NA", "40.0", "x"], ["8", "5", ""]]
    rest = [[*kept, label] for kept, label in zip(expected, labels, strict=True)]
    assert rows(out) == [["id", "age", "label", "predicted_label"], *rest]
    found = json.loads(run(model, "t.csv", "--keep", "id,label", "--json")[1])
    assert found["kept"] == {"id": ["007", "NA", "8"], "label": ["01", "x", None]}
    code, _, err = run(model, "t.csv", "--keep", "idd")
    assert (code, err.startswith("error: --keep: t.csv has no column 'idd' (did you mean 'id'?)")) == (2, True)
    code, _, err = run(models / "both", models / "both.npy", "--keep", "0")
    assert (code, "error: --keep 0 is for CSV, TSV and Parquet" in err) == (2, True)


def test_kept_lists_are_whole(run, models):
    long = np.arange(2000) / 7
    FRAME.head(2).assign(list=[long, None]).to_parquet("t.parquet")
    kept = json.loads(run(models / "iris", "t.parquet", "--keep", "list", "--json")[1])["kept"]
    assert kept == {"list": [long.tolist(), None]}
    first, second = rows(run(models / "iris", "t.parquet", "--keep", "list")[1])[1:]
    assert json.loads(first[0]) == long.tolist()
    assert second[0] == ""


def test_columns_of_parquet_keep_their_types(run, models):
    days = pd.date_range("2024-01-01", periods=150)
    FRAME.assign(id=np.arange(150), day=days, size=np.inf).to_parquet("t.parquet")
    code, _, err = run(models / "iris", "t.parquet", "--keep", "id,day", "--output", "p.parquet", "--proba")
    assert (code, err) == (0, "")
    found = pd.read_parquet("p.parquet")
    assert found.columns.tolist() == ["id", "day", "species", *sorted(NAMES)]
    assert found["id"].tolist() == list(range(150))
    assert found["day"].tolist() == days.tolist()
    model = load_model(models / "iris")
    np.testing.assert_array_equal(found[sorted(NAMES)], model.predict_proba(FRAME[COLUMNS]))
    kept = json.loads(run(models / "iris", "t.parquet", "--keep", "id,day,size", "--json")[1])["kept"]
    assert [kept[name][1] for name in ("id", "day", "size")] == [1, "2024-01-02 00:00:00", "inf"]


def test_the_most_probable_labels_have_their_probabilities(run, models):
    model = load_model(models / "iris")
    probabilities = model.predict_proba(FRAME[COLUMNS])
    code, out, _ = run(models / "iris", models / "iris.csv", "--top", 2)
    header, *values = rows(out)
    assert (code, header) == (0, ["species", "probability", "species_2", "probability_2"])
    order = np.argsort(-probabilities, axis=1)[:, :2]
    assert [row[0::2] for row in values] == model.classes_[order].tolist()
    found = np.array([row[1::2] for row in values], float)
    np.testing.assert_array_equal(found, np.take_along_axis(probabilities, order, axis=1))
    top = json.loads(run(models / "iris", models / "iris.csv", "--top", 3, "--json")[1])["top"]
    assert [len(row) for row in top] == [3] * 150
    assert top[0][0] == {"label": values[0][0], "probability": found[0, 0]}
    for options, message in (
        (["--top", 4], "--top 4: the model has 3 classes; expected a number from 1 to 3"),
        (["--top", 2, "--proba"], "--proba and --top 2; write one of the two"),
        (["--top", 0], "'--top'"),
    ):
        code, _, err = run(models / "iris", models / "iris.csv", *options)
        assert (code, message in err) == (2, True)


def test_of_equal_probabilities_the_predicted_label_is_the_first():
    equal = np.array([[0.25, 0.25, 0.25, 0.25]])
    classes = np.arange(4)
    ranks = _ranks(equal, classes, np.array([2]), 3)
    assert [int(labels[0]) for labels, _ in ranks] == [2, 0, 1]


def test_names_that_are_taken_get_a_prefix(run):
    table = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "yes": 1, "y": ["yes", "no"] * 2})
    table.to_csv("t.csv", index=False)
    with pytest.raises(SystemExit):
        softgrad.cli.main(["fit", "t.csv", "--target", "y", "--only", "a", "--test-fraction", "0", "--output", "m"])
    out = run("m", "t.csv", "--keep", "y,yes", "--proba")[1].splitlines()
    assert out[-5] == "y,yes,predicted_y,no,probability_yes"


@pytest.mark.parametrize("name, sep", [("p.csv", ","), ("p.txt", ","), ("p", ","), ("p.TSV", "\t")])
def test_the_name_of_the_file_chooses_the_format(run, models, name, sep):
    printed = run(models / "iris", models / "iris.csv", "--proba")[1]
    assert run(models / "iris", models / "iris.csv", "--proba", "--output", name) == (0, "", "")
    written = io.StringIO(Path(name).read_text(encoding="utf-8"))
    assert list(csv.reader(written, delimiter=sep)) == rows(printed)


def test_json_by_name_and_formats_that_cannot_be_written(run, models, monkeypatch):
    printed = run(models / "iris", models / "iris.csv", "--json")[1]
    assert run(models / "iris", models / "iris.csv", "--output", "p.json") == (0, "", "")
    assert Path("p.json").read_text(encoding="utf-8") == printed
    for options, message in (
        (["p.xlsx"], "--output p.xlsx: predictions are CSV, TSV, JSON or Parquet; write --output with a name that"),
        (["p.csv.gz"], "--output p.csv.gz: predictions are CSV"),
        (["p.parquet", "--json"], "--output p.parquet is Parquet by its name; leave out --json, or name a .json file"),
    ):
        code, _, err = run(models / "iris", models / "iris.csv", "--output", *options)
        assert (code, message in err) == (2, True)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = run(models / "iris", models / "iris.csv", "--output", "p.parquet")
    assert (code, err) == (
        1,
        'error: --output p.parquet: Parquet needs pyarrow; write pip install "softgrad[parquet]"\n',
    )
    assert [path.name for path in Path().iterdir()] == ["p.json"]


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_a_failure_to_write_leaves_the_former_predictions(run, models, monkeypatch, name):
    Path(name).write_text("former")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    code, out, err = run(models / "iris", models / "iris.csv", "--output", name)
    assert (code, out) == (1, "")
    assert err == f"error: --output {name} cannot be written: no space left on device; name another file\n"
    assert [(path.name, path.read_text()) for path in Path().iterdir()] == [(name, "former")]


def test_labels_that_look_like_formulas_are_written_as_they_are(run):
    labels = ["=cmd", "+1", "-x", "@y"]
    pd.DataFrame({"a": np.arange(8.0), "y": labels * 2}).to_csv("t.csv", index=False)
    with pytest.raises(SystemExit):
        softgrad.cli.main(["fit", "t.csv", "--target", "y", "--test-fraction", "0", "--output", "m", "--C", "1e6"])
    run("m", "t.csv")
    out = run("m", "t.csv", "--keep", "y", "--proba")[1]
    header, *values = rows(out)
    assert header == ["y", "predicted_y", *sorted(labels)]
    assert [row[0] for row in values] == labels * 2
    assert {row[1] for row in values} <= set(labels)
    assert "formula" in run("--help")[1]


def test_neither_weights_nor_groups_are_needed(run):
    """Nor are they taken for features where the table has them."""
    pd.DataFrame({"a": np.arange(40.0), "w": 2, "g": [*"abcdefgh"] * 5, "id": range(40), "y": ["p", "q"] * 20}).to_csv(
        "t.csv", index=False
    )
    options = ["--target", "y", "--weight", "w", "--groups", "g", "--drop", "id", "--output", "m", "--quiet"]
    with pytest.raises(SystemExit) as stop:
        softgrad.cli.main(["fit", "t.csv", *options])
    assert stop.value.code == 0
    pd.DataFrame({"w": "x", "a": np.arange(40.0)}).to_csv("bare.csv", index=False)
    assert run("m", "bare.csv")[0] == 0
    assert run("m", "bare.csv") == run("m", "t.csv")


def test_rows_come_from_standard_input(run, models, monkeypatch):
    printed = run(models / "iris", models / "iris.csv", "--keep", "a")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((models / "iris.csv").read_bytes())))
    assert run(models / "iris", "-", "--keep", "a") == printed
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,2\n")))
    code, _, err = run(models / "iris", "-")
    assert (code, err.startswith("error: standard input lacks columns of the model: 'c', 'd'")) == (2, True)
