"""The Jacobian in the page: entries, their derivation with numbers, the nudge, and the diagonal alone."""

import itertools
import re

import numpy as np
import pytest

import softgrad as sg
from tests.explorer.conftest import WIDTHS

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]

EIGHT = "z=1,2,3,4,0,-4,-inf,2&y=1,0,0,0,0,0,0,0&names=A,B,C,D,E,F,G,H"
# The fragment of a row of logits, and those of its entries that are chosen (all if None).
ROWS = [
    ([1.5, -0.5], "z=1.5,-0.5&y=1,0&names=A,B", None),
    ([2, 1, 0], "", None),
    ([2, 1, -np.inf], "z=2,1,-inf", [(2, 2), (0, 2), (2, 1), (1, 0)]),
    ([0, 12, 0], "z=0,12,0", [(1, 1), (0, 1), (0, 2)]),
    ([1002, 1001, 1000], "z=1002,1001,1000", [(0, 0), (2, 1)]),
    ([1, 2, 3, 4, 0, -4, -np.inf, 2], EIGHT, [(5, 5), (3, 7), (6, 0)]),
]
CELLS = "[role=grid] td[aria-selected]"
# In JavaScript: a line of MathML as an expression.
VALUE = """
(math) => {
  const text = (node) => {
    const parts = [...node.children].map(text);
    if (node.localName === "mfrac") return `(${parts[0]})/(${parts[1]})`;
    if (node.localName === "msup") return `(${parts[0]})**(${parts[1]})`;
    if (parts.length) return parts.join("");
    const raised = (digits) => [...digits].map((d) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(d)).map((d) => d ? d - 1 : "-").join("");
    return node.textContent.replace(/·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)/, (_, digits) => `e${raised(digits)}`);
  };
  const line = text(math).replace("=", "").replaceAll("−", "-").replaceAll("·", "*");
  return eval(line.replaceAll(/([\\d.])\\(/g, "$1*("));
}
"""


def number(text):
    """The number that the page shows, and half a unit of its last digit."""
    plain = text.strip().replace("−", "-").replace("+", "")
    mantissa, _, exponent = plain.partition("·10")
    power = int(exponent.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
    digits = len(mantissa.partition(".")[2])
    return float(f"{mantissa}e{power}"), 0.5 * 10.0 ** (power - digits) if digits else 0


def assert_shows(text, value):
    shown, half = number(text)
    assert abs(shown - value) <= half * (1 + 1e-9), f"{text} stands for {value}"
    assert value == 0 or text.startswith("+" if value > 0 else "−")


def assert_cells_show(cells, matrix):
    for text, value in zip(cells.all_text_contents(), matrix.ravel(), strict=True):
        assert_shows(text, value)


def jacobian(z):
    return sg.softmax_jacobian(np.array(z, dtype=float)).to_dense()


def chosen(page):
    """The index of the chosen cell, row by row, which alone is in the order of the Tab key."""
    cells = page.locator(CELLS)
    selected = cells.evaluate_all("cells => cells.flatMap((c, i) => c.ariaSelected === 'true' ? [i] : [])")
    assert selected == cells.evaluate_all("cells => cells.flatMap((c, i) => c.tabIndex === 0 ? [i] : [])")
    assert len(selected) == 1
    return selected[0]


def show(page, fragment):
    """Follow a link to another state of the page."""
    page.evaluate(
        """(fragment) => new Promise((done) => {
          addEventListener("hashchange", done, { once: true });
          location.hash = fragment;
        }).then(() => undefined)""",
        f"view=jacobian&{fragment}",
    )


def test_matrices_show_the_jacobian(visit):
    page = visit()
    for z, fragment, _ in ROWS:
        show(page, fragment)
        p, J = sg.softmax(np.array(z, dtype=float)), jacobian(z)
        assert_cells_show(page.locator(CELLS), J)
        assert page.locator("[role=grid] td.sum").all_text_contents() == ["0"] * 2 * len(z)
        for i, matrix in enumerate([np.diag(p), np.outer(p, p), J]):
            assert_cells_show(page.locator(".heat.small").nth(i).locator("tbody td"), matrix)
        texts = page.locator(".eigenvalues .value").all_text_contents()
        for text, value in zip(texts, sg.softmax_jacobian(np.array(z, dtype=float)).eigvalsh(), strict=True):
            shown, half = number(text)
            assert abs(shown - value) <= half + 1e-12


def test_lines_with_numbers_have_the_value_of_the_entry(visit):
    page = visit()
    for z, fragment, entries in ROWS:
        show(page, fragment)
        for j, k in entries or itertools.product(range(len(z)), repeat=2):
            page.locator(CELLS).nth(j * len(z) + k).evaluate("cell => cell.click()")
            value = jacobian(z)[j, k]
            lines = page.locator(".with-numbers math").filter(has_not_text="∂")
            values = lines.evaluate_all(f"lines => lines.map({VALUE})")
            assert values == pytest.approx([value] * (7 if j == k else 4), rel=2e-3, abs=2e-4)
            result = page.locator(".jacobian .result").text_content()
            assert_shows(result.partition(",")[0].removeprefix("= "), value)
            assert_shows(page.locator(".entry-value mi").last.text_content(), value)
            case = page.locator(".derivation-steps h4").last.text_content()
            assert case == ("Case j = k" if j == k else "Case j ≠ k")


def test_every_slot_of_a_derivation_gets_its_value(visit):
    needed, given = visit().evaluate("""async () => {
      const [{entryValues}, {model}, {INITIAL}] = await Promise.all(
        ["#entry_derivation.js", "#store.js", "#state.js"].map((name) => import(name)));
      const templates = ["general", "same", "other"].map((name) => document.getElementById(`formula-steps-${name}`));
      const slots = templates.flatMap((template) => template.innerHTML.match(/\\{\\w+\\}/g));
      return [slots.map((slot) => slot.slice(1, -1)), Object.keys(entryValues(model(INITIAL)))];
    }""")
    assert set(needed) - {"each"} == set(given)


def test_arrow_keys_choose_every_entry(visit):
    page = visit("view=jacobian&entry=2,2")
    page.locator("#view-jacobian").focus()
    for _ in range(2):  # past the switch
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "gridcell"
    page.keyboard.press("Control+Home")
    for key, index in [
        ("", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowRight", 2), ("ArrowDown", 5), ("ArrowLeft", 4),
        ("ArrowLeft", 3), ("ArrowLeft", 3), ("ArrowDown", 6), ("ArrowDown", 6), ("End", 8), ("ArrowLeft", 7),
        ("Home", 6), ("ArrowUp", 3), ("Control+End", 8), ("Control+Home", 0), ("ArrowUp", 0),
    ]:  # fmt: skip
        if key:
            page.keyboard.press(key)
        assert chosen(page) == index
        assert page.evaluate("document.activeElement.ariaSelected") == "true"
    page.wait_for_function("location.hash.includes('entry=1,1')")


@pytest.mark.parametrize("touch", [False, True])
def test_every_entry_is_chosen_by_pointer(visit, touch):
    page = visit("view=jacobian", width=320 if touch else 1600, has_touch=touch)
    for index in [8, 0, 5, 3, 7, 1, 6, 2, 4]:
        cell = page.locator(CELLS).nth(index)
        cell.tap() if touch else cell.click()
        assert chosen(page) == index


def test_nudge(visit):
    page = visit("view=jacobian&entry=1,2")
    slider, field = page.get_by_label("Step h", exact=True), page.get_by_label("Step h, as a number")
    slider.focus()
    page.keyboard.press("Home")
    assert field.input_value() == slider.get_attribute("aria-valuetext") == "1e−8"
    page.wait_for_function("location.hash.includes('h=1e-8')")
    page.keyboard.press("End")
    assert field.input_value() == "2"
    for _ in range(26):
        page.keyboard.press("ArrowLeft")
    z, entry = np.array([2.0, 1, 0]), jacobian([2, 1, 0])[0, 1]
    rows = page.locator(".nudge tbody tr")
    assert rows.count() == 8
    for n, h in enumerate([0.1, 0.01]):
        cells = rows.nth(n).locator("td").all_text_contents()
        change = (sg.softmax(z + [0, h, 0]) - sg.softmax(z))[0]
        assert_shows(cells[0], change)
        assert_shows(cells[1], entry * h)
        assert_shows(cells[2], change - entry * h)
    factors = [float(text.removesuffix(" ×")) for text in rows.locator("td:nth-of-type(4)").all_text_contents()[1:]]
    assert all(abs(factor - 100) < 1 for factor in factors)
    assert "hundredfold" in page.locator(".nudge .verdict").text_content()
    assert "From h = 10⁻⁸ on" in page.locator(".nudge .note").text_content()


def test_the_verdict_on_a_nudge(visit):
    page = visit()
    for fragment, verdict, factor in [
        ("z=1,1&y=1,0&names=A,B", "thousandfold", "1000.0 ×"),  # the second derivative is 0
        ("diagonal=1", "tenfold", "10.0 ×"),
        ("diagonal=1&entry=1,1", "hundredfold", "100.0 ×"),
        ("z=2,1,-inf&entry=1,3", "Nothing changes", ""),
    ]:
        show(page, fragment)
        assert page.locator(".nudge tbody tr").last.locator("td").nth(3).text_content() == factor
        assert verdict in page.locator(".nudge .verdict").text_content()


def test_only_the_diagonal(visit):
    page = visit("view=jacobian")
    warning = page.locator("#view-jacobian .careful").first
    assert not warning.is_visible()
    switch = page.get_by_role("checkbox", name="only the diagonal")
    switch.focus()
    page.keyboard.press("Space")
    assert warning.is_visible()
    matrix = np.diag(np.diag(jacobian([2, 1, 0])))
    assert_cells_show(page.locator(CELLS), matrix)
    sums = page.locator("[role=grid] td.broken").all_text_contents()
    for text, value in zip(sums, [*matrix.sum(1), *matrix.sum(0)], strict=True):
        assert_shows(text.removesuffix(" ≠ 0"), value)
    laws = warning.locator("li").all_text_contents()
    for law, value in zip(laws, [matrix[0, 0], matrix[1, 1], -0.01669254521642909], strict=True):
        assert_shows(re.search(r"[+−]\d.*\d", law)[0], value)
    switch.uncheck()
    assert not warning.is_visible()


def test_the_diagonal_leads_to_descent(visit):
    page = visit("view=jacobian&diagonal=1")
    page.get_by_role("button", name="See where gradient descent goes").click()
    page.wait_for_function("location.hash.includes('method=diagonal')")
    assert page.locator("#tab-descent").get_attribute("aria-selected") == "true"


def test_classes_are_added_and_removed(visit):
    page = visit("view=jacobian&entry=3,3")
    page.get_by_role("button", name="Add a class").click()
    assert page.locator(CELLS).count() == 16
    assert chosen(page) == 10
    for _ in range(2):
        page.get_by_role("button", name="remove A").or_(page.get_by_role("button", name="remove B")).first.click()
    assert page.locator(CELLS).count() == 4
    assert chosen(page) in range(4)


def test_nothing_is_wider_than_the_page(visit):
    page = visit(f"view=jacobian&diagonal=1&{EIGHT.replace('names=A', 'names=a-long-name')}")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 1000})
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        page.wait_for_function("""() => [...document.querySelectorAll("#view-jacobian :is(.scroll, .formula)")]
          .filter((part) => part.scrollWidth > part.clientWidth)
          .every((part) => part.tabIndex === 0 || part.querySelector("[tabindex]"))""")
