"""softgrad.torch beside torch: the work, the verdicts and the table."""

import io
import re

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.nn import functional

import softgrad.torch
from benchmarks import memory as peaks
from benchmarks import reference
from benchmarks.__main__ import WIDTH, header, wrong_results
from benchmarks.suites import torch as suite
from benchmarks.suites.torch import cross_entropy, linear_cross_entropy, memory

FULL_SIZES = {
    "8 × 785": "512 × 50257", "16 × 15": "1024 × 1000", "1024 × 2": "65536 × 10",
    "16 × 8 × 785": "1024 × 512 × 50257", "32 × 4 × 1562": "2048 × 256 × 100000",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch):
    monkeypatch.setattr(peaks, "can_measure", lambda: True)
    monkeypatch.setattr(peaks, "peak_of", lambda *_: peaks.Peak(2**20, 1.0))


def report(measured):
    """The report of the suite with small tensors."""
    records = [measured(case) for case in suite.cases({}, shrink=64)]
    environment = {"cpu": "", "cpus": 2, "instruction_set": "", "versions": {}, "not_installed": [], "load": 0.0}
    return environment | {"threads": 1, "rounds": 1, "cases": records, "summary": suite.summary(records)}


def case(report, title):
    return next(case for case in report["cases"] if case["title"] == title)


def printed(report):
    console = Console(width=WIDTH, file=io.StringIO(), highlight=False)
    console.print("\n".join(header(report, suite.SUITE)))
    console.print(suite.table(report))
    return console.file.getvalue()


def test_every_case_and_every_goal(measured):
    found = report(measured)
    assert wrong_results(found["cases"]) == []
    assert [(case["title"], case["dtype"], [goal["text"] for goal in case["goals"]]) for case in found["cases"]] == [
        ("loss + backward, 8 × 785", "float32", ["≥ 3×"]),
        ("loss + backward, 16 × 15", "float32", []),
        ("loss + backward, 1024 × 2", "float32", ["≥ 4×"]),
        ("loss + backward, 2 × 2", "float32", ["≥ 1×"]),
        ("loss + backward, 8 × 785, bfloat16", "bfloat16", []),
        ("Hessian · v, 8 × 785", "float32", []),
        ("linear head, 16 × 8 × 785", "float32", ["≥ 1.4×", "≤ 1.15×"]),
        ("head beside chunks, 16 × 8 × 785", "float32", ["≥ 4×", "≤ 1.25×"]),
        ("cross_entropy, 4 × 10", "float32", ["≥ 0.5×"]),
        ("cross_entropy, recorded, 4 × 10", "float32", ["≥ 0.5×"]),
        ("loss + backward, 4 × 10", "float32", ["≥ 0.5×"]),
        ("softmax, 4 × 10", "float32", ["≥ 0.5×"]),
        ("softmax, recorded, 4 × 10", "float32", ["≥ 0.5×"]),
        ("memory, loss + backward, 8 × 785", "float32", ["≤ 1.1×"]),
        ("memory, linear head, 32 × 4 × 1562", "float32", ["≤ 200 MiB"]),
    ]
    for record in found["cases"][:-2]:
        ours, *peers = record["variants"]
        assert ours["name"] == "softgrad"
        assert all(variant["median_s"] > 0 for variant in record["variants"])
        if not record["title"].startswith(("Hessian", "linear", "head")):
            assert ours["error_ulp"] <= (0.51 if record["dtype"] == "bfloat16" else 2)
        assert {goal["peer"] for goal in record["goals"]} <= {peer["name"] for peer in peers}
    for title, peers in ("linear head", ["torch"]), ("head beside chunks", ["torch chunked", "torch by 256 rows"]):
        names = [variant["name"] for variant in case(found, f"{title}, 16 × 8 × 785")["variants"]]
        assert names == ["softgrad", *peers, "three GEMMs"]
    assert [variant["name"] for variant in found["cases"][-1]["variants"]] == [
        "softgrad", "torch", "torch by 256 rows",
    ]  # fmt: skip
    goals = [goal for record in found["cases"] for goal in record["goals"]]
    assert [goal["reached"] for goal in found["summary"]["goals"]] == [goal["reached"] for goal in goals]
    assert all(goal["value"] is not None for goal in found["summary"]["goals"])


def test_ways_that_an_older_torch_lacks_are_left_out(monkeypatch, measured):
    monkeypatch.delattr(functional, "linear_cross_entropy")
    monkeypatch.delattr(torch.nn, "LinearCrossEntropyOptions")
    found = report(measured)
    for title in "linear head", "head beside chunks":
        record = case(found, f"{title}, 16 × 8 × 785")
        assert [variant["name"] for variant in record["variants"]] == ["softgrad", "three GEMMs"]
        assert record["goals"][0]["reached"] is None
    assert printed(found).count("Not measured:") == 2


def test_output_of_the_full_sizes_fits_100_columns(measured):
    found = report(measured)
    for record in found["cases"]:
        for shrunk, full in sorted(FULL_SIZES.items(), key=lambda sizes: -len(sizes[0])):
            record["title"] = re.sub(rf"(?<!× )\b{shrunk}\b(?! ×)", full, record["title"])
        for variant in record["variants"]:
            if "ratio" in variant:
                variant |= {"median_s": 0.123, "min_s": 0.1, "max_s": 0.999}
                variant["ratio"] = None if variant["name"] == "softgrad" else 0.123
        for goal in record["goals"]:
            goal["reached"] = False
    text = printed(found)
    titles = [record["title"] for record in found["cases"]]
    assert titles[0] == "loss + backward, 512 × 50257"
    for expected in (*titles, "three GEMMs, torch.mm, out=", "8.13× its time", "0.12× as fast", "≤ 200 MiB missed"):
        assert expected in text
    assert not re.search(r"\S…|…\S", text), text
    assert max(map(len, text.splitlines())) <= 100


def test_summary_holds_the_goals_of_all_records():
    def goal(peer, text, reached):
        return {"peer": peer, "text": text, "reached": reached}

    variants = [{"name": "softgrad", "ratio": None}, {"name": "torch", "ratio": 3.5}]
    work = {"title": "work", "variants": variants}
    work["goals"] = [goal("torch", "≥ 3×", True), goal("other", "≥ 1×", None)]
    peak = {"title": "memory, work", "variants": [{"name": "softgrad", "peak_bytes": 7}]}
    peak["goals"] = [goal("softgrad", "≤ 5 B", False)]
    goals = suite.summary([work, peak])["goals"]
    assert [(goal["name"], goal["value"]) for goal in goals] == [
        ("work: torch", 3.5),
        ("work: other", None),
        ("memory, work: softgrad", 7),
    ]


@pytest.mark.parametrize("name", ["cross_entropy", "softmax", "linear_cross_entropy"])
@pytest.mark.parametrize("factor", [1.02, float("nan")])
def test_wrong_result_of_softgrad_is_refused(monkeypatch, measured, name, factor):
    right = getattr(softgrad.torch, name)
    monkeypatch.setattr(softgrad.torch, name, lambda *given: right(*given) * factor)
    found = report(measured)
    wrong = {record["title"] for record in found["cases"] if record["variants"][0]["refused"]}
    concerned = {
        "cross_entropy": ("loss", "Hessian", "cross_entropy"), "softmax": "softmax",
        "linear_cross_entropy": ("linear", "head"),
    }[name]  # fmt: skip
    assert wrong == {record["title"] for record in found["cases"] if record["title"].startswith(concerned)}
    for title in wrong:
        assert all(goal["reached"] is None for goal in case(found, title)["goals"])


@pytest.mark.parametrize("library", [softgrad.torch, functional])
def test_wrong_gradient_is_refused(monkeypatch, measured, library):
    right = library.cross_entropy

    class Off(torch.autograd.Function):
        @staticmethod
        def forward(_, z):
            return z.clone()

        @staticmethod
        def backward(_, gradient):
            return gradient * 1.02

    monkeypatch.setattr(library, "cross_entropy", lambda z, y, **options: right(Off.apply(z), y, **options))
    found = report(measured)
    index = 0 if library is softgrad.torch else 1
    refused = {record["title"] for record in found["cases"] if record["variants"][index]["refused"]}
    concerned = ("loss", "Hessian") if library is softgrad.torch else ("loss", "Hessian", "linear")
    assert refused == {record["title"] for record in found["cases"] if record["title"].startswith(concerned)}


def test_wrong_product_is_refused(monkeypatch, measured):
    right = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b, out: right(a, b, out=out).mul_(1.001))
    *_, gemms = measured(linear_cross_entropy.gradient((16, 8, 785), []))["variants"]
    assert "of the largest entry" in gemms["refused"]


def test_exact_gradients_of_a_linear_head_are_those_of_autograd_in_float64(monkeypatch):
    monkeypatch.setattr(reference, "BLOCK_ENTRIES", 100)  # several blocks
    x, W, target = linear_cross_entropy.tensors((17, 3, 31))
    wide_x, wide_w = (tensor.double().requires_grad_() for tensor in (x, W))
    logits = wide_x @ wide_w.T
    logits.retain_grad()
    loss = functional.cross_entropy(logits, target)
    loss.backward()
    judge, upstream = linear_cross_entropy.exact_results(x, W, target)
    np.testing.assert_allclose(upstream, logits.grad, rtol=1e-6)
    float32 = [tensor.detach().float() for tensor in (loss, wide_x.grad, wide_w.grad)]
    assert judge(tuple(float32), ours=True).refused is None
    for i in range(3):
        wrong = [tensor * (1.001 if i == j else 1) for j, tensor in enumerate(float32)]
        assert judge(tuple(wrong), ours=True).refused


def test_losses_that_differ_are_a_failure(monkeypatch, measured):
    def peak_of(_, warm_up, arguments):
        return peaks.Peak(2**20, 1.0 if arguments[1] == "softgrad" else 1.001)

    monkeypatch.setattr(peaks, "peak_of", peak_of)
    record = measured(memory.of_cross_entropy((8, 785)))
    assert wrong_results([record]) == [
        "memory, loss + backward, 8 × 785: the loss of torch is 1.001, that of softgrad 1"
    ]


@pytest.mark.parametrize("excess, reached", [(0.0, True), (1e-6, False)])
def test_memory_is_held_against_its_limit(monkeypatch, measured, excess, reached):
    limit = memory.of_cross_entropy((8, 785)).limit_bytes
    assert limit == 1.1 * 4 * 8 * 785
    monkeypatch.setattr(peaks, "peak_of", lambda *_: peaks.Peak(limit * (1 + excess), 1.0))
    (goal,) = measured(memory.of_cross_entropy((8, 785)))["goals"]
    assert goal["reached"] is reached


def test_memory_is_left_out_where_the_system_does_not_tell(monkeypatch, measured):
    monkeypatch.setattr(peaks, "can_measure", lambda: False)
    found = report(measured)
    assert [goal["reached"] for goal in found["summary"]["goals"]][-2:] == [None, None]
    text = printed(found)
    assert text.count("not told by this system") == 2
    assert text.count("Not measured: memory") == 2


def test_memory_is_that_of_the_loss_and_its_gradients(monkeypatch, threads):
    before = torch.get_num_threads()
    threads(before + 1)
    x, W, target = made = linear_cross_entropy.tensors((8, 4, 10))
    expected = functional.cross_entropy(x @ W.T, target).item()
    monkeypatch.setattr(linear_cross_entropy, "tensors", lambda _: made)
    run = memory.prepare_loss("linear_cross_entropy", "torch", (8, 4, 10))
    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)
    assert x.grad is W.grad is None
    assert run() == pytest.approx(expected, rel=1e-5)
    assert x.grad.shape == x.shape
    assert W.grad.shape == W.shape


def test_tensors_are_the_same_in_every_call():
    for first, again in zip(cross_entropy.tensors((3, 4)), cross_entropy.tensors((3, 4)), strict=True):
        assert torch.equal(first, again)
