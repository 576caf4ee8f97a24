"""HTML from templates: escaped, complete or refused, and only with Jinja2."""

import sys
from pathlib import Path

import jinja2
import pytest

from softgrad import _pages
from softgrad.derivation import derive


@pytest.fixture
def page(monkeypatch, tmp_path):
    """Render a template given as text."""
    templates = jinja2.DictLoader({})
    monkeypatch.setattr(_pages._environment(), "loader", templates)

    def render(source, /, **content):
        templates.mapping["page.html"] = source
        return _pages.render("page.html", **content)

    yield render
    _pages._environment.cache_clear()


def test_text_is_escaped_and_markup_is_not(page):
    rendered = page("<p>{{ text }}</p>{{ picture|safe }}", text="<script> & \"'", picture="<svg></svg>")
    assert rendered == "<p>&lt;script&gt; &amp; &#34;&#39;</p><svg></svg>"


def test_a_value_that_is_missing_is_an_error(page):
    with pytest.raises(jinja2.UndefinedError, match="'title' is undefined"):
        page("<h1>{{ title }}</h1>")


def test_every_template_parses():
    files = {path.name for path in Path(_pages.__file__).parent.glob("*.html")}
    names = ["coefficients", "derivation", "explorer", "explorer_steps", "notebook", "page", "report"]
    assert files == {f"{name}.html" for name in names}
    for name in files:
        _pages._environment().get_template(name)


def test_only_html_needs_jinja2(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    _pages._environment.cache_clear()
    derivation = derive("logsumexp")
    assert derivation.render("text")
    assert derivation.render("latex")
    with pytest.raises(ModuleNotFoundError, match=r'HTML needs Jinja2.*pip install "softgrad\[derivation\]"') as error:
        derivation.render("html")
    assert error.value.name == "jinja2"
