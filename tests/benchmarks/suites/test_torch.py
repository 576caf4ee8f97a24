"""`python -m benchmarks --suite torch`: what is compared, refused and printed."""

import functools
import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import typer
from rich.console import Console
from torch.nn import functional
from typer.testing import CliRunner

import softgrad.torch
from benchmarks import __main__ as _bench
from benchmarks import timing as _bench_timing
from benchmarks import verdict as _judgement
from benchmarks.suites import torch as _bench_torch
from benchmarks.suites.torch import linear_cross_entropy as _linear_head
from benchmarks.suites.torch import memory as _memory
from benchmarks.suites.torch import table as _table
from benchmarks.timing import Case, Goal, Variant, Verdict
from softgrad.cli import CommandError

app = typer.Typer()
app.command()(_bench.bench)

PEAK = {"peak_bytes": 2**20, "loss": 1.0}
FULL_SIZES = {
    "8 × 785": "512 × 50257", "16 × 15": "1024 × 1000", "1024 × 2": "65536 × 10",
    "16 × 8 × 785": "1024 × 512 × 50257", "32 × 4 × 1562": "2048 × 256 × 100000",
}  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Tiny tensors, short batches, no pauses, and no processes."""
    monkeypatch.setattr(_bench_torch, "cases", functools.partial(_bench_torch.cases, shrink=64))
    monkeypatch.setattr(_bench_timing, "PAUSE", 0)
    monkeypatch.setattr(_bench_timing, "BATCH", 1e-6)
    monkeypatch.setattr(_memory, "_measured", lambda *_: PEAK)


def run(*arguments):
    return CliRunner().invoke(app, ["--suite", "torch", "--rounds", "1", *arguments])


def case(report, title):
    return next(case for case in report["cases"] if case["title"] == title)


def printed(report):
    console = Console(width=_bench.WIDTH, file=io.StringIO(), highlight=False)
    console.print(_bench._header(report))
    console.print(_bench._shown(report))
    return console.file.getvalue()


def test_report_holds_every_case_and_every_goal():
    threads = torch.get_num_threads()
    result = run("--json", "--threads", "1")
    assert result.exit_code == 0, result.output
    assert torch.get_num_threads() == threads
    report = json.loads(result.stdout)
    assert (report["suite"], report["rounds"], report["threads"]) == ("torch", 1, 1)
    assert set(report["versions"]) == {"Python", "NumPy", "softgrad", "torch"}
    assert [(case["title"], case["dtype"], [goal["text"] for goal in case["goals"]]) for case in report["cases"]] == [
        ("loss + backward, 8 × 785", "float32", ["≥ 3×"]),
        ("loss + backward, 16 × 15", "float32", []),
        ("loss + backward, 1024 × 2", "float32", ["≥ 4×"]),
        ("loss + backward, 2 × 2", "float32", ["≥ 1×"]),
        ("loss + backward, 8 × 785, bfloat16", "bfloat16", []),
        ("Hessian · v, 8 × 785", "float32", []),
        ("linear head, 16 × 8 × 785", "float32", ["≥ 1.4×", "≥ 4×", "≤ 1.25×"]),
        ("cross_entropy, 4 × 10", "float32", ["≥ 0.5×"]),
        ("cross_entropy, recorded, 4 × 10", "float32", ["≥ 0.5×"]),
        ("loss + backward, 4 × 10", "float32", ["≥ 0.5×"]),
        ("softmax, 4 × 10", "float32", ["≥ 0.5×"]),
        ("softmax, recorded, 4 × 10", "float32", ["≥ 0.5×"]),
        ("memory, loss + backward, 8 × 785", "float32", ["≤ 1.1×"]),
        ("memory, linear head, 32 × 4 × 1562", "float32", ["≤ 200 MiB"]),
    ]
    for record in report["cases"][:-2]:
        ours, *peers = record["variants"]
        assert ours["name"] == "softgrad"
        assert all(variant["refused"] is None and variant["median_s"] > 0 for variant in record["variants"])
        assert all(peer["ratio"] == pytest.approx(peer["median_s"] / ours["median_s"]) for peer in peers)
        if not record["title"].startswith(("Hessian", "linear")):
            assert ours["error_ulp"] <= (0.51 if record["dtype"] == "bfloat16" else 2)
        assert {goal["peer"] for goal in record["goals"]} <= {peer["name"] for peer in peers}
    goals = [goal for record in report["cases"] for goal in record["goals"]]
    assert [goal["reached"] for goal in report["summary"]["goals"]] == [goal["reached"] for goal in goals]
    assert all(goal["value"] is not None for goal in report["summary"]["goals"])


def test_torch_gets_the_linear_head_in_all_its_ways():
    report = json.loads(run("--json").stdout)
    names = [variant["name"] for variant in case(report, "linear head, 16 × 8 × 785")["variants"]]
    assert names == ["softgrad", "torch", "torch chunked", "torch by 256 rows", "three GEMMs"]
    names = [variant["name"] for variant in report["cases"][-1]["variants"]]
    assert names == ["softgrad", "torch", "torch by 256 rows"]


def test_ways_that_an_older_torch_lacks_are_left_out(monkeypatch):
    monkeypatch.delattr(functional, "linear_cross_entropy")
    monkeypatch.delattr(torch.nn, "LinearCrossEntropyOptions")
    result = run("--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    record = case(report, "linear head, 16 × 8 × 785")
    assert [variant["name"] for variant in record["variants"]] == ["softgrad", "three GEMMs"]
    assert [goal["reached"] for goal in record["goals"]][:2] == [None, None]
    assert printed(report).count("Not measured: linear head") == 2


@pytest.mark.parametrize("load", [0.0, 1e3])
def test_output_of_the_full_sizes_fits_100_columns(monkeypatch, load):
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    report = json.loads(run("--json").stdout)
    for record in report["cases"]:
        for shrunk, full in sorted(FULL_SIZES.items(), key=lambda sizes: -len(sizes[0])):
            record["title"] = re.sub(rf"(?<!× )\b{shrunk}\b(?! ×)", full, record["title"])
        for variant in record["variants"]:
            if "ratio" in variant:
                variant |= {"median_s": 0.123, "min_s": 0.1, "max_s": 0.999}
                variant["ratio"] = None if variant["name"] == "softgrad" else 0.123
        for goal in record["goals"]:
            goal["reached"] = False
    text = printed(report)
    assert ("machine was busy" in text) == (load > 0)
    titles = [record["title"] for record in report["cases"]]
    assert titles[0] == "loss + backward, 512 × 50257"
    for expected in (*titles, "three GEMMs, torch.mm, out=", "8.13× its time", "0.12× as fast", "≤ 200 MiB missed"):
        assert expected in text
    assert not re.search(r"\S…|…\S", text), text
    assert max(map(len, text.splitlines())) <= 100


def test_goals_are_counted_and_those_missed_are_named():
    def goal(peer, text, reached):
        return {"peer": peer, "text": text, "reached": reached}

    variants = [{"name": "softgrad", "ratio": None}, {"name": "torch", "ratio": 3.5}]
    work = {"title": "work", "variants": variants}
    work["goals"] = [goal("torch", "≥ 3×", True), goal("other", "≥ 1×", None)]
    memory = {"title": "memory, work", "variants": [{"name": "softgrad", "peak_bytes": 7}]}
    memory["goals"] = [goal("softgrad", "≤ 5 B", False)]
    goals = _bench_torch.summary([work, memory])["goals"]
    assert [(goal["name"], goal["value"]) for goal in goals] == [
        ("work: torch", 3.5),
        ("work: other", None),
        ("memory, work: softgrad", 7),
    ]
    lines = [str(line) for line in _table._goals(goals)]
    assert lines == [
        "1 of 2 goals reached.",
        "Missed: memory, work: softgrad, ≤ 5 B",
        "Not measured: work: other, ≥ 1×",
    ]


def test_missing_torch_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run()
    assert isinstance(result.exception, CommandError)
    assert "torch is not installed; write pip install" in str(result.exception)


@pytest.mark.parametrize("name", ["cross_entropy", "softmax", "linear_cross_entropy"])
@pytest.mark.parametrize("factor", [1.02, float("nan")])
def test_wrong_result_of_softgrad_is_refused(monkeypatch, name, factor):
    right = getattr(softgrad.torch, name)
    monkeypatch.setattr(softgrad.torch, name, lambda *given: right(*given) * factor)
    result = run("--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    wrong = {record["title"] for record in report["cases"] if record["variants"][0]["refused"]}
    concerned = {
        "cross_entropy": ("loss", "Hessian", "cross_entropy"), "softmax": "softmax", "linear_cross_entropy": "linear",
    }[name]  # fmt: skip
    assert wrong == {record["title"] for record in report["cases"] if record["title"].startswith(concerned)}
    for title in wrong:
        assert f"{title}: softgrad is not timed, its result is" in result.stderr
        assert all(goal["reached"] is None for goal in case(report, title)["goals"])


@pytest.mark.parametrize("library", [softgrad.torch, functional])
def test_wrong_gradient_is_refused(monkeypatch, library):
    right = library.cross_entropy

    class Off(torch.autograd.Function):
        @staticmethod
        def forward(_, z):
            return z.clone()

        @staticmethod
        def backward(_, gradient):
            return gradient * 1.02

    monkeypatch.setattr(library, "cross_entropy", lambda z, y, **options: right(Off.apply(z), y, **options))
    report = json.loads(run("--json").stdout)
    index = 0 if library is softgrad.torch else 1
    refused = {record["title"] for record in report["cases"] if record["variants"][index]["refused"]}
    concerned = ("loss", "Hessian") if library is softgrad.torch else ("loss", "Hessian", "linear")
    assert refused == {record["title"] for record in report["cases"] if record["title"].startswith(concerned)}


def test_wrong_product_is_refused(monkeypatch):
    right = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b, out: right(a, b, out=out).mul_(1.001))
    *_, gemms = case(json.loads(run("--json").stdout), "linear head, 16 × 8 × 785")["variants"]
    assert "of the largest entry" in gemms["refused"]


def test_exact_gradients_of_a_linear_head_are_those_of_autograd_in_float64(monkeypatch):
    monkeypatch.setattr(_judgement, "_BLOCK_ENTRIES", 100)  # several blocks
    x, W, target = _linear_head.tensors((17, 3, 31))
    wide_x, wide_w = (tensor.double().requires_grad_() for tensor in (x, W))
    logits = wide_x @ wide_w.T
    logits.retain_grad()
    loss = functional.cross_entropy(logits, target)
    loss.backward()
    judge, upstream = _linear_head._exact(x, W, target)
    np.testing.assert_allclose(upstream, logits.grad, rtol=1e-6)
    float32 = [tensor.detach().float() for tensor in (loss, wide_x.grad, wide_w.grad)]
    assert judge(*float32).refused is None
    for i in range(3):
        wrong = [tensor * (1.001 if i == j else 1) for j, tensor in enumerate(float32)]
        assert judge(*wrong).refused


def test_mean_loss_is_that_of_float64(monkeypatch):
    monkeypatch.setattr(_judgement, "_BLOCK_ENTRIES", 20)
    logits = torch.from_numpy(np.random.default_rng(0).standard_normal((7, 10), np.float32))
    target = torch.arange(7)
    exact = functional.cross_entropy(logits.double(), target).item()
    assert float(_judgement.mean_loss(logits.numpy(), target.numpy())) == pytest.approx(exact, rel=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_errors_count_units_of_the_results_dtype(dtype):
    exact = torch.tensor([1.0, 2.5, 1e-30], dtype=dtype)
    off = exact + torch.finfo(dtype).eps * torch.tensor([3.0, 0.0, 0.0], dtype=dtype)
    verdict = _judgement.in_ulp([(exact, exact.double().numpy()), (off, exact.double().numpy())], ours=True)
    assert verdict.error_ulp == 3
    assert verdict.refused == f"3 ULP from the exact result, allowed {2 if dtype is torch.float32 else 0.51:g}"
    peer = _judgement.in_ulp([(off, exact.double().numpy())], ours=False)
    assert (peer.error_ulp, peer.refused) == (3, None)


def test_long_work_gets_fewer_rounds():
    variant = Variant("softgrad", "", lambda: None, lambda: Verdict(None))
    for rounds, expected in (1, 1), (4, 1), (9, 3):
        record = Case("work", "float32", (1,), [variant], [Goal("torch", 1, "")], one_round_in=4).measure(
            rounds, lambda _: None
        )
        assert record["rounds"] == expected


def test_long_calls_are_made_once_a_round(monkeypatch):
    monkeypatch.setattr(_bench_timing, "LONG", 0)
    order = []
    calls = {name: functools.partial(order.append, name) for name in "ab"}
    _bench_timing.interleaved(calls, 3, lambda _: order.append("|"))
    assert "".join(order) == "ab|aabb|ba|ab"


def test_losses_that_differ_are_a_failure(monkeypatch):
    monkeypatch.setattr(_memory, "_measured", lambda _, name, __: PEAK | {"loss": 1.0 if name == "softgrad" else 1.001})
    result = run("--json")
    assert result.exit_code == 1
    assert "memory, loss + backward, 8 × 785: the loss of torch is 1.001, that of softgrad 1" in result.stderr


@pytest.mark.parametrize("excess, reached", [(0.0, True), (1e-6, False)])
def test_memory_is_held_against_its_limit(monkeypatch, excess, reached):
    limit = _memory.cross_entropy((8, 785)).limit_bytes
    assert limit == 1.1 * 4 * 8 * 785
    monkeypatch.setattr(_memory, "_measured", lambda *_: {"peak_bytes": limit * (1 + excess), "loss": 1.0})
    (goal,) = _memory.cross_entropy((8, 785)).measure(1, lambda _: None)["goals"]
    assert goal["reached"] is reached


def test_memory_is_left_out_where_the_system_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(_memory, "_RESET", tmp_path / "none")
    result = run("--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [goal["reached"] for goal in report["summary"]["goals"]][-2:] == [None, None]
    text = printed(report)
    assert text.count("not told by this system") == 2
    assert text.count("Not measured: memory") == 2


@pytest.mark.skipif(not _memory._RESET.exists(), reason="/proc is Linux's")
def test_peak_is_what_the_loss_allocates():
    code = """if True:
        import sys, torch
        from benchmarks.suites.torch import memory as _memory
        def greedy(logits, target):
            mebibytes = 100 if len(logits) == 8 else 300  # in the run before, which does not count
            torch.ones(mebibytes * 2**18)
            return logits.sum()
        _memory._LOSSES["cross_entropy"]["softgrad"] = greedy
        _memory.main("cross_entropy", "softgrad", "1", "8", "10")
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 98 <= json.loads(result.stdout)["peak_bytes"] / 2**20 <= 110


@pytest.mark.skipif(not _memory._RESET.exists(), reason="/proc is Linux's")
def test_child_computes_the_loss_of_the_same_tensors(monkeypatch):
    monkeypatch.undo()
    figures = _memory._measured("linear_cross_entropy", "softgrad", (8, 4, 10))
    x, W, target = _linear_head.tensors((8, 4, 10))
    assert figures["loss"] == pytest.approx(functional.cross_entropy(x @ W.T, target).item(), rel=1e-5)
    assert figures["peak_bytes"] >= 0
