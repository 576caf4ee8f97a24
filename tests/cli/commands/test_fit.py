"""`softgrad fit` as a user meets it: what it prints, refuses, saves and returns."""

import errno
import gzip
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import (
    GroupShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_score,
    train_test_split,
)

import softgrad.cli
import softgrad.linear_model
from softgrad.cli._saved_model import open_model
from softgrad.linear_model import load_model

DIGITS = Path(__file__).parents[3] / "examples" / "digits.csv"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run `softgrad fit` in an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def fit(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(["fit", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return stop.value.code, out, err

    return fit


@pytest.fixture
def iris(tmp_path):
    """Iris as a table with the species by name."""
    X, y = load_iris(return_X_y=True)
    names = ("setosa", "versicolor", "virginica")
    lines = [f"{','.join(map(repr, row.tolist()))},{names[k]}" for row, k in zip(X, y, strict=True)]
    return write(tmp_path / "iris.csv", "sepal length,sepal width,petal length,petal width,species", *lines)


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


PROGRESS = re.compile(r"\d+\.\d s: objective \d+\.\d{6}  gradient norm \d\.\de[+-]\d\d  \d+ passes\n")


def test_digits_are_fitted_measured_and_saved(run, tmp_path):
    code, out, err = run(DIGITS, "--target", "digit")
    assert code == 0
    assert PROGRESS.sub("", err) == ""
    for word in ("1797 rows", "64 features", "10 classes", "1437", "360", "loss (nats)", "accuracy", "held out"):
        assert word in out
    assert "converged in " in out
    assert max(map(len, out.splitlines()[1:7])) <= 80
    assert "model saved in digits.softgrad.safetensors" in out
    assert [file.name for file in tmp_path.iterdir()] == ["digits.softgrad.safetensors"]
    assert load_model("digits.softgrad.safetensors").coef_.shape == (10, 64)


def test_json_is_one_object_that_agrees_with_the_model(run, iris):
    code, out, err = run(iris, "--target", "species", "--json", "--output", "m", "--C", 10, "--tol", 1e-7)
    assert code == 0
    assert PROGRESS.sub("", err) == ""
    report = json.loads(out)
    model = load_model("m")
    assert report["rows"] == {"training": 120, "held_out": 30}
    assert (report["features"], report["classes"], report["target"]) == (4, 3, "species")
    assert report["loss"]["training"] == pytest.approx(model.loss_, rel=1e-12)
    assert (report["objective"], report["passes"]) == (model.objective_, model.n_passes_)
    assert (report["iterations"], report["converged"], report["model"]) == (model.n_iter_, True, "m")
    assert (report["C"], report["solver"], report["cross_validation"]) == (10, model.solver_, None)
    assert (report["remarks"], report["report"]) == ([], None)
    assert report["gradient_norm"] == model.gradient_norm_ <= 1e-7 == model.tol
    assert model.C == 10
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert model.feature_names_in_.tolist() == ["sepal length", "sepal width", "petal length", "petal width"]
    assert 0.9 < report["accuracy"]["held_out"] <= 1
    assert 0 < report["loss"]["held_out"] < 0.5


def test_held_out_figures_are_those_of_rows_that_were_not_fitted(run, iris):
    _, out, _ = run(iris, "--target", "species", "--json", "--seed", 3)
    report = json.loads(out)
    model = load_model("iris.softgrad.safetensors")
    X, y = load_iris(return_X_y=True)
    log_probs = model.predict_log_proba(_named(model, X))
    losses = -log_probs[np.arange(150), y]
    total = 120 * report["loss"]["training"] + 30 * report["loss"]["held_out"]
    assert losses.sum() == pytest.approx(total, rel=1e-9)
    right = 120 * report["accuracy"]["training"] + 30 * report["accuracy"]["held_out"]
    assert (log_probs.argmax(axis=1) == y).sum() == pytest.approx(right)


def _named(model, X):

    return pd.DataFrame(X, columns=model.feature_names_in_)


def test_the_seed_chooses_the_split(run, iris):
    losses = [json.loads(run(iris, "--target", "species", "--json", "--seed", seed)[1])["loss"] for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_nothing_is_held_out_at_fraction_zero(run, iris):
    code, out, _ = run(iris, "--target", "species", "--test-fraction", 0, "--json")
    report = json.loads(out)
    assert (code, report["rows"]) == (0, {"training": 150, "held_out": 0})
    assert report["loss"]["held_out"] is report["accuracy"]["held_out"] is None
    assert " - " in run(iris, "--target", "species", "--test-fraction", 0)[1]


def test_stopping_early_is_a_warning(run, iris):
    code, out, err = run(iris, "--target", "species", "--max-iter", 2)
    assert code == 0
    assert "\nwarning: --max-iter 2 reached with gradient norm" in err
    assert "above --tol 1.0e-06; raise --max-iter, or lower --C" in err
    assert "not converged in 2 iterations" in out


@pytest.mark.parametrize(
    "lines, message",
    [
        (["a,b,y", "1,2,p", "3,4x,q"], "column 'b', data row 2: '4x'; expected a finite number"),
        (["a,b,y", "1,NA,p", "z,4,q"], "column 'a', data row 2: 'z'"),
        (["a,b,y", "1,2,p", "3,,q"], "missing values in 2 rows: 'b' in 1; write --missing mean"),
        (["a,b,y", "1,NA,p", "3,4,q"], "column 'b', data row 1: 'NA'"),
        (["a,b,y", "1,2,p", "-inf,4,q"], "column 'a', data row 2: '-inf'"),
        (["a,b,y", "1,2,p", "3,4,"], "column 'y', data row 2: no label"),
        (["a,b,y", "1,2,0.5", "3,4,1"], "column 'y', data row 1: 0.5 is a measurement; expected labels"),
        (["a,b,y", "1,2,p,9", "3,4,q"], "line 2 has 4 fields, the first one 3, separated by ','"),
        (["a,b,y", '1,2,"p', "3,4,q"], 'a quote (") that opens in row 2 is never closed'),
        (["a,b,y", "1,2,p", "3,4"], "column 'y', data row 2: no label"),
        (["a,b,y"], "holds a header but no rows"),
        (["y", "p", "q"], "has no column except 'y'; expected at least one feature"),
        (["a,y", "1,p", "2,p", "3,q"], "class 'q' has one row, which cannot be both trained on and held out"),
        (
            ["a,y", "1,p", "2,p", "3,q", "4,q"],
            "--test-fraction 0.2 of 4 rows; expected at least one row of each of 2 classes",
        ),
        (["a,y", *["1,p", "2,p"] * 5], "the label column holds one class only, 'p'"),
        (["a,b,Y", "1,2,p"], "has no column 'y' (did you mean 'Y'?); its columns: a, b, Y"),
        (["a,b,c", "1,2,p"], "has no column 'y'; its columns: a, b, c"),
        (
            [",".join(f"column{i}" for i in range(30)), ",".join("1" * 30)],
            "column6, column7, ..., column27, column28, column29 (30 in all)",
        ),
    ],
)
def test_unusable_tables_are_refused(run, tmp_path, lines, message):
    table = write(tmp_path / "t.csv", *lines)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as for a user
        code, out, err = run(table, "--target", "y")
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00a,y\n1,2\n"])
def test_files_that_are_no_tables_are_refused(run, tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    code, _, err = run("t.csv", "--target", "y")
    assert code == 2
    assert err.startswith("error: t.csv is ")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "Missing argument 'TABLE'"),
        (["iris.csv"], "--target is missing; write the name of the label column: sepal length, sepal width,"),
        (
            ["iris.csv", "--target", "5"],
            "--target 5: iris.csv has 5 columns; expected a name, or a position from 0 to 4",
        ),
        (
            ["iris.csv", "--target", "species", "--drop", "petal"],
            "--drop: iris.csv has no column 'petal' (did you mean",
        ),
        (["iris.csv", "--target", "species", "--drop", "-1"], "column 'species' is the target; leave it out of --drop"),
        (["iris.csv", "--target", "species", "--text", "specie"], "--text: iris.csv has no column 'specie' (did you"),
        (["iris.csv", "--target", "species", "--missing", "zero"], "'--missing'"),
        (["iris.csv", "--target", "species", "--C", "1", "--cv", "3"], "--C 1 and --cv 3, which chooses C"),
        (["iris.csv", "--target", "species", "--cv", "1"], "'--cv'"),
        (["iris.csv", "--target", "species", "--cv", "100"], "--cv 100: the largest class has 40 training rows"),
        (
            ["iris.csv", "--target", "species", "--scoring", "f1"],
            "--scoring f1 is for choosing C by cross-validation; add --cv",
        ),
        (
            ["iris.csv", "--cv", "3", "--scoring", "acuracy"],
            "--scoring acuracy; expected a scikit-learn scorer, such as",
        ),
        (["iris.csv", "--target", "species", "--solver", "magic"], "--solver magic; expected auto, lbfgs"),
        (["iris.csv", "--target", "species", "--threads", "0"], "'--threads'"),
        (
            ["iris.csv", "--target", "species", "--label-smoothing", "1"],
            "--label-smoothing 1; expected a number from 0",
        ),
        (["iris.csv", "--target", "species", "--seed", "4294967296"], "--seed 4294967296; expected an integer from 0"),
        (
            ["iris.csv", "--target", "species", "--report", "nowhere/r.html"],
            "--report nowhere/r.html: there is no folder",
        ),
        (
            ["iris.csv", "--target", "species", "--report", "iris.csv"],
            "--report iris.csv would replace iris.csv, which",
        ),
        (["iris.csv", "--target", "species", "--report", "m", "--output", "m"], "--report m would replace the model"),
        (["nowhere.csv", "--target", "species"], "nowhere.csv"),
        ([".", "--target", "species"], "is a directory"),
        (["iris.csv", "--target", "species", "--colour", "red"], "No such option: --colour"),
        (["iris.csv", "--target", "specis"], "no column 'specis' (did you mean 'species'?)"),
        (["iris.csv", "--target", "species", "--C", "0"], "--C 0; expected a number above 0, such as the default 1"),
        (["iris.csv", "--target", "species", "--C", "nan"], "--C nan; expected a number above 0"),
        (["iris.csv", "--target", "species", "--C", "1e-320"], "--C 9.99989e-321; expected a number above 0"),
        (["iris.csv", "--target", "species", "--C", "strong"], "'--C'"),
        (
            ["iris.csv", "--target", "species", "--only", "0,species"],
            "column 'species' is the target; leave it out of --only",
        ),
        (
            ["iris.csv", "--target", "species", "--only", "0,1", "--drop", "2"],
            "--only 0,1 and --drop 2; write one of the two",
        ),
        (["iris.csv", "--target", "species", "--drop", "0,1,2,3"], "iris.csv has no column except 'sepal length' and"),
        (
            ["iris.csv", "--target", "species", "--weight", "species"],
            "--weight: column 'species' is the target already",
        ),
        (["iris.csv", "--target", "species", "--weight", "0", "--drop", "0"], "is the weight; leave it out of --drop"),
        (
            ["iris.csv", "--target", "species", "--groups", "0", "--test-fraction", "0"],
            "--groups 0 is for held-out rows and --cv; with --test-fraction 0 add --cv N, or write --drop '0' instead",
        ),
        (
            ["iris.csv", "--target", "species", "--groups", "species"],
            "--groups: column 'species' is the target already; name another column",
        ),
        (
            ["iris.csv", "--target", "species", "--groups", "0", "--cv", "99"],
            "--cv 99: the training rows have 28 groups",
        ),
        (
            ["iris.csv", "--target", "species", "--groups", "0", "--test-fraction", "0.99"],
            "--test-fraction 0.99 of 35 groups leaves none to train on or none to hold out",
        ),
        (
            ["iris.csv", "--target", "species", "--class-weight", "setosa"],
            "--class-weight setosa; expected balanced, or LABEL=FACTOR",
        ),
        (
            ["iris.csv", "--target", "species", "--class-weight", "setosa=none"],
            "--class-weight setosa=none: the factor is 'none'; expected a number above 0",
        ),
        (
            ["iris.csv", "--target", "species", "--class-weight", "setosa=1,virginica=2"],
            "the labels: setosa, versicolor, virginica; for several labels repeat --class-weight",
        ),
        (
            ["iris.csv", "--target", "species", "--class-weight", "setosa=1", "--class-weight", "balanced"],
            "--class-weight balanced stands by itself; leave out --class-weight setosa=1, or balanced",
        ),
        (
            ["iris.csv", "--target", "species", "--class-weight", "setos=1"],
            "no row has the label 'setos' (did you mean 'setosa'?); the labels: setosa, versicolor, virginica",
        ),
        (
            ["iris.csv", "--target", "species", "--class-weight", "a=1", "--class-weight", "a=2"],
            "--class-weight a=2: label 'a' has the factor 1 already",
        ),
        (["-", "--target", "species", "--dask"], "- is standard input, and --dask reads files"),
        (["iris.csv", "--target", "species", "--tol", "-1"], "--tol -1; expected a finite number"),
        (["iris.csv", "--target", "species", "--max-iter", "0"], "--max-iter"),
        (["iris.csv", "--target", "species", "--test-fraction", "1"], "--test-fraction 1.0; expected a number from 0"),
        (["iris.csv", "--target", "species", "--test-fraction", "nan"], "--test-fraction nan"),
        (
            ["iris.csv", "--target", "species", "--test-fraction", "0.99"],
            "--test-fraction 0.99 of 150 rows; expected at",
        ),
        (["iris.csv", "--target", "species", "--output", "nowhere/m.npz"], "there is no folder nowhere"),
        (["iris.csv", "--target", "species", "--output", "."], "--output . is not a file"),
        (["iris.csv", "--target", "species", "--report", "-"], "--report - would be a file, not standard output; name"),
        (["iris.csv", "--target", "species", "--output", "./iris.csv"], "would replace iris.csv, which is an input"),
    ],
)
def test_bad_arguments_are_refused(run, iris, arguments, message):
    before = iris.read_bytes()
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert [file.name for file in iris.parent.iterdir()] == ["iris.csv"]
    assert iris.read_bytes() == before


def test_a_class_left_without_training_rows_is_named(run, tmp_path):
    rows = ["0,rare", "1,rare", *[f"{i},p" for i in range(10)], *[f"{i},q" for i in range(10)]]
    codes = []
    for fraction in (0.7, 0.8, 0.85):
        code, _, err = run(write(tmp_path / "t.csv", "a,y", *rows), "--target", "y", "--test-fraction", fraction)
        codes.append(code)
        assert code == 0 or "leaves class 'rare' no row to train on" in err
    assert 2 in codes


def test_a_folder_that_cannot_be_written_is_refused_before_the_fit(run, iris, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write anywhere
    code, _, err = run(iris, "--target", "species")
    assert code == 1
    assert err.startswith("error: --output iris.softgrad.safetensors: no permission to write in ")


def test_a_failure_to_write_leaves_the_former_model(run, iris, monkeypatch):
    former = write(iris.parent / "iris.softgrad.safetensors", "former")

    def fail(*_):
        raise OSError(28, "No space left on device", "iris.softgrad.safetensors")

    monkeypatch.setattr(os, "replace", fail)
    code, out, err = run(iris, "--target", "species")
    assert (code, out) == (1, "")
    assert PROGRESS.sub("", err) == "error: [Errno 28] No space left on device: 'iris.softgrad.safetensors'\n"
    assert former.read_text() == "former\n"
    assert sorted(file.name for file in iris.parent.iterdir()) == ["iris.csv", "iris.softgrad.safetensors"]


def test_ctrl_c_exits_130_and_saves_nothing(run, iris, monkeypatch, request):
    def interrupt(self, X, y, sample_weight, *, on_iteration):
        on_iteration(softgrad.linear_model.Iteration(1.0, 1.0, 1.0, 0.0))
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)  # another thread may have received it; this one handles it
        raise AssertionError("the signal must arrive first")

    # A test run started in the background ignores the signal, and so would the command.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    monkeypatch.setattr(softgrad.linear_model.SoftmaxRegression, "fit", interrupt)
    code, out, err = run(iris, "--target", "species")
    assert (code, out, err) == (130, "", "interrupted\n")
    assert [file.name for file in iris.parent.iterdir()] == ["iris.csv"]


def test_ctrl_c_before_the_command_has_started(run, monkeypatch, request):
    before = signal.getsignal(signal.SIGINT)  # which the command ignores from then on
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(softgrad.cli, "_run", interrupt)
    assert run("iris.csv", "--target", "species") == (130, "", "interrupted\n")


@pytest.mark.parametrize("extra", ["pandas", "safetensors"])
def test_an_extra_that_a_fit_misses_is_one_line(run, iris, monkeypatch, extra):
    monkeypatch.setitem(sys.modules, extra, None)
    code, out, err = run(iris, "--target", "species")
    assert (code, out, err) == (1, "", f'error: {extra} is not installed; write pip install "softgrad[cli]"\n')


@pytest.mark.parametrize("extra", ["typer", "rich", "sklearn", "scipy"])
def test_an_extra_that_the_command_misses_is_one_line(iris, extra):
    program = f"import sys; sys.modules[{extra!r}] = None; import softgrad.cli; softgrad.cli.main()"
    command = [sys.executable, "-c", program, "fit", str(iris), "--target", "species"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=iris.parent)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {extra}")
    assert result.stderr.endswith('is not installed; write pip install "softgrad[cli]"\n')
    assert result.stderr.count("\n") == 1


def test_text_is_encoded_and_missing_values_are_filled_in_if_asked(run, tmp_path):
    rows = [f"{i / 7:.3f},{'?' if i == 5 else i},{('red', 'blue', '')[i % 3]},{'pq'[i % 2]}" for i in range(60)]
    table = write(tmp_path / "t.csv", "a,b,colour,y", *rows)
    code, _, err = run(table, "--target", "y")
    assert (code, err.count("\n")) == (2, 1)
    assert "column 'b', data row 6: '?'; expected a finite number" in err
    code, _, err = run(table, "--target", "y", "--na", "?")
    assert (code, err.count("\n")) == (2, 1)
    assert "missing values in 60 rows: 'b' in 1, 'colour' in 20; write --missing mean, median or most-frequent" in err
    code, out, err = run(table, "--target", "y", "--na", "?", "--missing", "median", "--drop", "a", "--json")
    assert code == 0
    assert "warning: column 'b': 1 row without a value, filled in with " in err
    assert "warning: column 'colour': 20 rows without a value, filled in with " in err
    report = json.loads(out)
    assert (report["features"], len(report["remarks"])) == (3, 2)
    model = load_model("t.softgrad.safetensors")
    assert model.feature_names_in_.tolist() == ["b", "colour=blue", "colour=red"]


def test_numbers_can_be_categories(run, tmp_path):
    table = write(tmp_path / "t.csv", "zip,y", *[f"0{i % 4},{'pq'[i % 2]}" for i in range(40)])
    assert run(table, "--target", "y", "--text", "zip")[0] == 0
    names = load_model("t.softgrad.safetensors").feature_names_in_
    assert names.tolist() == ["zip=00", "zip=01", "zip=02", "zip=03"]


def test_tables_of_every_kind_give_the_same_model(run, iris, tmp_path):
    from sklearn.datasets import dump_svmlight_file  # noqa: PLC0415

    frame = pd.read_csv(iris)
    X, y = load_iris(return_X_y=True)
    frame.to_csv("t.tsv", sep="\t", index=False)
    frame.to_csv("t.csv.gz", index=False)
    frame.to_parquet("t.parquet")
    frame.to_csv("bare.csv", index=False, header=False)
    np.save("x.npy", X)
    np.save("y.npy", y)
    np.save("both.npy", np.c_[y, X])
    np.savez("t.npz", X=X, y=y)
    dump_svmlight_file(X, y, "t.svm")
    coefficients = []
    for arguments in [
        [iris, "--target", "species"],
        [iris, "--target", "-1"],
        ["t.tsv", "--target", "species"],
        ["t.csv.gz", "--target", "4"],
        ["t.parquet", "--target", "species"],
        ["bare.csv", "--target", "4", "--no-header"],
        ["x.npy", "--target", "y.npy"],
        ["both.npy", "--target", "0"],
        ["t.npz"],
        ["t.svm"],
    ]:
        code, out, err = run(*arguments, "--json", "--output", "m", "--tol", 1e-8)
        assert code == 0, err
        report = json.loads(out)
        assert report["target"] in ("species", "4", None)
        coefficients.append(load_model("m").coef_)
    for other in coefficients[1:]:
        np.testing.assert_allclose(other, coefficients[0], atol=1e-5)
    assert run("t.csv.gz", "--target", "4")[0] == 0
    assert Path("t.softgrad.safetensors").is_file()


def test_a_mapped_array_reaches_the_fit_as_it_is(run, tmp_path, monkeypatch):
    X, y = load_iris(return_X_y=True)
    np.save("x.npy", X.astype(np.float32))
    np.save("y.npy", y)
    seen = []
    fit = softgrad.linear_model.SoftmaxRegression.fit

    def watch(self, X, y, sample_weight, **options):
        seen.append(X)
        return fit(self, X, y, sample_weight, **options)

    monkeypatch.setattr(softgrad.linear_model.SoftmaxRegression, "fit", watch)
    assert run("x.npy", "--target", "y.npy", "--test-fraction", 0)[0] == 0
    assert isinstance(seen[0], np.memmap)
    assert seen[0].dtype == np.float32


@pytest.mark.parametrize(
    "option, name",
    [
        (["--drop", "1"], "--drop"),
        (["--only", "1"], "--only"),
        (["--weight", "1"], "--weight"),
        (["--groups", "1"], "--groups"),
        (["--text", "1"], "--text"),
        (["--missing", "mean"], "--missing"),
        (["--na", "?"], "--na"),
        (["--no-header"], "--no-header"),
    ],
)
def test_options_of_named_columns_are_refused_for_arrays(run, tmp_path, option, name):
    np.savez("t.npz", X=np.eye(4), y=[0, 1, 0, 1])
    code, _, err = run("t.npz", *option)
    formats = "CSV and TSV" if name == "--no-header" else "CSV, TSV and Parquet"
    assert (code, err) == (2, f"error: {name} is for {formats}; t.npz has no named columns\n")


def test_parquet_always_has_a_header(run, iris):

    pd.read_csv(iris).to_parquet("t.parquet")
    code, _, err = run("t.parquet", "--target", "species", "--no-header")
    assert (code, err) == (2, "error: --no-header is for CSV and TSV; t.parquet is read as parquet; leave it out\n")


def test_an_archive_without_labels_is_refused(run):
    np.savez("t.npz", X=np.eye(4))
    code, _, err = run("t.npz")
    assert (code, err) == (
        2,
        "error: t.npz has no array y, the default for labels; write --target with the name of theirs\n",
    )


def test_options_reach_the_model(run, iris):
    options = ["--class-weight", "balanced", "--label-smoothing", 0.1, "--solver", "lbfgs", "--no-intercept"]
    code, _, err = run(iris, "--target", "species", *options, "--threads", 1, "--C", "inf", "--max-iter", 77, "--json")
    assert code == 0, err
    given = {
        "C": np.inf, "class_weight": "balanced", "label_smoothing": 0.1, "solver": "lbfgs", "fit_intercept": False,
        "n_threads": 1, "max_iter": 77, "tol": 1e-6,
    }  # fmt: skip
    assert given.items() <= load_model("iris.softgrad.safetensors").get_params().items()


def test_scoring_chooses_c_by_another_measure(run, tmp_path):
    y = np.arange(60) % 2
    X = np.random.default_rng(0).standard_normal((60, 2)).round(3) + y[:, None]
    lines = ["a,b,y", *(f"{a!r},{b!r},{label}" for (a, b), label in zip(X.tolist(), y.tolist(), strict=True))]
    write(tmp_path / "t.csv", *lines)
    fit = ["t.csv", "--target", "y", "--cv", "3", "--test-fraction", "0"]
    code, out, err = run(*fit, "--scoring", "roc_auc_ovr", "--json")
    assert code == 0, err
    found = json.loads(out)["cross_validation"]
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    expected = softgrad.linear_model.SoftmaxRegressionCV(cv=folds, scoring="roc_auc_ovr", refit=False).fit(X, y)
    assert (found["scoring"], found["C"]) == ("roc_auc_ovr", expected.Cs_.tolist())
    assert found["score"] == expected.scores_.mean(axis=0).tolist()
    assert json.loads(out)["C"] == expected.C_
    code, out, _ = run(*fit, "--scoring", "accuracy")
    assert "accuracy, mean of 3 folds" in out
    write(tmp_path / "t.csv", *lines, "0,1,7")
    code, _, err = run(*fit)
    assert (code, err) == (
        2,
        "error: --cv 3: class 7 has one training row, and the loss is infinite in the fold that holds it out; "
        "drop the row, or write --scoring accuracy\n",
    )
    assert run(*fit, "--scoring", "accuracy")[0] == 0
    code, _, err = run(*fit, "--scoring", "roc_auc_ovr")
    assert code == 2
    assert "--scoring roc_auc_ovr has no value for fold 1, whose held-out rows lack class 7; choose fewer folds" in err


def test_cross_validation_chooses_c_and_says_how(run, iris):
    from softgrad.linear_model import SoftmaxRegression  # noqa: PLC0415

    arguments = [iris, "--target", "species", "--cv", 3, "--test-fraction", 0, "--tol", 1e-6]
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    report = json.loads(out)
    found = report["cross_validation"]
    assert (found["folds"], len(found["C"])) == (3, 10)
    assert report["C"] == load_model("iris.softgrad.safetensors").C == found["C"][int(np.argmin(found["loss"]))]
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    folds = StratifiedKFold(3, shuffle=True, random_state=0)  # by --seed, 0
    for i in (0, 4, 6):
        model = SoftmaxRegression(C=found["C"][i], tol=1e-6)
        scores = cross_val_score(model, X, names, cv=folds, scoring="neg_log_loss")
        assert found["loss"][i] == pytest.approx(-scores.mean(), rel=1e-4)
    code, out, _ = run(*arguments)
    assert code == 0
    assert "loss (nats), mean of 3 folds" in out
    for loss in found["loss"]:
        assert f"{loss:.6f}" in out


def test_a_report_is_written_after_the_model(run, iris):
    code, out, err = run(iris, "--target", "species", "--report", "r.html")
    assert code == 0, err
    assert out.splitlines()[-1] == "report written to r.html"
    page = Path("r.html").read_text(encoding="utf-8")
    assert "versicolor" in page
    assert "held-out rows" in page


def test_without_matplotlib_a_report_is_refused_before_the_fit(run, iris, monkeypatch):
    import importlib.util  # noqa: PLC0415

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "matplotlib" else find(name, *a))
    code, out, err = run(iris, "--target", "species", "--report", "r.html")
    assert (code, out) == (1, "")
    assert err.startswith("error: matplotlib")
    assert err.endswith('is not installed; write pip install "softgrad[report]"\n')
    assert [file.name for file in iris.parent.iterdir()] == ["iris.csv"]


def test_what_is_held_out_decides_nothing_of_the_encoding(run, tmp_path):
    rows = [f"{i},{'pq'[i % 2]}" for i in range(20)]
    table = write(tmp_path / "t.csv", "a,y", *rows, ",p")
    for seed in range(3):
        assert run(table, "--target", "y", "--missing", "mean", "--seed", seed)[0] == 0
        (column,) = open_model(Path("t.softgrad.safetensors")).encoding.columns
        labels = np.array([row[-1] for row in rows] + ["p"])
        training, _ = train_test_split(np.arange(21), test_size=0.2, random_state=seed, stratify=labels)
        assert column.fill == pytest.approx(training[training < 20].mean(), rel=1e-12)


def test_folds_are_shuffled_for_tables_in_an_order(run):
    # Each day has its label. Folds of neighbouring rows would hold days that their training rows never saw.
    rng = np.random.default_rng(0)
    days = np.repeat(np.arange(20), 20)
    labels = (days + (rng.random(400) < 0.05)) % 2
    lines = [f"day {day},{label}" for day, label in zip(days, labels, strict=True)]
    Path("t.csv").write_text("day,y\n" + "\n".join(lines) + "\n")
    code, out, _ = run("t.csv", "--target", "y", "--cv", "4", "--json")
    assert code == 0
    assert min(json.loads(out)["cross_validation"]["loss"]) < 0.4


def test_columns_are_named_several_at_a_time(run, tmp_path):
    rows = [f"{i},{i % 3},{i % 5},{i % 7},{'pq'[i % 2]}" for i in range(40)]
    write(tmp_path / "t.csv", 'a,b,"c,d",e,y', *rows)
    for options, features in (
        (["--drop", "a,b"], ["c,d", "e"]),
        (["--drop", "a, 1", "--drop", "c,d"], ["e"]),
        (["--only", "e,a"], ["a", "e"]),  # in the order of the table
        (["--only", "b,c,d,0"], ["a", "b", "c,d"]),
        (["--only", "b,e", "--text", "b,e"], [*(f"b={i}" for i in range(3)), *(f"e={i}" for i in range(7))]),
    ):
        code, _, err = run("t.csv", "--target", "y", *options, "--output", "m", "--tol", 1e-2)
        assert code == 0, err
        assert load_model("m").feature_names_in_.tolist() == features
    code, _, err = run("t.csv", "--target", "y", "--drop", "a,bb")
    assert (code, err) == (
        2,
        "error: --drop: t.csv has no column 'bb' (did you mean 'b'?); its columns: a, b, c,d, e, y\n",
    )


def test_all_columns_that_cannot_be_used_are_named_with_one_option(run, tmp_path):
    rows = [f"name {i},{i},{'A/5 ' * (i % 3 == 0)}{i},2024-01-{i % 30 + 1:02d},,{'pq'[i % 2]}" for i in range(60)]
    write(tmp_path / "t.csv", '"who, in full",x,ticket,day,empty,y', *rows)
    code, _, err = run("t.csv", "--target", "y", "--drop", "empty")
    drop = "--drop 'who, in full,ticket'"
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: column 'who, in full' is text with 60 different values in 60 rows, such as 'name 0'")
    assert err.endswith(f"; 1 more column cannot be used either, 'ticket'; to leave all of them out, write {drop}\n")
    code, _, err = run("t.csv", "--target", "y", *shlex.split(drop))
    assert err.startswith("error: missing values in 60 rows: 'empty' in 60; write --missing mean, median or")
    assert "to fill them in, or --drop 'empty'; the first is" in err
    assert run("t.csv", "--target", "y", *shlex.split(drop), "--drop", "empty")[0] == 0


def test_a_row_of_weight_3_counts_as_three(run, tmp_path):
    random = np.random.default_rng(0)
    rows = [f"{random.normal():.3f},{n % 4},{'pq'[(n // 4) % 2]}" for n in range(80)]
    write(tmp_path / "t.csv", "a,w,y", *rows)
    write(tmp_path / "more.csv", "a,w,y", *(row for row in rows for _ in range(int(row.split(",")[1]))))
    options = ["--target", "y", "--tol", 1e-9]
    fit = ["t.csv", *options, "--weight", "w", "--output", "m", "--json", "--test-fraction", 0, "--report", "r.html"]
    code, out, err = run(*fit)
    assert code == 0, err
    weighted = json.loads(out)
    assert weighted["rows"]["training"] == 60
    assert "warning: 20 of 80 rows have the weight 0 and are left out\n" in err
    code, out, _ = run("more.csv", *options, "--drop", "w", "--output", "more", "--json", "--test-fraction", 0)
    assert code == 0
    for figure in ("loss", "accuracy"):
        assert weighted[figure]["training"] == pytest.approx(json.loads(out)[figure]["training"], rel=1e-9)
    one, more = load_model("m"), load_model("more")
    assert one.feature_names_in_.tolist() == ["a"]
    np.testing.assert_allclose(one.coef_, more.coef_, rtol=1e-6)
    assert one.loss_ == pytest.approx(more.loss_, rel=1e-9)
    # The rows that are held out take their weights with them, and --cv weighs too.
    code, out, err = run("t.csv", *options, "--weight", "w", "--cv", 3, "--json")
    assert code == 0, err
    table = pd.read_csv("t.csv").query("w > 0")
    training, _ = train_test_split(np.arange(60), test_size=0.2, random_state=0, stratify=table["y"])
    x, w, y = (table.iloc[np.sort(training)][name].to_numpy() for name in ("a", "w", "y"))
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    expected = softgrad.linear_model.SoftmaxRegressionCV(cv=folds, tol=1e-9).fit(x[:, None], y, w)
    assert json.loads(out)["cross_validation"]["loss"] == (-expected.scores_.mean(axis=0)).tolist()
    np.testing.assert_allclose(load_model("t.softgrad.safetensors").coef_, expected.coef_)
    held = table.iloc[np.setdiff1d(np.arange(60), training)]
    score = expected.score(held[["a"]].to_numpy(), held["y"].to_numpy(), held["w"])
    assert json.loads(out)["accuracy"]["held_out"] == pytest.approx(score)
    write(tmp_path / "t.csv", "a,w,y", "1,-1,p", "2,,q")
    message = "column 'w', data row 1: '-1.0'; expected a finite number of at least 0; mend it, or drop the row\n"
    assert message in run("t.csv", *options, "--weight", "w")[2]
    write(tmp_path / "t.csv", "a,w,y", "1,1,p", "2,,q")
    message = (
        "column 'w', data row 2: a missing value; expected a finite number of at least 0; fill it in, or drop the row"
    )
    assert message in run("t.csv", *options, "--weight", "w")[2]
    write(tmp_path / "t.csv", "a;w;y", "1;1,5;p", "2;1,5;q")
    assert (
        "'1,5'; expected a finite number of at least 0; write --decimal" in run("t.csv", *options, "--weight", "w")[2]
    )
    write(tmp_path / "t.csv", "a,w,y", "1,0,p", "2,0,q")
    assert "column 'w' is 0 in every row; expected numbers above 0" in run("t.csv", *options, "--weight", "w")[2]


def test_groups_stay_together(run, tmp_path):
    random = np.random.default_rng(0)
    patients = random.integers(0, 25, 120)
    labels = (patients + (random.random(120) < 0.2)) % 2
    lines = [f"{random.normal():.3f},p{p},{y}" for p, y in zip(patients, labels, strict=True)]
    write(tmp_path / "t.csv", "a,patient,y", *lines)
    code, out, err = run("t.csv", "--target", "y", "--groups", "patient", "--cv", 3, "--json", "--seed", 4)
    assert code == 0, err
    training, held = next(
        GroupShuffleSplit(1, test_size=0.2, random_state=4).split(labels, groups=pd.factorize(patients)[0])
    )
    assert json.loads(out)["rows"] == {"training": len(training), "held_out": len(held)}
    x = np.array([float(line.split(",")[0]) for line in lines])[training, None]
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=4)
    chooser = softgrad.linear_model.SoftmaxRegressionCV(cv=folds)
    chooser.fit(x, labels[training], groups=pd.factorize(patients)[0][training])
    assert json.loads(out)["cross_validation"]["loss"] == (-chooser.scores_.mean(axis=0)).tolist()
    model = load_model("t.softgrad.safetensors")
    assert model.feature_names_in_.tolist() == ["a"]
    np.testing.assert_allclose(model.coef_, chooser.coef_, rtol=1e-5)
    write(tmp_path / "t.csv", "a,g,y", *["1,u,p", "2,u,p", "3,v,q"] * 3)
    assert "the held-out groups leave class 'q' no row to train on; write another --seed" in "".join(
        run("t.csv", "--target", "y", "--groups", "g", "--seed", seed)[2] for seed in range(6)
    )
    write(tmp_path / "t.csv", "a,g,y", "1,u,p", "2,,q")
    assert (
        "--groups: column 'g', data row 2: a missing value; expected the group of the row"
        in (run("t.csv", "--target", "y", "--groups", "g")[2])
    )


def test_a_label_of_next_to_no_weight_is_fitted(run, iris):
    code, _, err = run(iris, "--target", "species", "--class-weight", "setosa=1e-320", "--quiet", "--max-iter", 3)
    assert code == 0
    assert err.startswith("warning: --max-iter 3 reached with gradient norm ")
    assert np.isfinite(load_model("iris.softgrad.safetensors").gradient_norm_)


def test_labels_have_factors(run, iris):
    options = ["--target", "species", "--test-fraction", 0, "--tol", 1e-8, "--cv", 3]
    code, _, err = run(iris, *options, "--class-weight", " setosa =2.5", "--class-weight", "virginica=0.5")
    assert code == 0, err
    model = load_model("iris.softgrad.safetensors")
    assert model.class_weight == {"setosa": 2.5, "versicolor": 1.0, "virginica": 0.5}
    X, y = load_iris(return_X_y=True)
    weight = np.array([2.5, 1.0, 0.5])[y]
    expected = softgrad.linear_model.SoftmaxRegression(C=model.C, tol=1e-8).fit(X, y, weight)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-5, atol=1e-7)


def full_disk(*_arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_standard_input_is_a_table(run, iris, monkeypatch):
    options = ["--target", "species", "--json"]
    expected = json.loads(run(iris, *options, "--output", "m")[1])
    for content in (iris.read_bytes(), gzip.compress(iris.read_bytes())):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        code, out, err = run("-", *options)
        assert code == 0, err
        found = json.loads(out)
        assert (found["table"], found["model"]) == ("standard input", "model.softgrad.safetensors")
        assert found["objective"] == expected["objective"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,y\n1,p\n2,\n")))
    assert run("-", "--target", "x")[2] == "error: --target: standard input has no column 'x'; its columns: a, y\n"
    monkeypatch.setattr(sys, "stdin", None)
    assert run("-", "--target", "y")[2].startswith("error: standard input is closed; write ")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,y\n1,p\n2,\n")))
    monkeypatch.setattr("shutil.copyfileobj", full_disk)
    code, _, err = run("-", "--target", "y")
    assert code == 1
    assert re.fullmatch(
        r"error: standard input cannot be copied to /.*: no space left on device; write TMPDIR=.*\n", err
    )


def test_a_quiet_fit_prints_warnings_alone(run, iris):
    code, out, err = run(iris, "--target", "species", "--quiet", "--max-iter", 1)
    assert (code, out) == (0, "")
    assert err.startswith("warning: --max-iter 1 reached")
    assert err.count("\n") == 1
    assert json.loads(run(iris, "--target", "species", "--quiet", "--json")[1])["converged"]
