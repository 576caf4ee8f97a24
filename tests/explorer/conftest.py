"""The page in Chromium, driven by Playwright; an error of a script fails the test."""

from pathlib import Path

import pytest

from softgrad import explorer
from tests import browser

WIDTHS = [320, 768, 1600]


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """The page in a file."""
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(explorer.page(), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser.CHROMIUM, args=browser.OPTIONS[1:])
        yield running
        running.close()


@pytest.fixture
def visit(chromium, address):
    """A function that opens the page with a fragment, at a width and in a theme."""
    contexts, errors = [], []

    def open_page(fragment="", *, width=1600, height=1000, theme="light", **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: errors.append(request.url) if not local(request.url) else None)
        page.goto(f"{address}#{fragment}" if fragment else address)
        page.wait_for_selector("[role=tabpanel]:not([hidden])")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


def local(url):
    return url.startswith(("file:", "data:"))


@pytest.fixture(scope="session")
def node_modules():
    return Path(__file__).parent / "node_modules"
