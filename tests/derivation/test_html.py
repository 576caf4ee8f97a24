"""Derivations as HTML, also as Chromium draws the page."""

import functools
import re
from dataclasses import replace
from html import escape, unescape

import markupsafe
import pytest

from softgrad.derivation import NAMES
from tests import browser
from tests.derivation import derived, rendered, well_formed


@functools.cache
def checked_page(name):
    return derived(name).render("html", verification=derived(name).verify())


@pytest.mark.parametrize("name", NAMES)
def test_html_is_one_page_that_asks_for_nothing(name):
    page = rendered(name, "html")
    reader = well_formed(page)
    assert page.startswith("<!DOCTYPE html>")
    assert page.isprintable() or "\n" in page
    assert not {"script", "link", "img", "iframe", "object", "video"} & set(reader.seen)
    assert not {"src", "href", "onclick", "onload"} & {attribute for _, attribute, _ in reader.attributes}
    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "`" not in page
    assert reader.seen.count("details") == len(derived(name).steps)
    assert reader.seen.count("h1") == 1
    assert reader.seen.count("math") > 2 * len(derived(name).steps)
    assert page.count('class="warning"') == sum(step.warning is not None for step in derived(name).steps)
    for step in derived(name).steps:
        words = [plain for text in (step.formula, step.reason, step.warning or "") for plain in text.split("`")[::2]]
        assert markupsafe.escape(step.rule) in page
        assert all(escape(plain) in page for plain in words)


@pytest.mark.parametrize("name", NAMES)
def test_heat_map_shows_every_number_and_its_sign(name):
    matrix = derived(name).example.matrix
    cells = re.findall(r'<td class="(plus|minus|nil)" style="--share: (\d+)%">([^<]+)</td>', rendered(name, "html"))
    assert [float(value.replace("−", "-")) for *_, value in cells] == [round(value, 4) for value in matrix.ravel()]
    for sign, share, value in cells:
        assert (sign == "minus") == value.startswith("−")
        assert 0 <= int(share) <= 100
    assert max(int(share) for _, share, _ in cells) == 100


def test_heat_map_of_zeros():
    derivation = derived("logsumexp")
    still = derivation.example._replace(matrix=derivation.example.matrix * 0)
    assert '<td class="nil" style="--share: 0%">0.0000</td>' in replace(derivation, example=still).render("html")


def test_a_notebook_gets_a_fragment_whose_style_reaches_nothing_else():
    fragment = derived("softmax")._repr_html_()
    reader = well_formed(fragment)
    assert not {"html", "head", "body", "h1", "script"} & set(reader.seen)
    style = re.search(r"<style>(.*?)</style>", fragment, re.DOTALL).group(1)
    style = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    enclosing, count = [], 0
    for before, brace in re.findall(r"([^{}]*)([{}])", style):
        if brace == "}":
            enclosing.pop()
            continue
        selector = before.rpartition(";")[2].strip()
        if not selector.startswith("@media "):
            # A nested selector is relative to the enclosing one, unless it says otherwise, as "body &" does.
            nested = any(not outer.startswith("@media ") for outer in enclosing)
            start = r"[&.]" if nested else r"\.softgrad\b"
            assert all(re.match(start, part) for part in re.split(r", *(?![^(]*\))", selector)), selector
            count += 1
        enclosing.append(selector)
    assert not enclosing
    assert count > 30


def test_verdicts_stand_at_the_steps():
    page = checked_page("logsumexp")
    assert page.count('<span class="verdict">proved for n = 2…5</span>') == 8
    assert "<footer>Checked: all 8 steps proved" in unescape(page)
    assert "verdict" not in re.sub(r"<style>.*?</style>", "", rendered("logsumexp", "html"), flags=re.DOTALL)


MEASURE = """
({root, all, box, ground, contrast, page}) => {
  const boxes = all("math").map(box);
  const [above, below] = page.querySelector("mfrac").children;
  const open = root.scrollHeight;
  all("details").forEach((element) => { element.open = false; });
  return {
    open, folded: root.scrollHeight, formulas: boxes.length,
    smallest: Math.min(...boxes.map((box) => Math.min(box.width, box.height))),
    stacked: box(above).bottom <= box(below).top + 1,
    contrast: Math.min(...all("p, dd, td, th, .title, .heading, .number, .rule, .identity, .condition, .verdict")
      .concat(all("mi, mo, mn, strong, small, footer")).map(contrast)),
    heat: new Set(all(".heat td").map((cell) => ground(cell))).size,
  };
}
"""


@pytest.fixture(scope="module", params=browser.THEMES)
def drawn(request, tmp_path_factory):
    """The theme, and the measurements of every page in it, by name."""
    pages = [checked_page(name) if name == "logsumexp" else rendered(name, "html") for name in NAMES]
    found = browser.measured(pages, MEASURE, request.param, tmp_path_factory.mktemp("chromium"))
    return request.param, dict(zip(NAMES, found, strict=True))


@pytest.mark.slow
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("name", NAMES)
def test_chromium_draws_the_page(drawn, name):
    theme, found = drawn
    assert [report["width"] for report in found[name]] == browser.WIDTHS
    for report in found[name]:
        assert report["overflow"] == 0
        assert report["formulas"] > 2 * len(derived(name).steps)
        assert report["smallest"] > 3
        assert report["stacked"]
        assert report["requests"] == 0
        assert report["open"] - report["folded"] > 40 * len(derived(name).steps)
        assert report["contrast"] >= 4.5  # WCAG AA
        assert (report["ground"] > 0.5) is (theme == "light")
        assert report["heat"] > 2
