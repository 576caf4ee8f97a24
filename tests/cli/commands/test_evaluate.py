"""`softgrad evaluate` as a user meets it: what it prints, refuses and returns."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import softgrad.cli
from softgrad.cli._metrics import evaluation, facts

DIGITS = Path(__file__).parents[3] / "examples" / "digits.csv"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run `softgrad evaluate` in an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def evaluate(*arguments, command="evaluate"):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main([command, *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return stop.value.code, out, err

    return evaluate


@pytest.fixture
def arrays(tmp_path):
    """A file of logits, and one of labels that follow them loosely."""
    random = np.random.default_rng(0)
    z = random.normal(size=(60, 4)) * 3
    y = (z + random.gumbel(size=z.shape)).argmax(axis=1)
    np.save(tmp_path / "z.npy", z)
    np.save(tmp_path / "y.npy", y)
    return z, y


@pytest.fixture
def fitted(run, tmp_path):
    """A model of three species by two measurements, and its table."""
    random = np.random.default_rng(1)
    rows = [f"{n % 3 + random.normal():.4f},{random.normal():.4f},{('oak', 'elm', 'ash')[n % 3]}" for n in range(90)]
    (tmp_path / "trees.csv").write_text("\n".join(["height,girth,tree", *rows]) + "\n")
    code, _, err = run("trees.csv", "--target", "tree", "--json", "--output", "m.safetensors", command="fit")
    assert code == 0, err
    return tmp_path / "trees.csv"


# ---- logits and targets


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_json_is_the_evaluation(run, arrays, dtype):
    z, y = arrays
    np.save("z.npy", z.astype(dtype))
    code, out, err = run("--logits", "z.npy", "--target", "y.npy", "--json")
    assert (code, err) == (0, "")
    expected = facts(evaluation(z.astype(dtype), y, np.arange(4)))
    assert json.loads(out) == {"logits": "z.npy", "target": "y.npy", **expected}


def test_the_tables_say_the_same(run, arrays):
    code, out, err = run("--logits", "z.npy", "--target", "y.npy")
    assert (code, err) == (0, "")
    found = evaluation(*arrays, np.arange(4))
    assert out.startswith("z.npy: 60 rows, 4 classes\n")
    for label, value in [
        ("loss (nats)", f"{found.loss:.4f}"),
        ("accuracy", f"{found.accuracy:.2%}"),
        ("mean confidence", f"{found.confidence:.2%}"),
        ("calibration error", f"{found.calibration_error:.2%}"),
        ("Brier score", f"{found.brier:.4f}"),
    ]:
        line = next(line for line in out.splitlines() if line.startswith(f"│ {label} "))
        assert line.split("│")[2].replace("\xa0", "").strip() == value
    for k in range(4):
        line = next(line for line in out.splitlines() if line.startswith(f"│ {k} "))
        figures = [part[k] for part in (found.precision, found.recall, found.f1)]
        cells = [cell.replace("\xa0", "").strip() for cell in line.split("│")[2:6]]
        assert cells == [*(f"{value:.1%}" for value in figures), str(found.support[k])]
    assert "top-5" not in out


def test_probabilities_as_targets(run, arrays):
    z, y = arrays
    np.save("y.npy", np.eye(4, dtype=np.float16)[y])
    code, out, _ = run("--logits", "z.npy", "--target", "y.npy", "--json")
    expected = facts(evaluation(z, y, np.arange(4)))
    assert code == 0
    assert json.loads(out)["loss"] == pytest.approx(expected["loss"], rel=1e-14)
    assert json.loads(out)["confusion"] == expected["confusion"]


def test_of_many_classes_the_worst_are_shown(run):
    random = np.random.default_rng(0)
    z = random.normal(size=(500, 100))
    np.save("z.npy", z)
    np.save("y.npy", z.argmax(axis=1))
    np.save("wrong.npy", np.where(z.argmax(axis=1) == 7, 8, z.argmax(axis=1)))
    out = run("--logits", "z.npy", "--target", "wrong.npy")[1]
    assert "the 30 classes with the lowest F1; 70 more with --json" in out
    rows = [line for line in out.splitlines() if line.startswith("│ ") and "%" in line]
    assert next(line for line in rows if line.split()[1].isdigit()).split()[1] == "7"
    assert len(json.loads(run("--logits", "z.npy", "--target", "y.npy", "--json")[1])["classes"]) == 100


def test_an_impossible_label_is_a_warning(run, arrays):
    z, y = arrays
    z[3, y[3]] = -np.inf
    np.save("z.npy", z)
    code, out, err = run("--logits", "z.npy", "--target", "y.npy", "--json")
    assert (code, json.loads(out)["loss"]) == (0, None)
    assert err == "warning: the loss is infinite: the class of a row has probability 0, logit -inf\n"
    assert "∞" in run("--logits", "z.npy", "--target", "y.npy")[1]


@pytest.mark.parametrize("form", [lambda p: p, lambda p: p.astype(np.float16), lambda p: np.rint(p).astype(int)])
def test_logits_that_look_like_probabilities_are_noted(run, arrays, form):
    z, y = arrays
    p = form(np.eye(4)[y] * 0.9 + 0.025)
    np.save("z.npy", p)
    code, _, err = run("--logits", "z.npy", "--target", "y.npy")
    assert code == 0
    assert err == (
        "warning: the rows of z.npy sum to 1, as probabilities do, and --logits takes logits; of probabilities save "
        "numpy.log(p)\n"
    )
    p[-1] = p[-1] * 3 + 1
    np.save("z.npy", p)
    assert run("--logits", "z.npy", "--target", "y.npy")[2] == ""
    np.save("z.npy", z - z.mean(axis=1, keepdims=True) + 0.25)  # they sum to 1 too
    assert run("--logits", "z.npy", "--target", "y.npy")[2] == ""


@pytest.mark.parametrize(
    "name, array, message",
    [
        ("z", np.zeros(60), "--logits z.npy has shape (60,); expected (N, K)"),
        ("z", np.zeros((60, 0)), "--logits z.npy has shape (60, 0); expected (N, K)"),
        ("z", np.zeros((0, 4)), "--logits z.npy has shape (0, 4); expected (N, K)"),
        ("z", np.zeros((60, 4), complex), "--logits z.npy has dtype complex128; expected float16"),
        ("z", np.zeros((60, 4), bool), "--logits z.npy has dtype bool"),
        ("z", np.zeros((60, 4), "V2"), "--logits z.npy has dtype |V2"),
        ("z", np.full((60, 4), np.nan), "--logits z.npy: logits[0, 0] is nan; expected finite numbers"),
        ("y", np.zeros(59, int), "--target y.npy has shape (59,); expected (60,), one class index per row"),
        ("y", np.zeros((60, 1), int), "--target y.npy has shape (60, 1); expected (60,)"),
        ("y", np.zeros((60, 4), int), "for one-hot rows write y.astype(numpy.float32)"),
        ("y", np.arange(60), "--target y.npy: row 4 is 4; expected class indices from 0 to 3"),
        ("y", -np.ones(60, int), "--target y.npy: row 0 is -1; expected class indices from 0 to 3"),
        ("y", np.full(60, 2**64 - 1, np.uint64), "row 0 is 18446744073709551615; expected class indices"),
        ("y", np.zeros(60), "expected probabilities of shape (60, 4), or class indices of shape (60,): y.astype("),
        ("y", np.full(60, "a"), "--target y.npy has dtype <U1; expected integers"),
        ("y", np.full((60, 4), 0.3), "row 0 has minimum 0.3 and sum 1.2; expected probabilities"),
        ("y", np.full((60, 4), np.nan), "row 0 has minimum nan and sum nan"),
        ("y", np.tile([1.5, -0.5, 0, 0], (60, 1)), "row 0 has minimum -0.5 and sum 1;"),
    ],
)
def test_unusable_arrays_are_refused(run, arrays, name, array, message):
    np.save(f"{name}.npy", array)
    code, out, err = run("--logits", "z.npy", "--target", "y.npy")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        b"PK\x03\x04",
        b"\x93NUMPY\x01\x00v\x00{'descr'",
        b"\x93NUMPY\x01\x00\x01\x00(",
        "objects",
        "npz",
        "cut",
    ],
)
@pytest.mark.parametrize("option", ["--logits", "--target"])
def test_files_that_are_no_arrays_are_refused(run, arrays, content, option):
    file = Path("z.npy" if option == "--logits" else "y.npy")
    if content == "objects":
        np.save(file, np.array([{}, []], dtype=object), allow_pickle=True)
    elif content == "npz":
        with file.open("wb") as stream:
            np.savez(stream, z=np.zeros(3))
    else:
        file.write_bytes(file.read_bytes()[:-8] if content == "cut" else content)
    code, out, err = run("--logits", "z.npy", "--target", "y.npy")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {option} {file} is ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "no MODEL; write softgrad evaluate MODEL TABLE, or softgrad evaluate --logits z.npy --target y.npy"),
        (["z.npy"], "no TABLE; write"),
        (["nowhere.safetensors", "z.npy"], "nowhere.safetensors"),
        (["z.npy", "y.npy", "--logits", "z.npy"], "--logits replaces MODEL and TABLE; leave out z.npy"),
        (["--logits", "z.npy"], "--logits needs --target"),
        (["--logits", "nowhere.npy", "--target", "y.npy"], "nowhere.npy"),
        (["--logits", "z.npy", "--target", "nowhere.npy"], "--target nowhere.npy: no such file or directory"),
        (["--logits", "z.npy", "--target", "."], "--target .: is a directory"),
        (["--logits", "z.npy", "--target", "y.npy", "--report", "no/r.html"], "--report no/r.html: there is no folder"),
        (["--logits", "z.npy", "--target", "y.npy", "--report", "y.npy"], "--report y.npy would replace y.npy"),
        (["--logits", "z.npy", "--target", "y.npy", "--report", "z.npy"], "--report z.npy would replace z.npy"),
        (["--logits", "z.npy", "--target", "nowhere.npy", "--report", "r.html"], "--target nowhere.npy: no such file"),
        (["z.npy", "y.npy"], "z.npy"),
    ],
)
def test_bad_arguments_are_refused(run, arrays, arguments, message):
    before = Path("z.npy").read_bytes()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert sorted(os.listdir()) == ["y.npy", "z.npy"]
    assert Path("z.npy").read_bytes() == before


# ---- a model and a table


def test_a_model_is_measured_by_the_labels_of_the_fit(run, fitted):
    code, out, err = run("m.safetensors", "trees.csv", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["model"], found["table"], found["rows"]) == ("m.safetensors", "trees.csv", 90)
    assert [entry["class"] for entry in found["classes"]] == ["ash", "elm", "oak"]
    assert [entry["rows"] for entry in found["classes"]] == [30, 30, 30]
    assert sum(cell["rows"] for cell in found["confusion"] if cell["class"] == cell["predicted"]) == round(
        90 * found["accuracy"]
    )
    assert 0.4 < found["accuracy"] < 0.9
    assert found["prior_loss"] == pytest.approx(np.log(3))
    assert 0.4 < found["loss"] < found["prior_loss"]


def test_rows_come_from_standard_input(run, fitted, monkeypatch):
    expected = json.loads(run("m.safetensors", "trees.csv", "--json")[1])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(fitted.read_bytes())))
    code, out, err = run("m.safetensors", "-", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {**expected, "table": "standard input"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(fitted.read_bytes() + b"1,1,yew\n")))
    assert run("m.safetensors", "-")[2].startswith("error: standard input, data row 91: label 'yew' is none of")


def test_evaluating_agrees_with_the_fit(run):
    code, out, _ = run(DIGITS, "--target", "digit", "--test-fraction", 0, "--json", "--output", "d", command="fit")
    training = json.loads(out)
    code, out, err = run("d", DIGITS, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["loss"] == pytest.approx(training["loss"]["training"], rel=1e-9)
    assert json.loads(out)["accuracy"] == training["accuracy"]["training"]


def test_another_column_of_labels(run, fitted):
    fitted.write_text(fitted.read_text().replace(",tree\n", ",kind\n"))
    code, _, err = run("m.safetensors", "trees.csv")
    assert code == 2
    assert "no column 'tree'" in err
    assert run("m.safetensors", "trees.csv", "--target", "kind")[0] == 0


def test_a_label_that_the_model_does_not_know_is_named(run, fitted):
    with fitted.open("a") as file:
        file.write("1,1,yew\n")
    code, out, err = run("m.safetensors", "trees.csv")
    assert (code, out) == (2, "")
    assert err == (
        "error: trees.csv, data row 91: label 'yew' is none of the model's classes, 'ash', 'elm', 'oak'; drop such "
        "rows, or fit a model with rows of that class\n"
    )


def test_labels_of_another_kind_are_unknown(run, fitted):
    random = np.random.default_rng(0)
    np.save("x.npy", random.normal(size=(5, 2)))
    np.save("y.npy", np.arange(5))
    code, _, err = run("m.safetensors", "x.npy", "--target", "y.npy")
    assert code == 2
    assert "x.npy, data row 1: label 0 is none of the model's classes, 'ash'" in err


def test_class_names_are_shown_as_they_are_not_obeyed(run, fitted):
    fitted.write_text(fitted.read_text().replace("elm", "[red]x[/red]").replace("oak", "\x1b[31mred"))
    run("trees.csv", "--target", "tree", "--output", "m.safetensors", command="fit")
    code, out, _ = run("m.safetensors", "trees.csv")
    assert code == 0
    assert "[red]x[/red]" in out
    assert "\x1b" not in out
    assert "�[31mred" in out


def test_a_report_of_a_model_and_of_logits(run, fitted, arrays):
    for arguments in (["m.safetensors", "trees.csv"], ["--logits", "z.npy", "--target", "y.npy"]):
        code, out, err = run(*arguments, "--report", "r.html")
        assert (code, err) == (0, "")
        assert out.endswith("report written to r.html\n")
        page = Path("r.html").read_text(encoding="utf-8")
        assert f">Evaluation of {'m.safetensors' if arguments[0] != '--logits' else 'z.npy'}</h1>" in page
        assert (">Coefficients" in page) is (arguments[0] != "--logits")
        json.loads(run(*arguments, "--report", "r.html", "--json")[1])


# ---- terminals and pipes


def test_colours_are_for_terminals_that_want_them(tmp_path, arrays):
    import pty  # noqa: PLC0415

    program = "import softgrad.cli; softgrad.cli.main(['evaluate', '--logits', 'z.npy', '--target', 'y.npy'])"
    outputs = []
    for setting in ({}, {"NO_COLOR": "1"}):
        parent, child = pty.openpty()
        inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        environment = {**inherited, "TERM": "xterm-256color", "COLUMNS": "80", **setting}
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=child, stdout=child, stderr=child, cwd=tmp_path, env=environment
        ) as process:
            os.close(child)
            chunks = []
            try:
                while chunk := os.read(parent, 65536):
                    chunks.append(chunk)
            except OSError:  # Linux: the other end is closed
                pass
        os.close(parent)
        assert process.returncode == 0
        outputs.append(b"".join(chunks).decode())
    assert all("evaluating z.npy" in output for output in outputs)
    assert "\x1b[32m" in outputs[0]
    assert "\x1b[32m" not in outputs[1]
    lines = [re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", line) for line in outputs[1].split("\r\n")]
    tables = [line for line in lines if line.startswith(("│", "╭"))]
    assert len(tables) > 10
    assert max(map(len, tables)) <= 80
