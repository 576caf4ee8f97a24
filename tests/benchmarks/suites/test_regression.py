"""`python -m benchmarks --suite regression`: what is fitted, judged and printed."""

import functools
import io
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
import typer
from scipy.ndimage import map_coordinates
from scipy.special import log_softmax
from sklearn import linear_model
from typer.testing import CliRunner

from benchmarks import __main__ as _bench
from benchmarks import memory as _memory
from benchmarks import timing as _bench_timing
from benchmarks.suites import regression as _bench_regression
from benchmarks.suites.regression import csv_folder as _data_sets
from benchmarks.suites.regression import data_sets as _images
from benchmarks.suites.regression import fit_costs as _one_pass
from benchmarks.suites.regression import fits as _fits
from benchmarks.suites.regression import problem as _problem
from benchmarks.suites.regression import table as _table
from softgrad.cli import CommandError
from softgrad.linear_model import SoftmaxRegression

app = typer.Typer()
app.command()(_bench.bench)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few rows, short batches, no pauses."""
    monkeypatch.setattr(_bench_regression, "cases", functools.partial(_bench_regression.cases, shrink=300))
    monkeypatch.setattr(_bench_regression, "IMAGES", 18000)
    monkeypatch.setattr(_bench_timing, "PAUSE", 0)
    monkeypatch.setattr(_bench_timing, "BATCH", 1e-6)


def run(*arguments):
    return CliRunner().invoke(app, ["--suite", "regression", "--rounds", "1", *arguments])


def problem(x, y):
    return _problem.Problem(_data_sets.DataSet("rows", x, np.asarray(y)))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((120, 5))
    return x, (x @ rng.standard_normal((5, 3)) + rng.gumbel(size=(120, 3))).argmax(axis=1)


@pytest.fixture
def folder(tmp_path):
    """Tables of every kind that the suite tells apart."""
    rng = np.random.default_rng(0)
    measured = rng.standard_normal((60, 3)) * [1, 1, 1000]
    lines = [f"{a:.4f},{i % 3},{b:.4f},{c:.4f}" for i, (a, b, c) in enumerate(measured)]
    (tmp_path / "measured.csv").write_text("\n".join(["a,Class,b,c", *lines]))
    words = ["ball goal team", "share market price", "goal price team"]
    lines = [f'"{i % 2}","{words[i % 2]} {i}","{words[2]} x{i}"' for i in range(40)]
    (tmp_path / "texts.csv").write_text("\n".join(lines))
    lines = [f"{'red' if i % 3 else 'blue'},{i},{'yes' if i % 2 else 'no'}" for i in range(30)]
    (tmp_path / "mixed.csv").write_text("\n".join(["colour,size,bought", *lines]))
    return tmp_path


@pytest.mark.slow
def test_report_holds_every_fit_and_the_goals():
    result = run("--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    *fits, one_pass, memory = report["cases"]
    assert [(fit["title"], fit["shape"], fit["dtype"], fit["sparse"]) for fit in fits] == [
        ("digits", [5, 64, 5], "float64", False),
        ("clusters", [66, 16, 24], "float64", False),
        ("unequal scales", [20, 50, 7], "float64", False),
        ("sparse", [26, 20000, 4], "float64", True),
        ("images", [60, 784, 10], "float32", False),
    ]
    for fit in fits:
        (peer,) = (peer for peer in fit["peers"] if peer["name"] == "scikit-learn")
        assert peer["gap"] >= 0
        assert fit["whole_fit"]["gap"] >= 0
        assert peer["ratio"] == pytest.approx(peer["median_s"] / peer["softgrad"]["median_s"])
        assert peer["softgrad"]["iterations"] <= fit["to_gap"]["iterations"]
        assert peer["threads"] == int(min(peer["trial_s"], key=peer["trial_s"].get))
    assert one_pass["reads"] > 0
    assert memory["x_bytes"] == 60 * 784 * 4
    assert {"scikit-learn"} <= set(report["versions"])
    assert not {"torch", "JAX", "SciPy"} & {*report["versions"], *report["not_installed"]}
    expected = ["geometric mean", "slowest", "images", "pass"] + ["memory"] * (memory["peak_in_x"] is not None)
    assert [goal["name"] for goal in report["summary"]["goals"]] == expected


@pytest.mark.slow
def test_table_fits_80_columns(monkeypatch, folder):
    monkeypatch.setattr(_bench, "WIDTH", 80)
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    result = run("--data", str(folder))
    assert result.exit_code == 0, result.output
    for expected in ("digits", "measured, scaled", "texts", "mixed", "images", "geometric mean", "one pass over"):
        assert expected in result.stdout
    assert "…" not in result.stdout
    assert result.stdout.count("reached") + result.stdout.count("missed") >= 4


@pytest.mark.parametrize("suite", ["core", "curvature", "accuracy"])
def test_data_is_for_this_suite_only(tmp_path, suite):
    result = CliRunner().invoke(app, ["--suite", suite, "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert f"not {suite}" in result.stderr


def test_missing_folder_is_refused(tmp_path):
    assert run("--data", str(tmp_path / "nowhere")).exit_code == 2


@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, scipy.sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_objective_is_the_penalised_mean(monkeypatch, rows, form, dtype):
    monkeypatch.setattr(_problem, "_BLOCK_ENTRIES", 100)  # several blocks
    x, y = rows
    x = x.astype(dtype)
    W, b = np.random.default_rng(1).standard_normal((3, 5)), np.array([0.5, -1.0, 2.0])
    logs = log_softmax(x.astype(np.longdouble) @ W.T + b, axis=1)
    exact = -logs[np.arange(120), y].mean() + (W.astype(np.longdouble) ** 2).sum() / 2 / 120
    value = problem(form(x), y).objective(SimpleNamespace(coef_=W, intercept_=b))
    assert value == pytest.approx(float(exact), rel=1e-14)


def test_labels_may_be_text(rows):
    x, y = rows
    by_name = problem(x, np.array(["c", "a", "b"])[y])
    model = by_name.softgrad().model
    assert model.classes_.tolist() == by_name.classes.tolist()
    assert by_name.objective(model) == pytest.approx(model.objective_, rel=1e-12)


def test_two_classes_have_the_same_objective_in_both_libraries(rows):
    x, y = rows
    two = problem(x, y == 0)
    ours = two.objective(two.softgrad(tol=1e-10).model)
    model = linear_model.LogisticRegression
    tight = SimpleNamespace(LogisticRegression=lambda **options: model(tol=1e-12, **options))
    theirs = two.peer(tight).model
    assert theirs.coef_.shape == (1, 5)
    assert two.objective(theirs) == pytest.approx(ours, rel=1e-10)
    assert two.objective(two.peer(linear_model).model) >= ours * (1 - 1e-13)


@pytest.mark.parametrize("excess", [0.5, 1e-2, 1e-4, 1e-9, 1e-11])
def test_fewest_iterations_that_reach_an_objective(rows, excess):
    given = problem(*rows)
    goal = given.objective(given.softgrad(tol=1e-10).model) * (1 + excess)
    stop = _fits._first_within(given, goal)
    assert given.objective(_fits._run(given, stop).model) <= goal
    if stop.max_iter > 1:
        before = stop._replace(max_iter=stop.max_iter - 1)
        assert given.objective(_fits._run(given, before).model) > goal


def test_objective_that_is_not_reached_is_a_failure(monkeypatch, rows):
    monkeypatch.setattr(
        _bench_regression, "cases", lambda peers: [_fits.FitCase(_data_sets.DataSet("rows", *rows), peers)]
    )
    right = _problem.Problem.objective

    def worse_for_ours(self, model):
        return right(self, model) * (1.5 if isinstance(model, SoftmaxRegression) else 1)

    monkeypatch.setattr(_problem.Problem, "objective", worse_for_ours)
    result = run("--json")
    assert result.exit_code == 1
    assert "rows: softgrad does not reach the objective of scikit-learn" in result.stderr
    report = json.loads(result.stdout)
    assert report["cases"][0]["peers"][0]["softgrad"] is None
    assert report["summary"] == {"geometric_mean": None, "goals": []}
    assert "not reached" in _table._run(report["cases"][0]["peers"][0]["softgrad"])


@pytest.mark.parametrize("wrong", [np.nan, 1.001])
def test_wrong_pass_is_a_failure(monkeypatch, rows, wrong):
    right = _one_pass._passes.gradient

    def off(*arguments):
        loss, gradient, of_b = right(*arguments)
        return loss, gradient * wrong, of_b

    case = _one_pass.PassCase(_data_sets.DataSet("rows", *rows))
    assert case.measure(1, lambda _: None)["problems"] == []
    monkeypatch.setattr(_one_pass._passes, "gradient", off)
    assert "off" in case.measure(1, lambda _: None)["problems"][0]


def test_faster_number_of_threads_is_taken_and_long_fits_run_once(monkeypatch, rows):
    monkeypatch.setattr(_fits.sg, "get_num_threads", lambda: 4)
    given = problem(*rows)
    model = linear_model.LogisticRegression().fit(*rows)
    fits = []

    def slow(_problem, _library, threads, max_iter=10000):
        fits.append((threads, max_iter))
        return _problem_timed(model, 1.0 if threads == 4 else 9.0 / threads if max_iter == 20 else 6.0)

    monkeypatch.setattr(_fits, "_peer", slow)
    monkeypatch.setattr(_fits, "_LONG", 0.5)
    record = _fits._against(given, "scikit-learn", None, 3, lambda _: None)
    assert fits == [(1, 20), (4, 20), (4, 10000)]
    assert (record["threads"], record["median_s"]) == (4, 1.0)
    assert record["ratio"] == pytest.approx(1.0 / record["softgrad"]["median_s"])
    fits.clear()
    monkeypatch.setattr(_fits, "_LONG", 5.0)
    _fits._against(given, "scikit-learn", None, 3, lambda _: None)
    assert fits[2:] == 3 * [(4, 10000)]


def _problem_timed(model, seconds):
    return _problem.Timed(model, seconds)


def test_every_peer_is_measured_and_shown(rows):
    peers = {"scikit-learn": linear_model, "scikit-learn-intelex": linear_model}
    record = _fits.FitCase(_data_sets.DataSet("rows", *rows), peers).measure(1, lambda _: None)
    assert [peer["name"] for peer in record["peers"]] == list(peers)
    console = _bench.Console(width=80, record=True, file=io.StringIO())
    console.print(_table._fits([record]))
    assert "scikit-learn-intelex" in console.export_text()


def test_summary_takes_the_geometric_mean_and_judges():
    def fit(title, ratio):
        peers = [{"name": "scikit-learn", "ratio": ratio}, {"name": "scikit-learn-intelex", "ratio": 0.1}]
        return {"title": title, "peers": peers}

    records = [fit("digits", 0.5), fit("letter", 8.0), fit("images", 16.0), {"reads": 2.5}, {"peak_in_x": 0.5}]
    summary = _bench_regression.summary(records)
    assert summary["geometric_mean"] == pytest.approx(4.0)
    assert [(goal["name"], goal["value"], goal["reached"]) for goal in summary["goals"]] == [
        ("geometric mean", pytest.approx(4.0), False),
        ("slowest", 0.5, False),
        ("images", 16.0, False),
        ("pass", 2.5, True),
        ("memory", 0.5, False),
    ]


def test_images_are_the_same_in_every_call_and_strongly_correlated():
    x, y = _images.warped_digits(2500)  # more than a block
    again, labels = _images.warped_digits(2500)
    assert (x.shape, x.dtype, y.shape) == ((2500, 784), np.float32, (2500,))
    np.testing.assert_array_equal(x, again)
    np.testing.assert_array_equal(y, labels)
    assert x.min() == 0
    assert 0.9 < x.max() <= 1
    assert set(y.tolist()) == set(range(10))
    assert 0.5 < (x == 0).mean() < 0.9
    centre = x[:, 14 * 28 + 14]
    assert np.corrcoef(centre, x[:, 14 * 28 + 15])[0, 1] > 0.7
    # One drawing says what it shows: a model of half of them knows the other half.
    assert SoftmaxRegression(0.01, tol=1e-3).fit(x[:2000], y[:2000]).score(x[2000:], y[2000:]) > 0.7


def test_glyphs_are_sampled_bilinearly():
    rng = np.random.default_rng(0)
    glyphs = np.pad(rng.random((2, 8, 8)), ((0, 0), (1, 1), (1, 1)))
    rows, columns = rng.uniform(-1.2, 1.2, (2, 2, 28, 28))
    found = _images._sampled(glyphs, rows, columns)
    for k in range(2):
        places = np.clip((1.15 * np.stack([rows[k], columns[k]]) + 1) * 4.5, 0, 9)
        np.testing.assert_allclose(found[k], map_coordinates(glyphs[k], places, order=1), atol=1e-14)


def test_folder_gives_numbers_texts_and_categories(folder):
    found = {data.name: data for data in _data_sets.tables(folder)}
    assert list(found) == ["measured", "measured, scaled", "mixed", "texts"]
    assert found["measured"].x.shape == (60, 3)
    assert found["measured"].y.tolist() == [i % 3 for i in range(60)]
    np.testing.assert_allclose(found["measured, scaled"].x.std(axis=0), 1)
    np.testing.assert_allclose(found["measured, scaled"].x.mean(axis=0), 0, atol=1e-14)
    mixed = found["mixed"]
    assert sorted(map(tuple, mixed.x[:2].tolist())) == [(0.0, 1.0, 0.0), (1.0, 0.0, 1.0)]
    assert set(mixed.y) == {"yes", "no"}
    texts = found["texts"]
    assert scipy.sparse.issparse(texts.x)
    assert len(texts.y) == 40  # the first line holds a number, and is no header
    assert texts.y.tolist() == [i % 2 for i in range(40)]


def test_constant_columns_stay_finite_when_scaled(tmp_path):
    lines = [f"{i},{i * 1000},5,{i % 2}" for i in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(["a,b,c,target", *lines]))
    scaled = list(_data_sets.tables(tmp_path))[1]
    assert np.isfinite(scaled.x).all()
    assert not scaled.x[:, 2].any()


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "no file there ends in .csv"),
        ("a,class\n1,0\n2,0\n", "labels are all the same"),
        ("a,class\n1,0\n,1\n", "column 'a' misses values"),
        ("class\n0\n1\n", "one column"),
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a,class\n1,0.5\n2,1.5\n", "is a measurement"),
    ],
)
def test_table_that_cannot_be_fitted_is_refused_before_anything_is_timed(monkeypatch, tmp_path, content, message):
    if content is not None:
        (tmp_path / "table.csv").write_text(content)
    monkeypatch.setattr(_fits.FitCase, "measure", lambda *_: pytest.fail("measured"))
    result = run("--data", str(tmp_path))
    assert isinstance(result.exception, CommandError)
    assert message in str(result.exception)


def test_shares_of_memory_are_left_out_where_the_system_does_not_tell(monkeypatch, rows, tmp_path):
    monkeypatch.setattr(_memory, "_STATUS", tmp_path / "none")
    record = _memory.MemoryCase(_data_sets.DataSet("rows", *rows)).measure(1, lambda _: None)
    assert record["peak_bytes"] is record["peak_in_x"] is None
    fit = {"title": "images", "peers": [{"name": "scikit-learn", "ratio": 2.0}]}
    assert "memory" not in {goal["name"] for goal in _bench_regression.summary([fit, record])["goals"]}


@pytest.mark.skipif(not _memory._STATUS.exists(), reason="/proc is Linux's")
def test_peak_is_what_the_fit_allocates(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1000, 1000)))
    np.save(tmp_path / "y.npy", np.zeros(1000))
    code = """if True:
        import sys, numpy
        from benchmarks import memory as _memory
        class Greedy:
            def fit(self, x, y):
                numpy.ones(100 * 2**20, numpy.uint8) if len(x) > 3 else None
        _memory.SoftmaxRegression = Greedy
        _memory.main(sys.argv[1], "1")
    """
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert 98 <= int(result.stdout) / 2**20 <= 110
