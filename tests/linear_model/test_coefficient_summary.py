"""The summary of the coefficients as a data frame and as HTML."""

import re
import sys

import numpy as np
import pandas as pd
import pytest

from softgrad import _pages
from softgrad.linear_model import SoftmaxRegression
from tests import browser
from tests.overlapping import overlapping

NAMES = ["age", "<b>height</b>", "a & b"]
CLASSES = np.array(["low", "mid <script>1</script>", "top"])


@pytest.fixture(scope="module")
def summary():
    X, y = overlapping(classes=3)
    return SoftmaxRegression().fit(pd.DataFrame(X, columns=NAMES), CLASSES[y]).summary()


def test_a_frame_has_a_row_for_every_class_and_column(summary):
    frame = summary.to_frame()
    assert frame.index.names == ["class", "column"]
    assert frame.index.tolist() == [(label, name) for label in summary.classes for name in [*NAMES, "intercept"]]
    assert frame.columns.tolist() == ["coef", "standard_error", "z", "p_value", "lower", "upper"]
    for name in frame:
        assert frame[name].dtype == np.float64
        np.testing.assert_array_equal(frame[name].to_numpy().reshape(summary.coef.shape), getattr(summary, name))
    assert frame.loc[("top", "age"), "coef"] == summary.coef[1, 0]


def test_names_with_newlines_stay_in_one_row():
    X, y = overlapping(classes=2)
    names = ["a\nb", *map(str, range(X.shape[1] - 1))]
    text = repr(SoftmaxRegression().fit(pd.DataFrame(X, columns=names), np.array(["p\nq", "r\ts"])[y]).summary())
    assert len(text.splitlines()) == 4 + X.shape[1] + 1
    assert text.startswith("Log-odds against class p\ufffdq\n")


def test_a_notebook_shows_the_numbers_of_the_text(summary):
    fragment = summary._repr_html_()
    reader = browser.Reader(fragment)
    assert not {"html", "head", "body", "b", "script"} & set(reader.seen)
    text = [part.strip() for part in reader.text if part.strip()]
    lines = str(summary).splitlines()
    assert text[:2] == lines[:2]
    for label in summary.classes:
        assert label in text
    numbers = re.findall(r"<td>([^<]+)</td>", fragment)
    printed = " ".join(line[-59:] for line in lines if line.startswith("  ")).split()
    assert [number.replace("&lt;", "<") for number in numbers] == printed
    assert text.count("a & b") == text.count("<b>height</b>") == 2
    headers = [value for tag, name, value in reader.attributes if (tag, name) == ("th", "scope")]
    assert [headers.count(scope) for scope in ("col", "rowgroup", "row")] == [6, 2, 8]


def test_a_notebook_without_jinja2_shows_the_text(summary, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    _pages._environment.cache_clear()
    assert summary._repr_html_() is None


def test_other_missing_modules_are_not_hidden(summary, monkeypatch):
    def fail(*_, **__):
        raise ModuleNotFoundError("No module named 'markupsafe'", name="markupsafe")

    monkeypatch.setattr(_pages, "render", fail)
    with pytest.raises(ModuleNotFoundError, match="markupsafe"):
        summary._repr_html_()


def test_a_frame_needs_pandas(summary, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"^to_frame needs pandas, .*; write pip install pandas$") as caught:
        summary.to_frame()
    assert caught.value.name == "pandas"


MEASURE = """
({all, box, contrast, page}) => ({
  contrast: Math.min(...all(".title, .summary, th, td").filter((e) => e.textContent.trim()).map(contrast)),
  height: box(page.querySelector(".scroll")).height,
})
"""


@pytest.mark.slow
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("theme", browser.THEMES)
def test_chromium_draws_the_table(summary, theme, tmp_path):
    page = f'<div class="softgrad"><h1></h1></div>{summary._repr_html_()}'
    (found,) = browser.measured([page], MEASURE, theme, tmp_path)
    for report in found:
        assert report["overflow"] == 0
        assert report["requests"] == 0
        assert report["contrast"] >= 4.5  # WCAG AA
        assert 100 < report["height"] <= 640
