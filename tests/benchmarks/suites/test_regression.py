"""Fits beside scikit-learn: the data, the figures, the verdicts and the table."""

import dataclasses
import functools
import io
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
from rich.console import Console
from scipy.ndimage import map_coordinates
from scipy.special import log_softmax
from sklearn import linear_model

from benchmarks import memory, reference
from benchmarks.__main__ import header, run, wrong_results
from benchmarks.suites import InputError, regression
from benchmarks.suites.regression import csv_folder, data_sets, fit_costs, fits, serial_share
from benchmarks.suites.regression.data_sets import DataSet
from benchmarks.suites.regression.table import piece_table
from softgrad.linear_model import SoftmaxRegression


def printed(report):
    console = Console(width=80, file=io.StringIO(), highlight=False)
    console.print("\n".join(header(report, regression.SUITE)))
    console.print(regression.table(report))
    return console.file.getvalue()


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((120, 5))
    return DataSet("rows", x, (x @ rng.standard_normal((5, 3)) + rng.gumbel(size=(120, 3))).argmax(axis=1))


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
    lines = [f"{'red' if i % 3 else 'NA'},{i},{'yes' if i % 2 else 'no'}" for i in range(30)]
    (tmp_path / "mixed.csv").write_text("\n".join(["colour,size,bought", *lines]))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("with_tables", [False, True])
def test_report_holds_every_fit_and_the_goals(monkeypatch, folder, with_tables):
    monkeypatch.setattr(regression, "IMAGES", 18000)
    cases = functools.partial(regression.cases, shrink=300)
    suite = dataclasses.replace(regression.SUITE, cases=cases)
    report = run("regression", suite, rounds=1, threads=1, data=folder if with_tables else None)
    shares = [record for record in report["cases"] if "serial_share" in record]
    *fitted, one_pass, peak = (record for record in report["cases"] if record not in shares)
    synthetic = [
        ("clusters", [66, 16, 24], "float64", False),
        ("unequal scales", [20, 50, 7], "float64", False),
        ("sparse", [26, 20000, 4], "float64", True),
    ]
    tables = [
        ("measured", [60, 3, 3], "float64", False),
        ("measured, scaled", [60, 3, 3], "float64", False),
        ("mixed", [30, 3, 2], "float64", False),
        ("texts", [40, 76, 2], "float64", True),
    ]
    assert [(fit["title"], fit["shape"], fit["dtype"], fit["sparse"]) for fit in fitted] == [
        ("digits", [5, 64, 5], "float64", False),
        *(tables if with_tables else synthetic),
        ("images", [60, 784, 10], "float32", False),
    ]
    for fit in fitted:
        (peer,) = (peer for peer in fit["peers"] if peer["name"] == "scikit-learn")
        assert peer["gap"] >= 0
        assert fit["whole_fit"]["gap"] >= 0
        assert peer["ratio"] == pytest.approx(peer["median_s"] / peer["softgrad"]["median_s"])
        if peer["gap"] > fit["to_gap"]["gap"]:
            assert peer["softgrad"]["iterations"] <= fit["to_gap"]["iterations"]
        assert peer["threads"] == min(peer["trial_s"], key=peer["trial_s"].get)
    assert one_pass["reads"] > 0
    assert peak["x_bytes"] == 60 * 784 * 4
    assert {"scikit-learn"} <= set(report["versions"])
    expected = ["geometric mean", "slowest", "images", "pass"] + ["memory"] * (peak["peak_in_x"] is not None)
    assert [goal["name"] for goal in report["summary"]["goals"]] == [*expected, "serial"]
    assert [share["data"] for share in shares] == ["images", "images, float64", *(fit["title"] for fit in fitted[1:-1])]
    text = printed(report)
    for title in (*(fit["title"] for fit in fitted), "geometric mean", "one pass over"):
        assert title in text
    assert "…" not in text
    assert text.count("reached") + text.count("missed") >= 4


@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, scipy.sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_objective_is_the_penalised_mean(monkeypatch, rows, form, dtype):
    monkeypatch.setattr(reference, "BLOCK_ENTRIES", 100)  # several blocks
    x = rows.x.astype(dtype)
    W, b = np.random.default_rng(1).standard_normal((3, 5)), np.array([0.5, -1.0, 2.0])
    logs = log_softmax(x.astype(np.longdouble) @ W.T + b, axis=1)
    exact = -logs[np.arange(120), rows.y].mean() + (W.astype(np.longdouble) ** 2).sum() / 2 / 120
    value = fits.objective(dataclasses.replace(rows, x=form(x)), SimpleNamespace(coef_=W, intercept_=b))
    assert value == pytest.approx(float(exact), rel=1e-14)


def test_labels_may_be_text(rows):
    by_name = DataSet("rows", rows.x, np.array(["c", "a", "b"])[rows.y])
    model = fits.fit_softgrad(by_name).model
    assert model.classes_.tolist() == by_name.classes.tolist()
    assert fits.objective(by_name, model) == pytest.approx(model.objective_, rel=1e-12)


def test_two_classes_have_the_same_objective_in_both_libraries(rows):
    two = DataSet("rows", rows.x, rows.y == 0)
    ours = fits.objective(two, fits.fit_softgrad(two, tol=1e-10).model)
    model = linear_model.LogisticRegression
    tight = SimpleNamespace(LogisticRegression=lambda **options: model(tol=1e-12, **options))
    theirs = fits.fit_peer(two, tight, 1).model
    assert theirs.coef_.shape == (1, 5)
    assert fits.objective(two, theirs) == pytest.approx(ours, rel=1e-10)
    assert fits.objective(two, fits.fit_peer(two, linear_model, 1).model) >= ours * (1 - 1e-13)


@pytest.mark.parametrize("excess", [0.5, 1e-2, 1e-4, 1e-9, 1e-11])
def test_fewest_iterations_that_reach_an_objective(rows, excess):
    bound = fits.objective(rows, fits.fit_softgrad(rows, tol=1e-10).model) * (1 + excess)
    stop = fits.first_within(rows, bound)
    assert fits.objective(rows, fits.fit_until(rows, stop).model) <= bound
    if stop.max_iter > 1:
        before = stop._replace(max_iter=stop.max_iter - 1)
        assert fits.objective(rows, fits.fit_until(rows, before).model) > bound


def test_objective_that_is_not_reached_is_a_failure(monkeypatch, rows):
    right = fits.objective

    def worse_for_ours(data, model):
        return right(data, model) * (1.5 if isinstance(model, SoftmaxRegression) else 1)

    monkeypatch.setattr(fits, "objective", worse_for_ours)
    suite = dataclasses.replace(regression.SUITE, cases=lambda peers: [fits.FitCase(rows, peers)])
    report = run("regression", suite, rounds=1, threads=1)
    assert "rows: softgrad does not reach the objective of scikit-learn" in wrong_results(report["cases"])
    assert report["cases"][0]["peers"][0]["softgrad"] is None
    assert report["summary"] == {"geometric_mean": None, "goals": []}
    assert "not reached" in printed(report)


@pytest.mark.parametrize("wrong", [np.nan, 1.001])
def test_wrong_pass_is_a_failure(monkeypatch, measured, rows, wrong):
    right = fit_costs._kernels.gradient

    def off(*arguments):
        sums = right(*arguments)
        sums[:-1] *= wrong  # all but the loss
        return sums

    case = fit_costs.PassCase(rows)
    assert measured(case)["problems"] == []
    monkeypatch.setattr(fit_costs._kernels, "gradient", off)
    assert "off" in measured(case)["problems"][0]


def test_faster_number_of_threads_is_taken_and_long_fits_run_once(monkeypatch, rows):
    monkeypatch.setattr(fits.sg, "get_num_threads", lambda: 4)
    model = linear_model.LogisticRegression().fit(rows.x, rows.y)
    calls = []

    def slow(_data, _library, threads, max_iter=10000):
        calls.append((threads, max_iter))
        return fits.TimedFit(model, 1.0 if threads == 4 else 9.0 / threads if max_iter == 20 else 6.0)

    monkeypatch.setattr(fits, "fit_peer", slow)
    monkeypatch.setattr(fits, "_LONG", 0.5)
    record = fits.against(rows, "scikit-learn", None, 3, lambda _: None)
    assert calls == [(1, 20), (4, 20), (4, 10000)]
    assert (record["threads"], record["median_s"]) == (4, 1.0)
    assert record["ratio"] == pytest.approx(1.0 / record["softgrad"]["median_s"])
    calls.clear()
    monkeypatch.setattr(fits, "_LONG", 5.0)
    fits.against(rows, "scikit-learn", None, 3, lambda _: None)
    assert calls[2:] == 3 * [(4, 10000)]


def test_every_peer_is_measured_and_shown(measured, rows):
    peers = {"scikit-learn": linear_model, "scikit-learn-intelex": linear_model}
    record = measured(fits.FitCase(rows, peers))
    assert [peer["name"] for peer in record["peers"]] == list(peers)
    environment = {"cpu": "", "cpus": 2, "instruction_set": "", "versions": {}, "load": 0.0, "threads": 1}
    report = environment | {"not_installed": ["torch"], "cases": [record], "summary": regression.summary([record])}
    text = printed(report)
    for expected in ("rows", "120 × 5 × 3", "  scikit-learn-intelex", "geometric mean", "not installed: torch"):
        assert expected in text
    assert max(map(len, text.splitlines())) <= 80


def test_pieces_of_a_fit_add_up_and_are_shown(monkeypatch, measured, rows):
    monkeypatch.setattr(serial_share, "_SHORTEST", 0.0)
    monkeypatch.setattr(serial_share._preconditioner, "SERIAL_BELOW", 0)
    before = serial_share._kernels.gradient
    wide = DataSet("wide", np.tile(rows.x, (40, 6)), np.tile(rows.y, 40))  # L-BFGS
    record = measured(serial_share.SerialShareCase(wide))
    assert serial_share._kernels.gradient is before
    pieces = {piece["name"]: piece for piece in record["pieces"]}
    assert {*serial_share._SERIAL, *serial_share._SHARED, "LAPACK", "line search and the rest"} == set(pieces)
    for name, piece in pieces.items():
        assert piece["serial_s"] >= 0
        assert (piece["shared_s"] > 0) == (name in serial_share._SHARED or name == "LAPACK")
    total = sum(piece["serial_s"] + piece["shared_s"] for piece in pieces.values())
    serial = sum(piece["serial_s"] for piece in pieces.values()) / total
    assert record["fit_s"] == pytest.approx(total)
    assert record["serial_share"] == pytest.approx(serial)
    assert record["speed_up"]["64"] == pytest.approx(1 / (serial + (1 - serial) / 64))
    summary = regression.summary([{"title": "a", "peers": [{"name": "scikit-learn", "ratio": 2.0}]}, record])
    goal = summary["goals"][-1]
    assert goal == {"name": "serial", "value": record["serial_share"], "text": "≤ 5 %", "reached": serial <= 0.05}
    console = Console(width=80, file=io.StringIO())
    console.print(piece_table([record]))
    for text in (*pieces, "allows with 64 threads", f"{100 * serial:.{1 if serial < 0.1 else 0}f} %"):
        assert text in console.file.getvalue()


def test_clock_counts_nested_and_short_pieces_once(monkeypatch):
    now = iter([0.0, 1.0, 3.0, 4.0, 6.0, 6.00001, 6.00002, 10.0])
    monkeypatch.setattr(serial_share.time, "perf_counter", lambda: next(now))
    clock = serial_share.Clock()
    with clock.piece("outer"):
        with clock.piece("inner", serial=0.5):
            pass
        with clock.excluded():
            pass
        with clock.piece("short", serial=0.0):
            pass
    assert clock.serial == pytest.approx({"inner": 0.5, "short": 1e-5, "outer": 6 - 1e-5})
    assert clock.shared == pytest.approx({"inner": 1.5, "short": 0.0, "outer": 0.0})


def test_summary_takes_the_geometric_mean_and_judges():
    def fit(title, ratio):
        peers = [{"name": "scikit-learn", "ratio": ratio}, {"name": "scikit-learn-intelex", "ratio": 0.1}]
        return {"title": title, "peers": peers}

    records = [fit("digits", 0.5), fit("letter", 8.0), fit("images", 16.0), {"reads": 2.5}, {"peak_in_x": 0.5}]
    summary = regression.summary(records)
    assert summary["geometric_mean"] == pytest.approx(4.0)
    assert [(goal["name"], goal["value"], goal["reached"]) for goal in summary["goals"]] == [
        ("geometric mean", pytest.approx(4.0), False),
        ("slowest", 0.5, False),
        ("images", 16.0, False),
        ("pass", 2.5, True),
        ("memory", 0.5, False),
    ]


def test_images_are_the_same_in_every_call_and_strongly_correlated(monkeypatch):
    monkeypatch.setattr(data_sets, "_BLOCK", 500)
    x, y = data_sets.warped_digits(600)  # more than a block
    again, labels = data_sets.warped_digits(600)
    assert (x.shape, x.dtype, y.shape) == ((600, 784), np.float32, (600,))
    np.testing.assert_array_equal(x, again)
    np.testing.assert_array_equal(y, labels)
    assert x.min() == 0
    assert 0.9 < x.max() <= 1
    assert set(y.tolist()) == set(range(10))
    assert 0.5 < (x == 0).mean() < 0.9
    centre = x[:, 14 * 28 + 14]
    assert np.corrcoef(centre, x[:, 14 * 28 + 15])[0, 1] > 0.7
    # One drawing says what it shows: a model of some of them knows the others.
    assert SoftmaxRegression(0.01, tol=1e-3).fit(x[:500], y[:500]).score(x[500:], y[500:]) > 0.7


def test_glyphs_are_sampled_bilinearly():
    rng = np.random.default_rng(0)
    glyphs = np.pad(rng.random((2, 8, 8)), ((0, 0), (1, 1), (1, 1)))
    rows, columns = rng.uniform(-1.2, 1.2, (2, 2, 28, 28))
    found = data_sets._sampled(glyphs, rows, columns)
    for k in range(2):
        places = np.clip((1.15 * np.stack([rows[k], columns[k]]) + 1) * 4.5, 0, 9)
        np.testing.assert_allclose(found[k], map_coordinates(glyphs[k], places, order=1), atol=1e-14)


def test_folder_gives_numbers_texts_and_categories(folder):
    found = {data.name: data for data in csv_folder.data_sets(folder)}
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
    scaled = list(csv_folder.data_sets(tmp_path))[1]
    assert np.isfinite(scaled.x).all()
    assert not scaled.x[:, 2].any()


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "no file there ends in .csv; name a folder of CSV tables"),
        (b"a,class\n1,0\n2,0\n", "labels are all the same"),
        (b"a,class\n1,0\n,1\n", "column 'a' misses values"),
        (b"a,class\n1,0\n1,\n", "column 'class' misses values"),
        (b"class\n0\n1\n", "one column"),
        (b"", "cannot be read as CSV: No columns to parse from file"),
        (b"a,b\n", "holds a header but no rows"),
        (b"a,class\n1,0\n1,2,3\n", "cannot be read as CSV"),
        (b"a,class\n\xff,0\n", "cannot be read as CSV: 'utf-8' codec"),
        (b"a,class\n1,0.5\n2,1.5\n", "column 'class' holds 0.5, a measurement; expected labels"),
    ],
)
def test_table_that_cannot_be_fitted_is_refused_before_anything_is_timed(tmp_path, content, message):
    if content is not None:
        (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(InputError) as error:
        next(regression.cases({}, folder=tmp_path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_shares_of_memory_are_left_out_where_the_system_does_not_tell(monkeypatch, measured, rows):
    monkeypatch.setattr(memory, "can_measure", lambda: False)
    record = measured(fit_costs.FitMemoryCase(rows))
    assert record["peak_bytes"] is record["peak_in_x"] is None
    fit = {"title": "images", "peers": [{"name": "scikit-learn", "ratio": 2.0}]}
    assert "memory" not in {goal["name"] for goal in regression.summary([fit, record])["goals"]}


def test_memory_is_that_of_a_fit_to_the_rows(monkeypatch, measured, rows):
    fitted = []
    monkeypatch.setattr(fit_costs.SoftmaxRegression, "fit", lambda _, x, y: fitted.append((x, y)))

    def peak_of(prepare, warm_up, arguments):
        prepare(*warm_up)()
        prepare(*arguments)()
        return memory.Peak(rows.x.nbytes // 2, None)

    monkeypatch.setattr(memory, "peak_of", peak_of)
    monkeypatch.setattr(memory, "can_measure", lambda: True)
    assert measured(fit_costs.FitMemoryCase(rows))["peak_in_x"] == 0.5
    assert fitted[1] == (rows.x, rows.y)
