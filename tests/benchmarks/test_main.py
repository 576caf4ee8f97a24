"""`python -m benchmarks`: the options, the report, and what is printed."""

import dataclasses
import json
import runpy
import sys

import numpy as np
import pytest
import typer
from scipy import special
from typer.testing import CliRunner

import benchmarks.__main__ as command
import softgrad as sg
from benchmarks import tables
from benchmarks.__main__ import SuiteName
from benchmarks.suites import InputError, Suite
from benchmarks.timing import TimedCase, Variant, faster
from benchmarks.verdict import Exact, Judge

app = typer.Typer()
app.command()(command.bench)


def cases(peers):
    logits = np.log([[1.0, 3.0]])
    variants = [Variant("softgrad", "softmax", lambda: sg.softmax(logits))]
    variants += [Variant(name, "softmax", lambda: special.softmax(logits, axis=1)) for name in peers]
    yield TimedCase(
        "softmax, 1 × 2", "float64", (1, 2), Judge([Exact(np.array([[0.25, 0.75]]))]), variants, [faster(2)]
    )


SUITE = Suite(("SciPy",), 2, cases, lambda _: ["a note [bold]"], lambda report: tables.speed_table(report["cases"]))


@pytest.fixture
def suite(monkeypatch):
    """A suite of one small case, whichever is asked for."""
    monkeypatch.setattr(command, "_load", lambda _: SUITE)


def run(*arguments):
    return CliRunner().invoke(app, [*arguments])


@pytest.mark.usefixtures("suite")
def test_json_holds_the_environment_and_the_cases():
    threads = sg.get_num_threads()
    result = run("--json", "--threads", "3", "--suite", "curvature")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["suite"], report["rounds"], report["threads"]) == ("curvature", 2, 3)
    assert sg.get_num_threads() == threads
    assert {"date", "cpu", "cpus", "instruction_set", "load"} <= set(report)
    assert set(report["versions"]) == {"Python", "NumPy", "softgrad", "SciPy"}
    assert report["not_installed"] == []
    assert "summary" not in report
    (case,) = report["cases"]
    assert [variant["name"] for variant in case["variants"]] == ["softgrad", "SciPy"]
    assert json.loads(run("--json", "--rounds", "1").stdout)["rounds"] == 1


def test_summary_is_that_of_the_suite():
    suite = dataclasses.replace(SUITE, summary=lambda records: {"cases": len(records)})
    assert command.run("core", suite, rounds=1, threads=1)["summary"] == {"cases": 1}


@pytest.mark.usefixtures("suite")
def test_table_follows_the_machine_the_versions_and_the_notes():
    result = run()
    assert result.exit_code == 0, result.output
    machine, versions, note, *_ = result.stdout.splitlines()
    assert "CPU" in machine
    assert "SciPy" in versions
    assert note == "a note [bold]"
    assert "softmax, 1 × 2" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.usefixtures("suite")
def test_missing_peer_is_named_and_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    lines = run().stdout.splitlines()
    assert "not installed: SciPy" in lines
    assert not any("SciPy, softmax" in line for line in lines)


@pytest.mark.usefixtures("suite")
@pytest.mark.parametrize("wrong, error", [(1e-3, float), (np.nan, type(None))])
def test_wrong_result_exits_1(monkeypatch, wrong, error):
    right = sg.softmax
    monkeypatch.setattr(sg, "softmax", lambda logits: right(logits) + wrong)
    result = run("--json")
    assert result.exit_code == 1
    assert result.stderr.startswith("wrong: softmax, 1 × 2: softgrad is not timed, its result is ")
    ours = json.loads(result.stdout)["cases"][0]["variants"][0]
    assert ours["refused"] in result.stderr
    assert isinstance(ours["error_ulp"], error)  # JSON has no infinity
    assert "refused" in run().stdout


def test_bound_that_softgrad_breaks_is_a_wrong_result():
    errors = {"loss": {"softgrad": 2.5, "SciPy": 1e7}, "softmax": {"softgrad": 2.0, "SciPy": 2.0}}
    case = {"title": "tails", "dtype": "float32", "allowed_ulp": 2.0, "largest_error_ulp": errors}
    assert command.wrong_results([case]) == ["tails, float32: loss of softgrad is 2.5 ULP off (allowed: 2)"]
    assert command.wrong_results([{"title": "fit", "problems": ["not reached"]}]) == ["fit: not reached"]


@pytest.mark.parametrize("name", [name for name in SuiteName if name not in {"torch", "parallel", "jax", "dask"}])
def test_suites_have_peers_rounds_and_a_line_in_the_docstring(name):
    suite = command._load(name)
    assert (suite.peers == ()) == (name == "load")  # it compares softgrad with itself
    assert suite.rounds >= 1
    assert f"\n{name}\n" in sys.modules["benchmarks"].__doc__


@pytest.mark.parametrize("suite", [name for name in SuiteName if name != "regression"])
def test_data_is_for_the_suite_of_fits_only(tmp_path, suite):
    result = run("--suite", suite, "--data", str(tmp_path))
    assert str(result.exception) == f"--data is for --suite regression, not {suite}; leave it out"


def test_package_that_a_suite_needs_is_named(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("benchmarks.suites.torch")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"--suite torch: torch is not installed; write pip install '\.\[bench\]'"):
        command._load(SuiteName.TORCH)


@pytest.mark.parametrize(
    "arguments, code, expected",
    [
        (["--help"], 0, "--suite"),
        (["--data", ".", "--suite", "core"], 2, "error: --data is for --suite regression, not core; leave it out\n"),
        (["--suite", "speed"], 2, "'speed' is not one of"),
        (["--rounds", "0"], 2, "--rounds"),
        (["--suite", "regression", "--data", "nowhere"], 2, "does not exist"),
    ],
)
def test_package_runs_as_a_command(monkeypatch, capsys, arguments, code, expected):
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    monkeypatch.delitem(sys.modules, "benchmarks.__main__")
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("benchmarks", run_name="__main__")
    assert exit_.value.code == code
    output = capsys.readouterr()
    assert expected in (output.out if code == 0 else output.err)
