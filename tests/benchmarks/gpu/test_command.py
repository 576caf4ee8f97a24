"""`python -m benchmarks.gpu` on a CPU, whose kernels stand in for those of a GPU: every part on tiny tensors."""

import io
import json
import runpy
import sys

import pytest
import torch
import typer
from typer.testing import CliRunner

import softgrad.torch
from benchmarks.gpu import behaviour, command, exactness, goals, launch, linear, peers, processes, rows, speed, timing
from benchmarks.gpu.session import Session

app = typer.Typer()
app.command()(command.bench)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    """Sizes of a test, and times that are known."""
    monkeypatch.setattr(rows, "_MOST_ROWS", 16)
    monkeypatch.setattr(exactness, "DTYPES", ("float32",))
    monkeypatch.setattr(exactness, "OPTIONS", exactness.WITH_MEAN)
    monkeypatch.setattr(behaviour, "CLASSES", 33)
    monkeypatch.setattr(speed, "ENTRIES", 256)
    monkeypatch.setattr(linear, "SHAPE", (16, 4, 33))
    monkeypatch.setattr(launch, "_ROUNDS", 1)
    monkeypatch.setattr(timing, "_CALLS", 1)
    monkeypatch.setattr(timing, "milliseconds", lambda call, _: (call(), 2.0)[1])


def session_of(parts, classes=(10,)):
    session = Session("cpu", io.StringIO())
    command.run(session, [command.Part(part) for part in parts], list(classes), 0)
    return session


def figures(session, part, key):
    return {r[key]: r for r in session.records if r["part"] == part and key in r}


def test_exactness_covers_the_functions_and_finds_no_error():
    session = session_of(["exact"])
    assert session.problems() == []
    functions = figures(session, "exact", "function")
    assert {"softmax", "softmax, vjp", "log_softmax", "logsumexp", "HVP, torch.func", "linear head"} <= set(functions)
    assert {"loss, labels", "gradient, labels, all options", "HVP, labels"} <= set(functions)
    assert functions["loss, labels"]["allowed_ulp"] == 2
    assert 0 < functions["gradient, labels"]["error_ulp"] <= 2
    assert set(figures(session, "exact", "check")) == {*behaviour.checks(torch.device("cpu"))}


def test_wrong_result_is_a_problem(monkeypatch):
    softmax = softgrad.torch.softmax
    monkeypatch.setattr(softgrad.torch, "softmax", lambda z, dim: softmax(z, dim) * 1.001)
    (record,) = [r for r in exactness.check(10, "float32", "cpu", exactness.OF_ROWS) if r["function"] == "softmax"]
    assert not record["passed"]
    monkeypatch.setattr(softgrad.torch, "cross_entropy", lambda *_, **__: 1 / 0)
    session = session_of(["exact"])
    assert any("labels, float32, C = 10, error ZeroDivisionError: division by zero" in p for p in session.problems())


def test_bounds_of_16_bit_types():
    for dtype in ("bfloat16", "float16"):
        records = exactness.check(10, dtype, "cpu", "labels")
        assert {r["function"]: r["allowed_ulp"] for r in records if "mean" not in r["function"]} == {
            "loss, labels": 3, "gradient, labels": 0.51, "HVP, labels": 0.51, "HVP, torch.func": 0.51
        }  # fmt: skip
        assert all(r["passed"] for r in records)


def test_speed_is_a_share_of_the_copy_beside_goals(capsys):
    session = session_of(["speed"], [10, 20])
    records = [r for r in session.records if "share" in r and r["classes"] == 10 and r["dtype"] == "float32"]
    shares = {r["variant"]: r["share"] for r in records}
    kernels = {name: passes / 2 for name, passes in goals.PASSES.items()}  # all take the time of the copy
    assert shares == kernels | dict.fromkeys(["copy", "softgrad", "softgrad, upstream 0.5", "torch"], 1)
    assert records[0]["rows"] == 16
    reached = {goal["name"]: goal["reached"] for goal in session.goals() if "float32, C = 10" in goal["name"]}
    assert reached == {
        "value, float32, C = 10: 0.50": False,
        "loss + gradient, float32, C = 10: 1.00": True,
        "HVP, float32, C = 10: 1.50": True,
        "times torch, float32, C = 10: 1.00": False,
    }
    command.report(session)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "float32, share of copy; C = 10 20" in lines
    assert lines[lines.index("value 0.50 0.50") + 1] == "goal *≥ 0.8 *≥ 0.8"
    assert lines[lines.index("loss + gradient 1.00 1.00") + 1] == "goal ≥ 0.6"
    assert lines[lines.index("softgrad 1.00 1.00") + 1] == "times torch *1.00 *1.00"
    assert "Missed: value, float32, C = 10: 0.50, ≥ 0.8" in lines


def test_peer_that_is_wrong_or_fails_is_left_out(monkeypatch):
    found = {"wrong": lambda z, y: softgrad.torch.cross_entropy(z, y) * 1.1, "failing": lambda z, y: 1 / 0}
    monkeypatch.setattr(peers, "losses", lambda _: found)
    session = session_of(["speed"])
    assert session.problems() == []
    variants = figures(session, "speed", "variant")
    assert not {"wrong", "failing"} & set(variants)
    failures = figures(session, "speed", "failed")
    assert "of the largest entry from softgrad's" in failures["wrong, float32, C = 10"]["error"]
    assert failures["failing, float32, C = 10"]["error"] == "ZeroDivisionError: division by zero"


def test_linear_head_and_launch(monkeypatch, capsys):
    monkeypatch.setattr(linear, "peak", lambda _: 2**30)
    session = session_of(["linear", "launch"])
    assert session.problems() == []
    assert {"softgrad", "torch", "three products", "softgrad, gradient and HVP"} <= set(
        figures(session, "linear", "variant")
    )
    names = [goal["name"] for goal in session.goals()]
    assert names[:2] == ["linear head in its three products: 1.00", "linear head in torch's time: 1.00"]
    assert set(figures(session, "launch", "work")) == {"softmax", "loss", "loss + backward"}
    command.report(session)
    printed = capsys.readouterr().out
    assert "softgrad, µs  torch, µs" in printed
    assert "≤ 1.06 reached" in printed


def test_records_are_lines_of_json():
    session = Session("cpu", io.StringIO())
    session.add({"part": "exact", "error_ulp": float("inf"), "passed": False})
    session.skip("speed", "QuACK", "not installed")
    lines = session._output.getvalue().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"part": "exact", "error_ulp": None, "passed": False},
        {"part": "speed", "skipped": "QuACK", "reason": "not installed"},
    ]
    assert session.problems() == ["part exact, error_ulp inf, passed False"]


def test_time_that_is_over_skips_cases_and_fails_checks(monkeypatch):
    monkeypatch.setattr(command, "SECONDS", dict.fromkeys(command.SECONDS, 0))
    monkeypatch.setattr(processes, "run", lambda *_: None)
    session = session_of(["exact", "speed"])
    assert figures(session, "speed", "skipped")["float32, C = 10"]["reason"] == "no time left"
    assert not figures(session, "speed", "variant")
    assert any("runs are equal, error TimeoutError: no time left" in problem for problem in session.problems())


def test_cases_whose_first_calls_did_not_end_are_not_timed(monkeypatch):
    def compile_case(*_):
        raise TimeoutError

    monkeypatch.setattr(speed, "compile_case", compile_case)
    session = session_of(["speed"])
    assert figures(session, "speed", "skipped")["float32, C = 10"]["reason"] == "its first calls did not end"
    assert not figures(session, "speed", "variant")


def test_logits_of_all_rows_exceed_the_goal_for_memory(monkeypatch):
    n, features, classes = 8192, 4096, 128256
    monkeypatch.setattr(linear, "SHAPE", (n, features, classes))
    gradients, logits = 2 * n * features + 4 * classes * features, 2 * n * classes
    assert gradients + logits / 2 < linear.most_bytes() < gradients + logits


@pytest.mark.parametrize(
    "kernel, dtype, expected",
    [
        ("loss + gradient", "float32", [0.6, None, 0.9, 0.9, 0.9, 0.8, 0.75, 0.75]),
        ("loss + gradient", "bfloat16", [0.85, 0.85, 0.85, 0.85, 0.65, 0.65, 0.65, 0.65]),
        ("value", "float32", [0.8] * 8),
        ("value", "bfloat16", [None] * 8),
        ("HVP", "float32", [0.9] * 8),
        ("softmax", "float32", [None] * 8),
    ],
)
def test_goals(kernel, dtype, expected):
    classes = [10, 100, 1000, 8192, 16384, 32000, 50257, 262144]
    assert [goals.least_share(kernel, dtype, count) for count in classes] == expected


def test_share_counts_the_bytes_that_must_move():
    assert goals.share(passes=2, ms=2.0, copy_ms=1.0) == 0.5
    assert goals.share(passes=1, ms=1.0, copy_ms=1.0) == 0.5
    assert goals.share(passes=3, ms=1.0, copy_ms=1.0) == 1.5
    assert goals.at_most("time", 1.05, 1.06)["reached"]
    assert not goals.at_least("share", 0.59, 0.6)["reached"]


def test_without_a_gpu_one_line_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(command.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("benchmarks.gpu", run_name="__main__")
    assert end.value.code == 2
    message = "error: benchmarks.gpu needs a CUDA GPU and Triton; torch.cuda.is_available() is False\n"
    assert capsys.readouterr().err == message


def test_exit_code_is_1_if_a_result_is_wrong(monkeypatch, tmp_path):
    def run(session, parts, classes, workers):
        assert (parts, classes, workers) == (["exact", "speed"], [10, 1000], 3)
        session.add(
            {
                "part": "exact",
                "function": "softmax",
                "dtype": "float32",
                "error_ulp": 2.5,
                "allowed_ulp": 2.0,
                "passed": False,
            }
        )

    monkeypatch.setattr(command, "absence", lambda: None)
    monkeypatch.setattr(command, "workers", lambda: 3)
    monkeypatch.setattr(command, "run", run)
    options = ["--part", "exact", "--part", "speed", "--classes", "10", "--classes", "1000"]
    result = CliRunner().invoke(app, [*options, "--output", str(tmp_path / "gpu.jsonl")])
    assert result.exit_code == 1
    assert (
        "wrong: part exact, function softmax, dtype float32, error_ulp 2.50, allowed_ulp 2.00, passed False"
        in result.stderr
    )
    assert json.loads((tmp_path / "gpu.jsonl").read_text())["error_ulp"] == 2.5
