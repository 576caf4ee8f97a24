"""`python -m benchmarks`: what is compared, refused and printed. No test looks at how long anything took."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
import typer
from scipy import special
from typer.testing import CliRunner

import softgrad as sg
from benchmarks import __main__ as _bench
from benchmarks import reference as _bench_reference
from benchmarks import tables as _bench_figures
from benchmarks import timing as _bench_timing
from benchmarks.suites import accuracy as _bench_accuracy
from benchmarks.suites import core as _bench_core
from benchmarks.suites import curvature as _bench_curvature

app = typer.Typer()
app.command()(_bench.bench)

PEERS = {"SciPy": "scipy.special", "torch": "torch", "JAX": "jax"}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Tiny arrays, short batches and no pauses: what is left is what the tests are about."""
    monkeypatch.setattr(_bench_core, "cases", functools.partial(_bench_core.cases, shrink=64))
    monkeypatch.setattr(_bench_accuracy, "cases", functools.partial(_bench_accuracy.cases, shrink=20))
    monkeypatch.setattr(_bench_curvature, "cases", functools.partial(_bench_curvature.cases, shrink=64))
    monkeypatch.setattr(_bench_timing, "PAUSE", 0)
    monkeypatch.setattr(_bench_timing, "BATCH", 1e-6)


@pytest.fixture
def no_peers(monkeypatch):
    for module in PEERS.values():
        monkeypatch.setitem(sys.modules, module, None)


def run(*arguments):
    return CliRunner().invoke(app, ["--rounds", "1", *arguments])


def test_core_suite_reports_environment_cases_ratios_and_goals_as_json():
    threads = sg.get_num_threads()
    result = run("--json", "--threads", "1")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["suite"], report["rounds"], report["threads"]) == ("core", 1, 1)
    assert sg.get_num_threads() == threads
    assert report["cpu"]
    assert report["date"]
    assert report["instruction_set"]
    assert {"Python", "NumPy", "softgrad"} <= set(report["versions"])
    assert set(report["versions"]) & set(PEERS) == set(PEERS) - set(report["not_installed"])
    assert [(case["title"].split(",")[0], case["shape"]) for case in report["cases"]] == [
        ("loss + gradient", [8, 785]),
        ("loss + gradient", [16, 15]),
        ("loss + gradient", [1024, 2]),
        ("loss + gradient", [1, 2]),
        ("softmax", [8, 785]),
        ("softmax", [1, 2]),
        ("loss + gradient", [1, 2**18]),
    ]
    assert [len(case["goals"]) for case in report["cases"]] == [2, 1, 1, 1, 1, 2, 1]
    for case in report["cases"]:
        ours, *peers = case["variants"]
        assert ours["name"] == "softgrad"
        assert ours["error_ulp"] <= 2
        for variant in case["variants"]:
            assert 0 < variant["min_s"] <= variant["median_s"] <= variant["max_s"]
            assert variant["refused"] is None
        for peer in peers:
            assert peer["ratio"] == pytest.approx(peer["median_s"] / ours["median_s"])
        timed = {peer["name"] for peer in peers}
        for goal in case["goals"]:
            assert (goal["reached"] is None) == (goal["peer"] not in timed)


def test_curvature_suite_reports_cases_and_ratios_as_json():
    result = run("--suite", "curvature", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [case["title"].split(",")[0] for case in report["cases"]] == [
        *(3 * ["Hessian · v"]), "Jacobian · v", "eigenvalues", "eigenvectors",
    ]  # fmt: skip
    for case in report["cases"]:
        assert all(variant["refused"] is None and variant["median_s"] > 0 for variant in case["variants"])
    assert all(case["variants"][0]["error_ulp"] <= 4 for case in report["cases"][:4])
    assert "NumPy" in {variant["name"] for variant in report["cases"][4]["variants"]}


@pytest.mark.parametrize(
    "function, first", [("cross_entropy_hvp", "Hessian · v, 8 × 785"), ("softmax_jacobian", "Jacobian · v")]
)
def test_wrong_curvature_is_refused(monkeypatch, no_peers, function, first):
    right = getattr(sg, function)
    monkeypatch.setattr(sg, function, lambda *a, **options: right(a[0] * np.float32(1.0001), *a[1:], **options))
    result = run("--suite", "curvature", "--json")
    assert result.exit_code == 1
    assert f"{first}" in result.stderr
    assert "ULP off" in result.stderr


def test_table_shows_every_case_and_goal(no_peers):
    result = run()
    assert result.exit_code == 0, result.output
    for expected in ("loss + gradient, 8 × 785, out=", "softmax, 1 × 2", "numpy.copyto", "≤ 1.6×", "× its time"):
        assert expected in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    copy = next(line for line in result.stdout.splitlines() if "numpy.copyto" in line)
    assert copy.rstrip().endswith(("reached", "missed"))


def test_range_is_in_one_unit():
    assert _bench_figures.span(4.7e-4, 0.032) == "0.47 … 32 ms"


@pytest.mark.parametrize("load", [0.0, 1e3])
def test_busy_machine_is_said(monkeypatch, no_peers, load):
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    assert ("machine was busy" in run().stdout) == (load > 0)


@pytest.mark.parametrize("name", PEERS)
def test_missing_peer_is_named_and_left_out(monkeypatch, name):
    monkeypatch.setitem(sys.modules, PEERS[name], None)
    report = json.loads(run("--json").stdout)
    assert name in report["not_installed"]
    assert name not in report["versions"]
    assert name not in {variant["name"] for case in report["cases"] for variant in case["variants"]}
    header = next(line for line in run().stdout.splitlines() if line.startswith("not installed: "))
    assert name in header


def test_wrong_result_of_softgrad_is_refused(monkeypatch, no_peers):
    right = sg.softmax
    monkeypatch.setattr(sg, "softmax", lambda *args, **options: right(*args, **options) * np.float32(1 + 1e-6))
    result = run("--json")
    assert result.exit_code == 1
    assert "softmax, 8 × 785, out=: softgrad is not timed" in result.stderr
    case = next(case for case in json.loads(result.stdout)["cases"] if case["title"] == "softmax, 8 × 785, out=")
    ours, copy = case["variants"]
    assert "ULP from the exact result, allowed 2" in ours["refused"]
    assert ours["median_s"] is None
    assert copy["median_s"] > 0
    assert copy["ratio"] is None
    assert [goal["reached"] for goal in case["goals"]] == [None]
    assert "refused" in run().stdout


@pytest.mark.parametrize("wrong", [np.nan, 1e-3])
def test_wrong_result_of_a_peer_is_refused(monkeypatch, wrong):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "jax", None)
    right = special.softmax
    monkeypatch.setattr(special, "softmax", lambda *args, **options: right(*args, **options) + np.float32(wrong))
    result = run("--json")
    assert result.exit_code == 1
    ours, scipy = json.loads(result.stdout)["cases"][5]["variants"]
    assert scipy["refused"]
    assert scipy["median_s"] is None
    assert ours["refused"] is None
    assert ours["median_s"] > 0


def test_nan_in_softgrads_result_is_refused(monkeypatch, no_peers):
    monkeypatch.setattr(sg, "softmax", lambda logits, **_: np.full_like(logits, np.nan))
    result = run("--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["cases"][4]["variants"][0]["refused"]


def test_ratios_are_medians_over_rounds_and_goals_follow_from_them(monkeypatch):
    times = {"softgrad": [1.0, 2.0, 1.0], "a": [10.0, 40.0, 30.0], "b": [2.0, 3.0, 1.0]}
    monkeypatch.setattr(_bench_timing, "interleaved", lambda *_: times)
    variants = [_bench_timing.Variant(name, "", lambda: None, lambda: _bench_timing.Verdict(0.5)) for name in times]
    goals = [_bench_timing.Goal("a", 20, "≥ 20×"), _bench_timing.Goal("b", 2, "≥ 2×")]
    record = _bench_timing.Case("work", "float32", (1, 1), variants, goals).measure(3, lambda _: None)
    assert [variant["ratio"] for variant in record["variants"]] == [None, 20, 1.5]
    assert [goal["reached"] for goal in record["goals"]] == [True, False]


def test_variants_take_turns_and_each_round_starts_with_another(monkeypatch):
    order = []
    monkeypatch.setattr(_bench_timing, "_batch_size", lambda call: 1)
    calls = {name: functools.partial(order.append, name) for name in "abc"}
    seconds = _bench_timing.interleaved(calls, 3, lambda _: order.append("|"))
    assert "".join(order) == "|aabbcc|bbccaa|ccaabb"  # one call to wake the workers, one that is timed
    assert [len(times) for times in seconds.values()] == [3, 3, 3]


def test_accuracy_suite_reports_the_largest_errors(no_peers):
    report = json.loads(run("--suite", "accuracy", "--json").stdout)
    assert len(report["cases"]) == 7 * len(_bench_accuracy.dtypes())
    for case in report["cases"]:
        assert list(case["largest_error_ulp"]) == ["softmax", "log_softmax", "loss", "gradient"]
        for errors in case["largest_error_ulp"].values():
            assert 0 <= errors["softgrad"] <= case["allowed_ulp"]
    text = run("--suite", "accuracy").stdout
    assert "confidently right" in text
    assert "log_softmax" in text


def test_accuracy_suite_says_when_float64_cannot_be_judged(monkeypatch, no_peers):
    judged = np.dtype(np.float64) in _bench_accuracy.dtypes()
    assert ("float64 is left out" in run("--suite", "accuracy").stdout) == (not judged)
    monkeypatch.setattr(_bench_accuracy, "dtypes", lambda: [np.dtype(np.float32)])
    assert "float64 is left out" in run("--suite", "accuracy").stdout


def test_accuracy_suite_fails_when_softgrad_breaks_its_bound(monkeypatch, no_peers):
    monkeypatch.setattr(sg, "log_softmax", lambda logits: np.log(sg.softmax(logits)))
    with np.errstate(divide="ignore"):
        result = run("--suite", "accuracy", "--json")
    assert result.exit_code == 1
    assert "confidently right, float32: log_softmax of softgrad is" in result.stderr
    assert json.loads(result.stdout)["suite"] == "accuracy"


@pytest.mark.parametrize(
    "peer", ["SciPy", *(pytest.param(peer, marks=pytest.mark.needs(PEERS[peer])) for peer in ("torch", "JAX"))]
)
def test_accuracy_suite_measures_the_peers(peer):
    report = json.loads(run("--suite", "accuracy", "--json").stdout)
    for case in report["cases"]:
        for function, errors in case["largest_error_ulp"].items():
            # Far more would mean that the peer is given other work, float64 cut to float32 for one.
            if case["title"] in ("normal, scale 1", "normal, offset 1e4"):
                assert errors[peer] < 1e4, (case["title"], case["dtype"], function)


def _mpf(x):
    """A long double, which mpmath does not take, without loss."""
    mantissa, exponent = np.frexp(x)
    high = float(mantissa)
    return mpmath.ldexp(mpmath.mpf(high) + mpmath.mpf(float(mantissa - high)), int(exponent))


def _far_below_a_small_maximum(rng, shape, dtype):
    """Differences that long double cannot hold: a reference that rounds them is 0.1 ULP off."""
    logits = rng.uniform(np.log(np.finfo(dtype).tiny), np.log(np.finfo(dtype).tiny) * 0.9, shape)
    logits[:, 0] = 1e-3 * rng.standard_normal(shape[0])
    return logits.astype(dtype), np.ones(shape[0], np.intp)


FAMILIES = _bench_accuracy._FAMILIES | {"far below a small maximum": _far_below_a_small_maximum}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", _bench_accuracy.dtypes(), ids=str)
def test_reference_is_exact(family, dtype):
    logits, target = FAMILIES[family](np.random.default_rng(1), (3, 10), dtype)
    exact = _bench_accuracy._exact(logits, target)
    with mpmath.workdps(700):  # 1 + e^-745 takes 324 digits
        for i, (row, y) in enumerate(zip(logits.tolist(), target.tolist(), strict=True)):
            exps = [mpmath.exp(mpmath.mpf(z)) for z in row]
            lse = mpmath.log(mpmath.fsum(exps))
            probs = [mpmath.exp(mpmath.mpf(z) - lse) for z in row]
            expected = {
                "softmax": probs,
                "log_softmax": [z - lse for z in row],
                "loss": [lse - row[y]],
                "gradient": [p - (j == y) for j, p in enumerate(probs)],
            }
            for function, values in expected.items():
                for got, value in zip(np.atleast_1d(exact[function][i]), values, strict=True):
                    ulp = float(np.spacing(abs(dtype.type(float(value)))))
                    assert abs(_mpf(got) - value) / ulp <= 0.005, function


def test_ulp_error_counts_spacings_of_the_exact_result():
    exact = np.array([1.0, 0.75, 1e-45])
    result = np.array([1.0, 0.75, 0.0], np.float32)
    tiny = float(np.finfo(np.float32).smallest_subnormal)
    assert _bench_reference.ulp_error(result, exact, np.float32) == pytest.approx(1e-45 / tiny)
    result[0] += 3 * np.spacing(np.float32(1))
    assert _bench_reference.ulp_error(result, exact, np.float32) == 3
    assert _bench_reference.ulp_error(result[:2], exact[:2], np.float64) == 3 * 2.0**29
    result[1] = np.nan
    assert _bench_reference.ulp_error(result, exact, np.float32) == np.inf


def test_python_m_benchmarks_is_the_same_command():
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "--suite" in result.stdout
