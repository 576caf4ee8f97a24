"""The page of the explorer in another state, and its tables as numbers."""

import numpy as np

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


def show(page, fragment):
    """Give an open page another fragment, which is quicker than opening it again."""
    page.evaluate(
        """(fragment) => new Promise((resolve) => {
          addEventListener("hashchange", () => setTimeout(resolve), {once: true});
          if (location.hash === `#${fragment}`) resolve();
          else location.hash = fragment;
        })""",
        fragment,
    )


def number(text):
    """The number that a text shows, such as −1.5·10⁻³, or −∞."""
    mantissa, _, exponent = text.replace("−", "-").replace("∞", "inf").partition("·10")
    return float(f"{mantissa}e{exponent.translate(_RAISED)}") if exponent else float(mantissa)


def table(page, caption):
    """The rows of the visible table with this caption, by their headings, as lists of numbers; NaN for no number."""
    rows = page.locator("table:visible", has=page.locator("caption", has_text=caption)).locator("tbody tr")
    rows.first.wait_for()  # a <details> tells of its opening later
    texts = rows.evaluate_all("(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))")
    return {heading: [number(text) if text else np.nan for text in cells] for heading, *cells in texts}


def assert_shown(found, expected):
    """Compare numbers of the page, which have 4 decimals or 4 significant digits, with exact ones."""
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=5.1e-4, atol=5.1e-5)
