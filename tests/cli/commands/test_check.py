"""`softgrad check`: the function it finds, its output and its exit codes."""

import json
import signal
import subprocess
import sys
from typing import get_args

import pytest

import softgrad.cli
from softgrad import checking
from softgrad._loss_spec import ReductionName
from softgrad.checking._setting import Target
from softgrad.cli._commands import _check

MODULE = """
import numpy as np


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def my_backward(z, y):
    return softmax(z) - y


def mean_loss(z, labels):
    return -np.log(softmax(z)[np.arange(len(z)), labels] + 1e-9).mean()


class Layer:
    @staticmethod
    def forward(z):
        print("forward")
        return softmax(z)


def overflowing(z):
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def unfinished(z):
    raise NotImplementedError("later")


def leaving(z):
    raise SystemExit(0)


def leaving_at_large_logits(z):
    if abs(z).max() > 500:
        raise SystemExit("too large")
    return softmax(z)


def row_gradient(z, y):
    assert z.ndim == 1, "one row, please"
    return softmax(z[None])[0] * y.sum() - y


def vector_jacobian(z):
    p = np.exp(z - z.max())
    p /= p.sum()
    return np.diag(p) - np.outer(p, p)


def gradient_in_p(p, y):
    return p - y


def smoothed(z, labels):
    y = 0.9 * np.eye(z.shape[1])[labels] + 0.1 / z.shape[1]
    return softmax(z) - y


WIDTH = 3
"""


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def command(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(["check", *arguments])
        return stop.value.code, *capsys.readouterr()

    return command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a module in it."""
    (tmp_path / "my.module.py").write_text(MODULE)
    (tmp_path / "plain_module_to_check.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    assert sys.path == path
    sys.modules.pop("plain_module_to_check", None)


def test_a_right_function(run, folder):
    code, out, err = run("my.module.py:softmax", "--kind", "softmax")
    assert (code, err) == (0, "")
    assert out.startswith("softmax (softmax) is right.\n")


def test_a_wrong_one(run, folder):
    code, out, err = run("my.module.py:my_backward", "--kind", "cross-entropy-grad")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == "my_backward (cross-entropy-grad) is wrong: p − y where Σy ≠ 1."
    assert "          return p * y.sum(axis=1, keepdims=True) - y" in lines
    assert max(map(len, lines)) <= 80


def test_it_prints_what_str_of_the_report_says(run, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "88")
    _, out, _ = run("my.module.py:overflowing", "--kind", "softmax")
    namespace = {}
    exec(MODULE, namespace)
    assert out == f"{checking.check_softmax(namespace['overflowing'])}\n"


def test_options_reach_the_check(run, folder):
    place = "my.module.py:mean_loss"
    code, out, _ = run(place, "--kind", "cross-entropy", "--target", "index", "--reduction", "mean")
    assert code == 1
    assert "is wrong: log(p + eps)." in out
    assert "A constant of 1e-09" in out
    _, out, _ = run(place, "--kind", "cross-entropy", "--target", "index")
    assert "log(p + eps); and mean instead of sum" in out


@pytest.mark.parametrize(
    "function, kind, options",
    [
        ("vector_jacobian", "softmax-jacobian", "--single"),
        ("gradient_in_p", "cross-entropy-grad", "--from-probabilities --target one-hot"),
        ("my_backward", "cross-entropy-grad", "--target one-hot"),
        ("my_backward", "cross-entropy-grad", "--target probabilities"),
        ("smoothed", "cross-entropy-grad", "--target index --label-smoothing 0.1"),
    ],
)
def test_a_function_is_right_with_its_options_and_not_without(run, folder, function, kind, options):
    place = f"my.module.py:{function}"
    code, out, err = run(place, "--kind", kind, *options.split())
    assert (code, err) == (0, ""), out
    code, out, _ = run(place, "--kind", kind)
    assert code == 1
    if function == "vector_jacobian":
        assert "for one vector the function is right: check it with batched=False (--single)" in " ".join(out.split())


@pytest.mark.parametrize(
    "option, cause",
    [
        ("--weight 1,2,0.5", "class weights forgotten"),
        ("--ignore-index 1", "ignored rows counted"),
        ("--z-loss 0.01", "z-loss forgotten"),
        ("--label-smoothing 0.2", "label smoothing forgotten"),
    ],
)
def test_an_option_of_the_loss_that_is_left_out_is_named(run, folder, option, cause):
    (folder / "plain.py").write_text(f"{MODULE}\ndef g(z, t):\n    return softmax(z) - np.eye(z.shape[1])[t]\n")
    code, out, _ = run("plain.py:g", "--kind", "cross-entropy-grad", "--target", "index", *option.split())
    assert code == 1
    assert out.startswith(f"g (cross-entropy-grad) is wrong: {cause}.")


@pytest.mark.parametrize(
    "place", ["plain_module_to_check:softmax", "./my.module.py:softmax", "my.module.py:Layer.forward"]
)
def test_where_functions_are_found(run, folder, place):
    code, out, err = run(place, "--kind", "softmax")
    assert code == 0
    # What the user's code prints does not mix with the report.
    assert "forward\n" not in out
    assert ("forward\n" in err) == ("Layer" in place)


def test_a_files_neighbours_can_be_imported_from_anywhere(run, folder, monkeypatch):
    deep = folder / "a.b" / "c"
    deep.mkdir(parents=True)
    (deep / "neighbour_to_check.py").write_text(MODULE)
    (deep / "mine.py").write_text(
        "from dataclasses import dataclass\n\nfrom neighbour_to_check import softmax\n\n"
        "@dataclass\nclass Options:\n    axis: 'int' = 1\n\n"
        "def later(z):\n    @dataclass\n    class Options:\n        z: 'float'\n    return softmax(Options(z).z)\n"
    )
    for place in ("a.b/c/mine.py:softmax", f"{deep}/mine.py:softmax", "a.b/c/mine.py:later"):
        code, _, err = run(place, "--kind", "softmax")
        assert (code, err) == (0, "")
    sys.modules.pop("neighbour_to_check")


def test_json(run, folder):
    code, out, err = run("my.module.py:my_backward", "--kind", "cross-entropy-grad", "--json")
    assert (code, err) == (1, "")
    facts = json.loads(out)
    assert facts["verdict"] == "wrong: known cause"
    assert facts["cause"] == "p − y where Σy ≠ 1"
    assert facts["passed"] is False
    assert facts["function"] == "my_backward"
    assert facts["kind"] == "cross-entropy-grad"
    assert facts["stages"] == {"shape and dtype": "passed", "derivative": "failed", "large logits": "not reached"}
    assert facts["violated_properties"] == ["the gradient of every row sums to zero"]
    assert len(facts["worst"]["index"]) == 2
    assert facts["worst"]["expected"] != facts["worst"]["received"]
    assert facts["explanation"]
    assert facts["advice"]
    example = facts["example"]
    assert example["arguments"].keys() == {"z", "target"}
    assert example["arguments"]["z"] == [[0.0, 1.0, 2.0]]
    assert len(example["expected"][0]) == len(example["received"][0]) == 3
    # JSON has no NaN.
    facts = json.loads(run("my.module.py:overflowing", "--kind", "softmax", "--json")[1])
    assert facts["worst"]["received"] is None
    assert None in facts["example"]["received"][0]
    facts = json.loads(run("my.module.py:softmax", "--kind", "softmax", "--json")[1])
    assert facts["worst"] is facts["example"] is None
    assert facts["passed"] is True


def test_a_function_that_raises_gives_a_report(run, folder):
    code, out, err = run("my.module.py:unfinished", "--kind", "softmax")
    assert (code, err) == (1, "")
    assert "could not be judged" in out
    # The path breaks where the line is full.
    assert "NotImplementedError: later (line 30 of" in " ".join(out.split())


@pytest.mark.parametrize("name", ["leaving", "leaving_at_large_logits"])
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_a_function_that_ends_the_process_is_not_right(run, folder, name, extra):
    code, out, err = run(f"my.module.py:{name}", "--kind", "softmax", *extra)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: my.module.py:{name} ended the process (SystemExit")
    assert err.count("\n") == 1


def test_kinds_may_be_spelled_as_the_functions_are(run, folder):
    code, out, _ = run("my.module.py:my_backward", "--kind", "cross_entropy_grad", "--target", "weighted")
    assert code == 1
    assert out.startswith("my_backward (cross-entropy-grad) is wrong")


def test_advice_names_the_commands_options(run, folder):
    out = run("my.module.py:mean_loss", "--kind", "cross-entropy", "--target", "index")[1]
    assert "--reduction mean" in " ".join(out.split())
    out = run("my.module.py:mean_loss", "--kind", "cross-entropy", "--reduction", "mean")[1]
    assert "--target index" in " ".join(out.split())


def test_advice_on_functions_of_one_row_suits_their_arguments(run, folder):
    _, out, _ = run("my.module.py:row_gradient", "--kind", "cross-entropy-grad")
    assert "\n      np.stack([fn(row, t) for row, t in zip(z, target)])\n" in out


BAD = {
    "no kind": (["my.module.py:softmax"], "--kind is missing", "softmax-jacobian", "cross-entropy-hessian"),
    "unknown kind": (["my.module.py:softmax", "--kind", "sofmax"], "no kind is called 'sofmax' (did you mean 'softmax'?); expected one of softmax, log-softmax, "),
    "unknown kind, nothing near": (["my.module.py:softmax", "--kind", "qqq"], "no kind is called 'qqq'; expected one of softmax, "),
    "unknown kind with _": (["my.module.py:softmax", "--kind", "cross_entropy_gard"], "'cross_entropy_gard' (did you mean 'cross-entropy-grad'?)"),
    "empty kind": (["my.module.py:softmax", "--kind", ""], "no kind is called ''; expected one of softmax, "),
    "unknown reduction": (["my.module.py:softmax", "--kind", "cross-entropy", "--reduction", "avg"], "'avg'", "'mean'"),
    "reduction of a softmax": (["my.module.py:softmax", "--kind", "softmax", "--reduction", "sum"], "--reduction", "leave it out"),
    "target of a Jacobian": (["my.module.py:softmax", "--kind", "softmax-jacobian", "--target", "index"], "--target", "leave it out"),
    "weights that are no numbers": (["my.module.py:softmax", "--kind", "cross-entropy", "--weight", "1;2"], "--weight 1;2: expected numbers with commas"),
    "negative weights": (["my.module.py:softmax", "--kind", "cross-entropy", "--weight", "1,-2"], "expected one positive number for every class"),
    "smoothing of a softmax": (["my.module.py:softmax", "--kind", "softmax", "--label-smoothing", "0.1"], "--label-smoothing does not apply to softmax"),
    "one vector of a linear layer": (["my.module.py:softmax", "--kind", "linear-cross-entropy-grad", "--single"], "--single does not apply"),
    "probabilities for a softmax": (["my.module.py:softmax", "--kind", "softmax", "--from-probabilities"], "--from-probabilities does not apply"),
    "a reduction for one vector": (["my.module.py:softmax", "--kind", "cross-entropy", "--single", "--reduction", "mean"], "(batched=False, --single)"),
    "an ignored label of one-hot rows": (["my.module.py:softmax", "--kind", "cross-entropy", "--ignore-index", "0"], "--target index"),
    "no function named": (["my.module.py", "--kind", "softmax"], "my.module.py", "FILE.py:FUNCTION"),
    "nothing before the colon": ([":softmax", "--kind", "softmax"], "FILE.py:FUNCTION"),
    "nothing after it": (["my.module.py:", "--kind", "softmax"], "FILE.py:FUNCTION"),
    "no file": (["your_module.py:softmax", "--kind", "softmax"], "your_module.py: there is no such file"),
    "no such folder": (["there/is/none.py:softmax", "--kind", "softmax"], "there/is/none.py: there is no such file"),
    "a folder": (["./:softmax", "--kind", "softmax"], "there is no such file"),
    "a file of another kind": (["./data.csv:softmax", "--kind", "softmax"], "data.csv", "not a Python file"),
    "no module": (["no_such_module:softmax", "--kind", "softmax"], "no_such_module cannot be imported", "No module named"),
    "a module's file without .py": (["broken:softmax", "--kind", "softmax"], "broken cannot be imported", "broken.py:FUNCTION"),
    "no such function": (["my.module.py:sofmax", "--kind", "softmax"], "has no function sofmax (did you mean softmax?)", "my_backward, mean_loss"),
    "a name unlike all": (["my.module.py:qqq", "--kind", "softmax"], "my.module.py has no function qqq; it has softmax"),
    "not a function": (["my.module.py:WIDTH", "--kind", "softmax"], "my.module.py:WIDTH is a int; expected a function"),
    "no functions at all": (["empty.py:f", "--kind", "softmax"], "it has none"),
    "raises on import": (["broken.py:f", "--kind", "softmax"], "broken.py, line 2: ZeroDivisionError: division by zero"),
    "raises within another module": (["deep.py:f", "--kind", "softmax"], "deep.py, line 3: JSONDecodeError: Expecting value"),
    "a syntax error": (["syntax.py:f", "--kind", "softmax"], "syntax.py, line 3: SyntaxError"),
    "leaves on import": (["leaves.py:f", "--kind", "softmax"], "leaves.py, line 1: SystemExit: 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line_and_exit_code_2(run, folder, case):
    (folder / "data.csv").write_text("1,2\n")
    (folder / "empty.py").write_text("")
    (folder / "broken.py").write_text("x = 1\ny = x / 0\n")
    (folder / "deep.py").write_text("import json\n\njson.loads('')\n")
    (folder / "syntax.py").write_text("x = 1\n\ndef f(:\n")
    (folder / "leaves.py").write_text("raise SystemExit(3)\n")
    arguments, *texts = case
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for text in texts:
        assert text in err
    assert "Traceback" not in err


def test_ctrl_c_in_the_users_code(folder):
    (folder / "slow.py").write_text("raise KeyboardInterrupt\n")
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(["check", "slow.py:f", "--kind", "softmax"])
    finally:
        signal.signal(signal.SIGINT, handler)  # the command ignores a second one while it ends
    assert stop.value.code == 130


def test_the_command_has_the_kinds_and_options_of_the_checks():
    checks = {name.removeprefix("check_").replace("_", "-") for name in checking.__all__ if name.startswith("check_")}
    assert checks == set(_check.KINDS)
    assert {*_check.Target} == {*get_args(Target)}
    assert {*_check.Reduction} == {*get_args(ReductionName)}


def test_help_names_kinds_and_options(run):
    code, out, _ = run("--help")
    assert code == 0
    for text in (
        "FILE.py:FUNCTION",
        "--kind",
        "cross-entropy-hessian",
        "--reduction",
        "--target",
        "--json",
        "--single",
    ):
        assert text in out
    assert 'FILE.py is run, as `python FILE.py` would run it except that __name__ is not "__main__"' in " ".join(
        out.split()
    )
    exit_codes = "0 if FUNCTION is right, 1 if it is wrong or cannot be judged, and 2 for bad input."
    assert exit_codes in " ".join(out.split())


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_it_prints_in_any_encoding(folder, encoding):
    command = [sys.executable, "-c", "import softgrad.cli; softgrad.cli.main()", "check", "my.module.py:my_backward"]
    for extra in ([], ["--json"]):
        result = subprocess.run(
            [*command, "--kind", "cross-entropy-grad", *extra],
            capture_output=True,
            check=False,
            env={"PYTHONIOENCODING": encoding, "PATH": "", "COLUMNS": "100"},
        )
        assert (result.returncode, result.stderr) == (1, b"")
        text = result.stdout.decode(encoding)
        if extra:
            assert json.loads(text)["cause"] == "p − y where Σy ≠ 1"
        else:
            assert text.startswith("my_backward (cross-entropy-grad) is wrong: p - y where sum y != 1.")


def test_narrow_terminals_keep_code_whole(run, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    _, out, _ = run("my.module.py:my_backward", "--kind", "cross-entropy-grad")
    assert "\n          return p * y.sum(axis=1, keepdims=True) - y\n" in out
    prose = [line for line in out.splitlines() if not line.startswith("      ")]
    assert max(map(len, prose)) <= 30
