"""Reports: what the page holds, refuses and escapes, and what Chromium makes of it."""

import base64
import functools
import importlib.util
import io
import re
import subprocess
import sys
from html import escape
from pathlib import Path

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest

from softgrad import _pages
from softgrad.cli._errors import CommandError
from softgrad.cli._formatting import nats, percent, shown
from softgrad.cli._metrics import evaluation
from softgrad.cli._report import check_report, write_evaluation, write_report
from softgrad.cli._report._coefficients import grid_shape
from softgrad.linear_model import Iteration, SoftmaxRegression
from tests import browser

HOSTILE = ["<script>alert(1)</script>", "a & b", "\"quoted\" 'label'", "$x^2$ paid", "zäh 猫 עברית", "\x1b[31m\x00red"]


def fitted(classes, names=None, *, features=16, steps=40, seed=0):
    """What a fit leaves, without one."""
    random = np.random.default_rng(seed)
    coef = random.normal(size=(len(classes), features))
    history = [Iteration(1 + 0.5**n, 0.4**n, float(2 * n + 1), 0.01 * n) for n in range(steps)]
    model = SoftmaxRegression()
    vars(model).update(
        classes_=np.array(classes), coef_=coef, intercept_=np.zeros(len(classes)), n_iter_=steps, n_passes_=2.0 * steps,
        loss_=0.5, objective_=1.0, gradient_norm_=1e-7, converged_=True, solver_="lbfgs", history_=history,
        n_features_in_=features, temperature_=1.0,
    )  # fmt: skip
    if names is not None:
        model.feature_names_in_ = np.array(names, dtype=object)
    return model


def judged(classes, rows=400, *, seed=0):
    random = np.random.default_rng(seed)
    z = 3 * random.normal(size=(rows, len(classes)))
    return evaluation(z, (z + random.gumbel(size=z.shape)).argmax(axis=1), np.array(classes))


@functools.cache
def written(kind, folder):
    """A page of each kind, as text."""
    path = folder / f"{kind}.html"
    command = "softgrad fit 't & <u>.csv' --target x"
    if kind == "logits":
        write_evaluation(path, model=None, found=judged(range(40)), data={"logits": "z.npy"}, command=command)
        return path.read_text(encoding="utf-8")
    classes, model = {
        "images": (list("0123456789"), lambda c: fitted(c, features=784)),
        "bars": (HOSTILE, lambda c: fitted(c, [f"{name} {i}" for i, name in enumerate(HOSTILE * 3)], features=18)),
        "letters": ([*"ABCDEFGHIJKLMN"], lambda c: fitted(c, [f"{i} wide" for i in range(5)], features=5)),
        "many": (list(range(45)), fitted),
    }[kind]
    data = {"table": "t & <u>.csv", "target": "<b>x</b>", "rows": {"training": 400, "held_out": 100}}
    parts = {"training": judged(classes), "held_out": judged(classes, 100, seed=1)}
    write_report(path, model=model(classes), **parts, data=data, command=command)
    return path.read_text(encoding="utf-8")


KINDS = ["images", "bars", "letters", "many", "logits"]


@pytest.fixture
def page(tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    return lambda kind: written(kind, folder)


# ---- the page


@pytest.mark.parametrize("kind", KINDS)
def test_one_page_that_asks_for_nothing(page, kind):
    content = page(kind)
    reader = browser.Reader(content)
    assert content.startswith("<!DOCTYPE html>")
    assert len(content.encode()) < 1_000_000
    assert not {"script", "link", "img", "iframe", "object", "b:script"} & set(reader.seen)
    assert "http" not in content
    assert "@import" not in content
    for _tag, name, value in reader.attributes:
        assert name not in {"src", "onclick", "onload"}
        assert name != "href" or value.startswith(("#", "data:image/png;base64,"))
    assert set(re.findall(r"url\((.)", content)) <= {"#"}
    # What is referred to is there, once.
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for _, name, value in reader.attributes if name == "href" and value[0] == "#"} <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", content)) <= set(ids)
    # One style for the page; what matplotlib writes has none of its own, and no colours.
    assert reader.seen.count("style") == 1
    drawn = re.sub(r"<style>.*?</style>", "", content, flags=re.DOTALL)
    assert not re.search(r"(?:fill|stroke): ?#", drawn)
    assert "font-family" not in drawn
    assert "00be0" not in content


@pytest.mark.parametrize("kind", KINDS)
def test_headings_captions_and_labels(page, kind):
    reader = browser.Reader(page(kind))
    assert reader.seen.count("h1") == reader.seen.count("title") == reader.seen.count("main") == 1
    assert reader.seen.count("caption") == reader.seen.count("table") >= 2
    labels = [value for tag, name, value in reader.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == reader.seen.count("svg") >= 2
    assert all(labels)
    assert sum(value == "img" for _, name, value in reader.attributes if name == "role") == len(labels)


def test_everything_is_on_the_page(page):
    text = " ".join(browser.Reader(page("images")).text)
    for heading in ("Results", "Classes", "Confusion", "Calibration", "Convergence", "Data and fit", "Coefficients"):
        assert heading in text
    found = judged(list("0123456789"), 100, seed=1)
    for figure in (percent(found.accuracy), nats(found.loss), percent(found.calibration_error), f"{found.brier:.4f}"):
        assert figure in text
    assert "400 training, 100 held out" in text
    assert "softgrad fit 't & <u>.csv' --target x" in re.sub(r"\s+", " ", text)
    assert "lbfgs" in text


def test_the_confusion_matrix_has_its_numbers(page):
    svg = re.search(r'<svg[^>]*aria-label="Confusion.*?</svg>', page("images"), re.DOTALL).group()
    numbers = [int(text) for text in re.findall(r"<text[^>]*font-size: 8.5px[^>]*>(\d+)</text>", svg)]
    counts = judged(list("0123456789"), 100, seed=1).confusion.toarray()
    assert numbers == counts[counts > 0].tolist()
    assert not re.search(
        r"font-size: 8.5px", re.search(r'<svg[^>]*"Confusion.*?</svg>', page("many"), re.DOTALL).group()
    )


def test_names_from_the_data_stay_text(page):
    reader = browser.Reader(page("bars"))
    text = " ".join(reader.text)
    for label in HOSTILE:
        assert text.count(shown(label)) >= 4
    assert "\x1b" not in page("bars")
    assert "\x00" not in page("bars")
    assert page("bars").count("<h1 ") == 1
    assert '<h1 class="title">Softmax regression of &lt;b&gt;x&lt;/b&gt;</h1>' in page("bars")
    # In pictures too: a dollar begins no formula.
    svg = "".join(re.findall(r"<svg.*?</svg>", page("bars"), re.DOTALL))
    assert "$x^2$ paid 3" in svg
    assert escape("a & b", quote=False) in svg


def test_many_classes_are_cut_and_said_to_be(page):
    text = " ".join(browser.Reader(page("many")).text)
    assert "The 30 classes of the lowest F1; 15 more are not shown" in text
    assert "The first 30 classes are shown; 15 more are not." in text


def test_a_vocabulary_has_no_picture_of_its_confusion(tmp_path):
    z = np.random.default_rng(0).normal(size=(20, 50_000))
    found = evaluation(z, np.arange(20), np.arange(50_000))
    write_evaluation(tmp_path / "r.html", model=None, found=found, data={"logits": "z.npy"}, command="x")
    assert "A matrix of 50000 classes is too large for a picture" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "history, panels",
    [
        ([], 0),
        ([Iteration(1.0, 0.5, 1.0, 0.0)], 0),
        ([Iteration(1.0, 0.5, 1.0, 0.0), Iteration(1.0, 0.0, 2.0, 0.0)], 0),
        ([Iteration(1.0, 0.5, 1.0, 0.0), Iteration(1.0, 0.1, 2.0, 0.0)], 1),
        ([Iteration(1.0 / n, 0.5 / n, n, 0.0) for n in range(1, 4)], 2),
        ([Iteration(float(n), 10.0**-n, 2.5 * n, 0.0) for n in range(1, 300)], 2),
    ],
)
def test_a_course_of_any_length(tmp_path, history, panels):
    model = fitted(["a", "b"])
    model.history_, model.temperature_ = history, 1.25
    found = judged(["a", "b"])
    write_report(tmp_path / "r.html", model=model, training=found, held_out=None, data={}, command="x")
    content = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert content.count(">Convergence</h2>") == (panels > 0)
    assert content.count("objective above its least value (nats)</text>") == (panels > 1)
    assert content.count(">gradient norm</text>") == (panels > 0)
    assert "<dd>1.25</dd>" in content
    assert '<h1 class="title">Softmax regression</h1>' in content
    assert "400 training rows, 16 features, 2 classes." in content


def test_zero_coefficients(tmp_path):
    for features in (3, 16):
        model = fitted(["a", "b"], features=features)
        model.coef_ = np.zeros((2, features))
        write_report(tmp_path / "r.html", model=model, training=judged(["a", "b"]), held_out=None, data={}, command="x")
        assert (tmp_path / "r.html").stat().st_size > 10_000


def test_reports_of_the_same_are_the_same(page, tmp_path):
    assert written.__wrapped__("bars", tmp_path) == page("bars")


def test_the_users_settings_of_matplotlib_change_nothing(page, tmp_path):
    with mpl.rc_context({"font.size": 40, "text.usetex": True, "svg.fonttype": "path", "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        assert written.__wrapped__("bars", tmp_path) == page("bars")
        assert dict(mpl.rcParams) == before


# ---- coefficients


@pytest.mark.parametrize(
    "names, features, shape",
    [
        (None, 64, (8, 8)),
        (None, 16, (4, 4)),
        (None, 9, None),
        (None, 54, None),
        ([f"pixel_{i}_{j}" for i in range(8) for j in range(8)], 64, (8, 8)),
        ([f"pixel_{i}_{j}" for i in range(1, 5) for j in range(1, 7)], 24, (4, 6)),
        ([f"{i}x{j}" for i in range(1, 29) for j in range(1, 29)], 784, (28, 28)),
        ([f"pixel{i}" for i in range(1, 785)], 784, (28, 28)),
        ([str(i) for i in range(16)], 16, (4, 4)),
        ([f"x {i:03}" for i in range(16)], 16, (4, 4)),
        ([f"pixel{i}" for i in range(2, 18)], 16, None),
        ([f"pixel{i}" for i in range(20)], 20, None),
        ([f"pixel{i}" for i in reversed(range(16))], 16, None),
        ([f"pixel_{j}_{i}" for i in range(4) for j in range(4)], 16, None),
        ([f"pixel_{i}_0" for i in range(16)], 16, None),
        ([*(f"pixel{i}" for i in range(15)), "age"], 16, None),
        ([*(f"pixel{i}" for i in range(15)), "other15"], 16, None),
        ([*(f"pixel_{i}_{j}" for i in range(4) for j in range(3)), *(f"pixel_{i}" for i in range(4))], 16, None),
        ([f"colour={i}" for i in range(16)], 16, None),
        (["x-box", "y-box", *"abcdefghijklmn"], 16, None),
        (["pixel0", "pixel1", "pixel2"], 3, None),
    ],
)
def test_features_that_are_pixels(names, features, shape):
    assert grid_shape(names, features) == shape


def test_an_image_is_the_coefficients(page):
    pictures = re.findall(r'"Coefficients of class (\d), 28 by 28"><image[^>]*base64,([^"]+)"', page("images"))
    assert [label for label, _ in pictures] == list("0123456789")
    coef = fitted(list("0123456789"), features=784).coef_
    for (_, data), weights in zip(pictures, coef, strict=True):
        pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png").reshape(784, 4)
        np.testing.assert_allclose(pixels[:, 3], np.sqrt(np.abs(weights) / np.abs(coef).max()), atol=0.5 / 255 + 1e-6)
        seen = pixels[:, 3] > 0
        np.testing.assert_array_equal((pixels[:, 0] > pixels[:, 2])[seen], (weights > 0)[seen])


def test_bars_are_the_largest_coefficients(page):
    model = fitted(HOSTILE, features=18)
    svg = re.findall(r"<svg.*?</svg>", page("bars"), re.DOTALL)[-len(HOSTILE) :]
    for picture, weights in zip(svg, model.coef_, strict=True):
        order = np.argsort(-np.abs(weights))[:12]
        colours = re.findall(r"<path[^>]*fill: var\(--(plus|minus)\)", picture)
        assert colours == ["plus" if weights[i] > 0 else "minus" for i in order]
        ends = [int(name) for name in re.findall(r">[^<]* (\d+)</text>", picture)]
        assert ends == order.tolist()


# ---- colours


def variables(css, block):
    return dict(re.findall(r"--(\w+): (#\w+)", re.search(block, css, re.DOTALL).group(1)))


STYLE = (Path(_pages.__file__).parent / "style.css").read_text()
THEMES = {"light": r"\A[^{]*\{(.*?)\}", "dark": r"prefers-color-scheme: dark\) \{[^{]*\{(.*?)\}"}


@pytest.mark.parametrize("theme", THEMES)
def test_numbers_can_be_read_on_every_tint(page, theme):
    colours = {
        name: np.array(list(bytes.fromhex(value[1:]))) for name, value in variables(STYLE, THEMES[theme]).items()
    }
    matrix = re.search(r'"Confusion matrix.*?base64,([^"]+)"', page("images"), re.DOTALL).group(1)
    pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(matrix)), format="png")
    assert pixels.shape == (10, 10, 4)
    *rgb, alpha = np.moveaxis(pixels, -1, 0)
    cells = 255 * np.stack(rgb, axis=-1) * alpha[..., None] + colours["page"] * (1 - alpha[..., None])
    pair = np.stack([luminance(cells), np.full(alpha.shape, luminance(colours["ink"]))])
    assert ((pair.max(axis=0) + 0.05) / (pair.min(axis=0) + 0.05)).min() >= 4.5  # WCAG AA
    found = judged(list("0123456789"), 100, seed=1)
    shares = found.confusion.toarray() / found.support[:, None]
    np.testing.assert_allclose(alpha, 0.6 * np.sqrt(shares), atol=0.5 / 255 + 1e-6)


def luminance(rgb):
    parts = np.asarray(rgb) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


# ---- what cannot be written


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_without_its_packages_the_report_is_refused_before_the_fit(monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf'{package}, which the report needs, is not installed; write pip install "softgrad\[report\]"'
    with pytest.raises(CommandError, match=message) as caught:
        check_report(tmp_path / "r.html")
    assert caught.value.exit_code == 1


def test_only_the_page_needs_matplotlib():
    program = (
        "import sys; sys.modules['matplotlib'] = None; import softgrad.cli._report, softgrad.cli._commands._evaluate;"
        "softgrad.cli.main(['evaluate', '--help'])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_places_that_cannot_be_written_are_refused(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a")
    with pytest.raises(CommandError, match=r"--report .*: there is no folder"):
        check_report(tmp_path / "nowhere" / "r.html")
    with pytest.raises(CommandError, match="is not a file"):
        check_report(tmp_path)
    with pytest.raises(CommandError, match="would replace"):
        check_report(table, read=[tmp_path / "t.csv"])
    with pytest.raises(
        CommandError, match=r"a report is an HTML page; write --report .*r\.html, and print that page to"
    ):
        check_report(tmp_path / "r.pdf")
    with pytest.raises(CommandError, match=r"a report is an HTML page; write --report .*t\.html$"):
        check_report(table)
    (tmp_path / "r.html").touch()
    check_report(tmp_path / "r.html", read=[table])
    assert importlib.util.find_spec("matplotlib")


def test_a_failure_leaves_the_former_report(tmp_path, monkeypatch):
    import os  # noqa: PLC0415

    path = tmp_path / "r.html"
    path.write_text("former")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(CommandError, match=r"--report .* cannot be written: no space left on device"):
        write_evaluation(path, model=None, found=judged(["a", "b"]), data={"logits": "z.npy"}, command="x")
    assert path.read_text() == "former"
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]


def test_labels_are_cut_in_the_middle():
    assert shown("Horizontal_Distance_To_Hydrology") == "Horizontal_D…o_Hydrology"
    assert len(shown("x" * 100)) == 24
    assert shown("x" * 24) == "x" * 24
    assert shown(3) == "3"
    assert (percent(float("nan")), percent(None), nats(np.inf), nats(1e-9), nats(0.0)) == (
        "–",
        "–",
        "∞",
        "1e-09",
        "0.0000",
    )


# ---- in a browser

MEASURE = """
({all, box, contrast}) => {
  const boxes = all("svg").map(box);
  const inside = (text) => {
    const inner = box(text), outer = box(text.closest("svg"));
    return inner.left >= outer.left - 2 && inner.right <= outer.right + 2;
  };
  return {
    pictures: boxes.length,
    smallest: Math.min(...boxes.map((box) => Math.min(box.width, box.height))),
    letters: Math.min(...all("svg text").map(box).map(
      (box) => Math.min(box.width, box.height) > 0 ? Math.max(box.width, box.height) : 0)),
    cut: all("svg text").filter((text) => !inside(text)).map((text) => text.textContent),
    contrast: Math.min(...all("p, dd, dt, td, th, h1, h2, small, b, figcaption, caption, code, footer, svg text")
      .map(contrast)),
    images: all("svg image").filter((image) => box(image).width > 20).length,
  };
}
"""


@pytest.fixture(scope="module", params=browser.THEMES)
def drawn(request, tmp_path_factory):
    """The theme, and the measurements of every page in it, by kind."""
    pages = [written(kind, tmp_path_factory.getbasetemp()) for kind in KINDS]
    found = browser.measured(pages, MEASURE, request.param, tmp_path_factory.mktemp("chromium"))
    return request.param, dict(zip(KINDS, found, strict=True))


@pytest.mark.slow
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("kind", KINDS)
def test_chromium_draws_the_page(drawn, kind):
    theme, found = drawn
    assert [report["width"] for report in found[kind]] == browser.WIDTHS
    for report in found[kind]:
        assert report["overflow"] == 0
        assert report["pictures"] >= 2
        assert report["smallest"] > 60
        assert report["letters"] > 3
        assert report["cut"] == []
        assert report["requests"] == 0
        assert report["contrast"] >= 4.5  # WCAG AA
        assert (report["ground"] > 0.5) is (theme == "light")
        assert report["images"] == {"images": 11, "many": 31}.get(kind, 1)
