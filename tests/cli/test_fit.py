"""`softgrad fit` as a user meets it: what it prints, refuses, saves and returns."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

import softgrad.cli
import softgrad.linear_model
from softgrad.linear_model import load_model

DIGITS = Path(__file__).parents[2] / "examples" / "digits.csv"


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


def test_digits_are_fitted_measured_and_saved(run, tmp_path):
    code, out, err = run(DIGITS, "--target", "digit")
    assert (code, err) == (0, "")
    for word in ("1797 rows", "64 features", "10 classes", "1437", "360", "loss (nats)", "accuracy", "held out"):
        assert word in out
    assert "converged in " in out
    assert "model saved in digits.softgrad.npz" in out
    assert [file.name for file in tmp_path.iterdir()] == ["digits.softgrad.npz"]
    assert load_model("digits.softgrad.npz").coef_.shape == (10, 64)


def test_json_is_one_object_that_agrees_with_the_model(run, iris):
    code, out, err = run(iris, "--target", "species", "--json", "--output", "m.npz", "--C", 10, "--tol", 1e-7)
    assert (code, err) == (0, "")
    report = json.loads(out)
    model = load_model("m.npz")
    assert report["rows"] == {"training": 120, "held_out": 30}
    assert (report["features"], report["classes"], report["target"]) == (4, 3, "species")
    assert (report["loss"]["training"], report["objective"]) == (model.loss_, model.objective_)
    assert (report["iterations"], report["converged"], report["model"]) == (model.n_iter_, True, "m.npz")
    assert report["gradient_norm"] == model.gradient_norm_ <= 1e-7 == model.tol
    assert model.C == 10
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert model.feature_names_in_.tolist() == ["sepal length", "sepal width", "petal length", "petal width"]
    assert 0.9 < report["accuracy"]["held_out"] <= 1
    assert 0 < report["loss"]["held_out"] < 0.5


def test_held_out_figures_are_those_of_rows_that_were_not_fitted(run, iris):
    _, out, _ = run(iris, "--target", "species", "--json", "--seed", 3)
    report = json.loads(out)
    model = load_model("iris.softgrad.npz")
    X, y = load_iris(return_X_y=True)
    log_probs = model.predict_log_proba(_named(model, X))
    losses = -log_probs[np.arange(150), y]
    total = 120 * report["loss"]["training"] + 30 * report["loss"]["held_out"]
    assert losses.sum() == pytest.approx(total, rel=1e-9)
    right = 120 * report["accuracy"]["training"] + 30 * report["accuracy"]["held_out"]
    assert (log_probs.argmax(axis=1) == y).sum() == pytest.approx(right)


def _named(model, X):
    import pandas as pd  # noqa: PLC0415

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
    assert err.startswith("warning: max_iter=2 reached with gradient norm")
    assert "not converged in 2 iterations" in out


@pytest.mark.parametrize(
    "lines, message",
    [
        (["a,b,y", "1,2,p", "3,4x,q"], "column 'b', row 2 below the header: '4x'; expected a finite number"),
        (["a,b,y", "1,NA,p", "z,4,q"], "column 'a', row 2 below the header: 'z'"),
        (["a,b,y", "1,2,p", "3,,q"], "column 'b', row 2 below the header: a missing value"),
        (["a,b,y", "1,NA,p", "3,4,q"], "column 'b', row 1 below the header: 'NA'"),
        (["a,b,y", "1,2,p", "-inf,4,q"], "column 'a', row 2 below the header: '-inf'"),
        (["a,b,y", "1,2,p", "3,4,"], "column 'y', row 2 below the header: no label"),
        (["a,b,y", "1,2,0.5", "3,4,1"], "column 'y', row 1 below the header: 0.5 is a measurement; expected labels"),
        (["a,b,y", "1,2,p,9", "3,4,q"], "is not CSV in UTF-8"),
        (["a,b,y", '1,2,"p', "3,4,q"], "is not CSV in UTF-8"),
        (["a,b,y", "1,2,p", "3,4"], "column 'y', row 2 below the header: no label"),
        (["a,b,y"], "holds a header but no rows"),
        (["y", "p", "q"], "has no column but 'y'; expected at least one feature"),
        (["a,y", "1,p", "2,p", "3,q"], "class 'q' has one row, which cannot be both trained on and held out"),
        (["a,y", "1,p", "2,p", "3,q", "4,q"], "--test-fraction 0.2: The test_size = 1 should be greater or equal to"),
        (["a,y", *["1,p", "2,p"] * 5], "y holds one class only, 'p'"),
        (["a,b,Y", "1,2,p"], "has no column 'y' (did you mean 'Y'?); its columns: a, b, Y"),
        (["a,b,c", "1,2,p"], "has no column 'y'; its columns: a, b, c"),
        (
            [",".join(f"column{i}" for i in range(30)), ""],
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
        (["iris.csv"], "Missing option '--target'. (see softgrad fit --help)"),
        (["nowhere.csv", "--target", "species"], "nowhere.csv"),
        ([".", "--target", "species"], "is a directory"),
        (["iris.csv", "--target", "species", "--colour", "red"], "No such option: --colour"),
        (["iris.csv", "--target", "specis"], "no column 'specis' (did you mean 'species'?)"),
        (["iris.csv", "--target", "species", "--C", "0"], "C=0.0; expected a number above 0"),
        (["iris.csv", "--target", "species", "--C", "strong"], "'--C'"),
        (["iris.csv", "--target", "species", "--tol", "-1"], "tol=-1.0; expected"),
        (["iris.csv", "--target", "species", "--max-iter", "0"], "--max-iter"),
        (["iris.csv", "--target", "species", "--test-fraction", "1"], "--test-fraction 1.0; expected a number from 0"),
        (["iris.csv", "--target", "species", "--test-fraction", "nan"], "--test-fraction nan"),
        (["iris.csv", "--target", "species", "--test-fraction", "0.99"], "--test-fraction 0.99: The train_size = 1"),
        (["iris.csv", "--target", "species", "--output", "nowhere/m.npz"], "there is no folder nowhere"),
        (["iris.csv", "--target", "species", "--output", "."], "--output . is not a file"),
        (["iris.csv", "--target", "species", "--output", "./iris.csv"], "would replace the table"),
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
    assert err.startswith("error: --output iris.softgrad.npz: no permission to write in ")


def test_a_failure_to_write_leaves_the_former_model(run, iris, monkeypatch):
    former = write(iris.parent / "iris.softgrad.npz", "former")

    def fail(*_):
        raise OSError(28, "No space left on device", "iris.softgrad.npz")

    monkeypatch.setattr(os, "replace", fail)
    code, out, err = run(iris, "--target", "species")
    assert (code, out) == (1, "")
    assert err == "error: [Errno 28] No space left on device: 'iris.softgrad.npz'\n"
    assert former.read_text() == "former\n"
    assert sorted(file.name for file in iris.parent.iterdir()) == ["iris.csv", "iris.softgrad.npz"]


def test_ctrl_c_exits_130_and_saves_nothing(run, iris, monkeypatch, request):
    def interrupt(self, X, y, *, on_iteration):
        on_iteration(1, 1.0, 1.0)
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


def test_ctrl_c_before_the_command_has_started(run, monkeypatch):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(softgrad.cli, "_run", interrupt)
    assert run("iris.csv", "--target", "species") == (130, "", "interrupted\n")


@pytest.mark.parametrize("extra", ["typer", "rich", "sklearn", "pandas", "scipy"])
def test_a_missing_extra_is_one_line(iris, extra):
    program = f"import sys; sys.modules[{extra!r}] = None; import softgrad.cli; softgrad.cli.main()"
    command = [sys.executable, "-c", program, "fit", str(iris), "--target", "species"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=iris.parent)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {extra}")
    assert result.stderr.endswith('is not installed; write pip install "softgrad[cli]"\n')
    assert result.stderr.count("\n") == 1


def terminal_output(command, cwd, **environment):
    """What a command writes to a terminal."""
    import pty  # noqa: PLC0415

    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **environment}
    with subprocess.Popen(command, stdin=child, stdout=child, stderr=child, cwd=cwd, env=environment) as process:
        os.close(child)
        chunks = []
        try:
            while chunk := os.read(parent, 65536):
                chunks.append(chunk)
        except OSError:  # Linux: the other end is closed
            pass
    os.close(parent)
    assert process.returncode == 0
    return b"".join(chunks).decode()


def test_a_terminal_shows_progress(tmp_path):
    program = [sys.executable, "-c", "import softgrad.cli; softgrad.cli.main()"]
    output = terminal_output([*program, "fit", str(DIGITS), "--target", "digit", "--tol", "1e-8"], tmp_path)
    assert "reading digits.csv" in output
    assert "iteration" in output
    assert "gradient norm" in output
    assert "\x1b[32mconverged" in output
    plain = terminal_output([*program, "fit", str(DIGITS), "--target", "digit"], tmp_path, NO_COLOR="1")
    assert "\x1b[32m" not in plain
