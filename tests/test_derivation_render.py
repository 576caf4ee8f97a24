"""Derivations as text, LaTeX and HTML; the page also as Chromium draws it."""

import functools
import re
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser

import pytest
import sympy as sp

from softgrad.derivation import NAMES, derive
from softgrad.derivation import _text as text
from softgrad.derivation._latex import latex
from softgrad.derivation._latex import prose as latex_prose
from softgrad.derivation._mathml import block
from softgrad.derivation._mathml import prose as mathml_prose
from softgrad.derivation._notation import notation
from softgrad.derivation._symbols import (
    cases,
    derivative,
    i,
    index_matrix,
    j,
    k,
    log,
    loss,
    minus,
    power,
    quotient,
    sigma,
    sum_over,
    total,
    y,
    z,
)
from softgrad.derivation._symbols import product as times
from tests import browser

derived = functools.cache(derive)
S = sum_over(i, sp.exp(z[i]))
VOID = {"meta", "mspace", "br"}


@functools.cache
def rendered(name, form):
    return derived(name).render(form)


@functools.cache
def checked_page(name):
    return derived(name).render("html", verification=derived(name).verify())


# ---- one expression, three ways

NOTATION = [
    (times(y[j], total(sp.KroneckerDelta(j, k), minus(y[k]))), "yⱼ(δⱼₖ − yₖ)",
     r"y_{j}\left(\delta_{jk} - y_{k}\right)"),
    (minus(times(sigma(j), sigma(k))), "−σⱼ σₖ", r"{-}\sigma_{j} \, \sigma_{k}"),
    (power(S, 2), "(Σᵢ exp(zᵢ))²", r"\left(\sum_{i=1}^{n} e^{z_{i}}\right)^{2}"),
    (times(S, y[j]), "(Σᵢ exp(zᵢ)) yⱼ", r"\left(\sum_{i=1}^{n} e^{z_{i}}\right) \, y_{j}"),
    (sum_over(j, total(y[j], minus(z[j]))), "Σⱼ (yⱼ − zⱼ)", r"\sum_{j=1}^{n} \left(y_{j} - z_{j}\right)"),
    (minus(total(y[j], z[j])), "−(yⱼ + zⱼ)", r"{-}\left(y_{j} + z_{j}\right)"),
    (total(y[j], minus(total(y[k], z[j]))), "yⱼ − (yₖ + zⱼ)", r"y_{j} - \left(y_{k} + z_{j}\right)"),
    (times(y[j], minus(z[j])), "yⱼ(−zⱼ)", r"y_{j}\left({-}z_{j}\right)"),
    (times(sp.exp(z[k]), sp.S.One, y[k]), "exp(zₖ) · 1 · yₖ", r"e^{z_{k}} \cdot 1 \cdot y_{k}"),
    (log(sigma(j)), "log σⱼ", r"\log \, \sigma_{j}"),
    (sp.Eq(sum_over(j, y[j]), 1), "Σⱼ yⱼ = 1", r"\sum_{j=1}^{n} y_{j} = 1"),
    (sp.Ne(j, k), "j ≠ k", r"j \ne k"),
    (index_matrix(y[j]), "[yⱼ]ⱼₖ", r"\left[y_{j}\right]_{jk}"),
    (sp.Symbol("∇lse"), "∇lse", r"\nabla\mathrm{lse}"),
]  # fmt: skip


@pytest.mark.parametrize("expression, as_text, as_latex", NOTATION)
def test_notation_keeps_order_and_sets_brackets(expression, as_text, as_latex):
    assert text.formula(notation(expression)).lines == [as_text]
    assert latex(notation(expression)) == as_latex
    assert well_formed(block(notation(expression)))


@pytest.mark.parametrize(
    "expression, lines",
    [
        (derivative(sigma(j), z[k]), [" ∂σⱼ ", "─────", " ∂zₖ "]),
        (derivative(loss, z[j], z[k]), ["   ∂²ℓ   ", "─────────", " ∂zⱼ ∂zₖ "]),
        (quotient(y[j], S), ["     yⱼ     ", "────────────", " Σᵢ exp(zᵢ) "]),
        (log(quotient(y[j], z[j])), ["   ⎛ yⱼ ⎞", "log⎜────⎟", "   ⎝ zⱼ ⎠"]),
        (cases(y[j], z[j]), ["⎧ yⱼ  if j = k", "⎨             ", "⎩ zⱼ  if j ≠ k"]),
    ],
)
def test_text_in_two_dimensions(expression, lines):
    assert text.formula(notation(expression)).lines == lines


def test_sentences_hold_mathematics():
    sentence = "So `exp z_j · u log σ_j = 0`, if `n^2 ≠ 1` & `xᵀ`."
    assert text.inline(sentence) == "So exp(zⱼ) · u log σⱼ = 0, if n² ≠ 1 & xᵀ."
    assert latex_prose(sentence) == (r"So $e^{z_{j}} \cdot u \log \sigma_{j} = 0$, if $n^{2} \ne 1$ \& $x^{\top}$.")
    gap = '<mspace width="0.2em"/>'
    z_j, sigma_j = (f"<msub><mi>{letter}</mi><mrow><mi>j</mi></mrow></msub>" for letter in "zσ")
    assert mathml_prose(sentence) == (
        f"So <math><msup><mi>e</mi>{z_j}</msup><mo>·</mo><mi>u</mi>{gap}<mi>log</mi>{gap}{sigma_j}<mo>=</mo><mn>0</mn>"
        "</math>, if <math><msup><mi>n</mi><mn>2</mn></msup><mo>≠</mo><mn>1</mn></math> &amp; "
        '<math><msup><mi>x</mi><mo lspace="0" rspace="0">⊤</mo></msup></math>.'
    )


# ---- text and LaTeX


@pytest.mark.parametrize("name", NAMES)
def test_text_fits_a_terminal_and_holds_everything(name):
    content = rendered(name, "text")
    assert content.endswith("\n")
    assert max(map(len, content.splitlines())) <= 80
    assert "`" not in content
    assert not re.search(r"[ \t]\n", content)
    flat = " ".join(content.split())
    for number, step in enumerate(derived(name).steps, 1):
        assert f"({number}) {step.rule}" in flat
        assert text.inline(step.reason) in flat
        if step.warning:
            assert f"Careful: {text.inline(step.warning)}" in flat
    assert "Checked" not in content


def test_text_shows_what_was_found():
    report = derived("logsumexp").verify()
    content = derived("logsumexp").render(verification=report)
    assert " ".join(content.split()).endswith(f"Checked: {report.summary}.")


@pytest.mark.parametrize("name", NAMES)
def test_latex_is_plain_ascii_and_balanced(name):
    document = rendered(name, "latex")
    assert document.isascii()
    assert "`" not in document
    for content in (document, derived(name)._repr_latex_()):
        bare = content.replace(r"\{", "").replace(r"\}", "")
        depth = 0
        for character in bare:
            depth += (character == "{") - (character == "}")
            assert depth >= 0
        assert depth == 0
        assert content.count(r"\left") == content.count(r"\right")
        opened = []
        for kind, environment in re.findall(r"\\(begin|end)\{(\w+\*?)\}", content):
            if kind == "begin":
                opened.append(environment)
            else:
                assert opened.pop() == environment
        assert not opened
        assert content.count("$") % 2 == 0
    assert document.startswith("\\documentclass")
    assert document.count("\\[") == document.count("\\]")


def test_latex_of_a_notebook_has_every_line():
    formulas = derived("softmax")._repr_latex_()
    assert formulas.isascii()
    assert formulas.startswith("$$\\begin{aligned}")
    assert formulas.count("&= ") == len(derived("softmax").steps)


# ---- HTML


class Reader(HTMLParser):
    """Checks that elements are closed in order, and collects what a page asks for."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def well_formed(content):
    reader = Reader()
    reader.feed(content)
    reader.close()
    assert not reader.open
    return reader


@pytest.mark.parametrize("name", NAMES)
def test_html_is_one_page_that_asks_for_nothing(name):
    page = rendered(name, "html")
    reader = well_formed(page)
    assert page.startswith("<!DOCTYPE html>")
    assert page.isprintable() or "\n" in page
    assert not {"script", "link", "img", "iframe", "object", "video"} & set(reader.seen)
    assert not {"src", "href", "onclick", "onload"} & {attribute for attribute, _ in reader.attributes}
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
        assert escape(step.rule) in page
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
    selectors = re.findall(r"([^{}]+)\{", re.sub(r"@media[^{]+\{", "", style))
    assert len(selectors) > 30
    assert all(part.strip().startswith(".softgrad") for selector in selectors for part in selector.split(","))


def test_verdicts_stand_at_the_steps():
    page = checked_page("logsumexp")
    assert page.count('<span class="verdict">proved for n = 2…5</span>') == 8
    assert "<footer>Checked: all 8 steps proved" in unescape(page)
    assert "verdict" not in re.sub(r"<style>.*?</style>", "", rendered("logsumexp", "html"), flags=re.DOTALL)


# ---- in a browser

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
