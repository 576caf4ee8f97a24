"""The tab of descent: its paths are the library's, and every control works by mouse, keyboard and touch."""

import re

import numpy as np
import pytest

import softgrad as sg
from tests.explorer.pages import assert_shown, show, table

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]

RATE, DAMPING = 0.5, 0.1  # of the initial state


def change(method, z, q):
    gradient = sg.cross_entropy_grad(z, q, reduction="none")
    if method == "newton":
        return sg.cross_entropy_hessian(z, q, reduction="none").solve(gradient, damping=DAMPING)
    return RATE * (gradient if method == "gradient" else -q * (1 - sg.softmax(z)))


def path(method, z, q, steps):
    points = [np.array(z, float)]
    for _ in range(steps):
        points.append(points[-1] - change(method, points[-1], np.array(q, float)))
    return np.array(points)


def table_rows(z, q):
    """Rows of the table: loss and probabilities."""
    losses = sg.cross_entropy(z, np.tile(np.array(q, float), (len(z), 1)), reduction="none")
    return np.column_stack([losses, sg.softmax(z)])


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def steps(page):
    return int(re.search(r"Step (\d+): the loss", page.locator("#view-descent").inner_text()).group(1))


def status(page):
    return page.locator("#view-descent").get_by_role("status").inner_text()


def test_numbers_are_those_of_the_library(visit):
    page = visit("view=descent")
    page.get_by_text("The numbers of every step").click()
    for method in "gradient", "diagonal", "newton":
        for z, q in [
            ([2, -1], [0, 1]),
            ([2, 1, 0], [0.7, 0.2, 0.3]),
            ([1, 2, 3, 4, 5, 6, 7, 8], [0, 0, 0.5, 0, 0, 0, 0, 0.5]),
            ([0, 1, -np.inf], [0.5, 0.5, 0]),
        ]:
            logits = ",".join("-inf" if value == -np.inf else str(value) for value in z)
            names = ",".join("ABCDEFGH"[: len(z)])
            show(page, f"view=descent&method={method}&z={logits}&names={names}&y={','.join(map(str, q))}")
            for _ in range(3):
                button(page, "Step").click()
            assert_shown(list(table(page, "Path:").values()), table_rows(path(method, z, q, 3), q))
            end = path(method, z, q, 3)[-1]
            moved = np.where(np.isfinite(z), end - np.where(np.isfinite(z), z, 0), 0)
            shown = [sg.softmax(np.array(z, float)), sg.softmax(end), np.array(q) / np.sum(q), moved]
            assert_shown(list(table(page, "Where the path stands").values()), np.transpose(shown))
            assert page.locator(".simplex").is_visible() == (len(z) == 3)


def test_a_run_says_why_it_ends(visit):
    page = visit("view=descent", reduced_motion="reduce")
    for fragment, reason, count in [
        ("y=0.7,0.2,0.1&method=newton", "Converged: no component of the gradient is above 10⁻⁶.", None),
        ("y=0.7,0.2,0.1", "Converged: no component of the gradient is above 10⁻⁶.", None),
        ("y=1,0,0&rate=0.1", "Stopped after 500 steps.", 500),
        ("y=0.4,0.3,0.3&method=diagonal&rate=10", "Stopped: all logits rise by the same amount", None),
        ("z=300,0,0&zloss=1&rate=100", "Stopped: the next step overflows. Choose a smaller η, or a larger λ.", None),
        ("z=-8,-9,-9&zloss=1&method=newton", "Stopped: H + λI is not positive definite here", 0),
        ("z=0,0,-inf&y=0,0,1", "The loss is ∞: the target gives weight to a class with a logit of −∞", 0),
    ]:
        show(page, f"view=descent&{fragment}")
        assert status(page) == ""
        button(page, "Run").click()
        assert status(page).startswith(reason), fragment
        assert button(page, "Run").is_visible()
        assert count is None or steps(page) == count
    assert table(page, "Where the path stands")["C"] == [0, 0, 1, 0]


def test_a_run_with_motion_can_be_paused(visit):
    page = visit("view=descent&rate=0.01&y=0,0,1")
    button(page, "Run").click()
    page.wait_for_function("document.querySelector('#view-descent').innerText.match(/Step [1-9]/)")
    button(page, "Pause").click()
    count = steps(page)
    assert 0 < count < 500
    page.wait_for_timeout(100)
    assert steps(page) == count
    # Pauses within one frame leave one run: the page asks for one frame at a time.
    asked = page.evaluate("""() => new Promise((resolve) => {
      const ask = requestAnimationFrame, run = document.querySelectorAll("#view-descent .controls button")[1];
      let count = 0;
      for (let i = 0; i < 5; i++) run.click();
      window.requestAnimationFrame = (callback) => { count++; return ask.call(window, callback); };
      ask(() => ask(() => resolve(count)));
    })""")
    assert asked == 2
    button(page, "Pause").click()
    button(page, "Run").click()
    page.get_by_role("tab", name="Softmax").click()
    page.wait_for_timeout(100)
    page.get_by_role("tab", name="Descent").click()
    assert button(page, "Run").is_visible()


def test_buttons_work_by_keyboard_and_touch(visit):
    page = visit("view=descent&y=0,0,1", has_touch=True, reduced_motion="reduce")
    button(page, "Step").tap()
    assert steps(page) == 1
    page.keyboard.press("Enter")
    assert steps(page) == 2
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert steps(page) == 500
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert steps(page) == 0
    assert status(page) == ""


def test_settings_work_by_keyboard_mouse_and_touch(visit):
    page = visit("view=descent", has_touch=True)
    page.get_by_role("radio", name="gradient").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("radio", name="only the diagonal").is_checked()
    page.get_by_role("radio", name="Newton").tap()
    damping = page.get_by_label("Damping λ", exact=True)
    damping.focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("Damping λ, as a number").input_value() == "0.11"
    assert not page.get_by_label("Learning rate η", exact=True).is_visible()
    page.get_by_label("Compare with").select_option("gradient")
    rate = page.get_by_label("Learning rate η", exact=True)
    box = rate.bounding_box()
    rate.click(position={"x": box["width"] - 3, "y": box["height"] / 2})
    field = page.get_by_label("Learning rate η, as a number")
    assert float(field.input_value()) > 90
    field.fill("0")
    field.press("Enter")
    refusal = field.evaluate("(input) => input.validationMessage")
    assert refusal == "expected a number from 0.001 to 100; received 0"
    field.fill("0.25")
    field.press("Enter")
    page.wait_for_url("**method=newton&rate=0.25&damping=0.11")


def test_a_path_belongs_to_its_start_and_its_settings(visit):
    page = visit("view=descent")
    for label, value in [
        ("logit of B", "1.5"),
        ("Temperature T", "0.5"),
        ("Learning rate η", "0.1"),
    ]:
        button(page, "Step").click()
        assert steps(page) == 1
        page.get_by_label(label, exact=True).fill(value)
        assert steps(page) == 0
    page.get_by_label("Compare with").select_option("newton")
    button(page, "Step").click()
    page.get_by_label("name of class 1").fill("cat")
    assert steps(page) == 1
    page.get_by_role("tab", name="Cross-entropy").click()
    page.get_by_label("B is the true class").click()
    page.get_by_role("tab", name="Descent").click()
    assert steps(page) == 0


def test_the_end_of_a_path_becomes_the_logits(visit):
    page = visit("view=descent&T=2&y=0.7,0.2,0.1", reduced_motion="reduce")
    button(page, "Run").click()
    target = table(page, "Where the path stands")
    button(page, "Move the sliders here").click()
    assert steps(page) == 0
    assert_shown([row[0] for row in table(page, "Where the path stands").values()], [row[1] for row in target.values()])
    shown = [page.get_by_label(f"logit of {name}, as a number").input_value() for name in "ABC"]
    logits = np.array([float(text.replace("−", "-")) for text in shown]) / 2
    np.testing.assert_allclose(sg.softmax(logits), [0.7, 0.2, 0.1], atol=1e-4)


def test_two_methods_are_compared(visit):
    page = visit("view=descent&y=0.7,0.2,0.1&method=diagonal")
    page.get_by_label("Compare with").select_option("newton")
    for _ in range(2):
        button(page, "Step").click()
    page.get_by_text("The numbers of every step").click()
    z, q = [2, 1, 0], [0.7, 0.2, 0.1]
    assert_shown(list(table(page, "Path: diagonal").values()), table_rows(path("diagonal", z, q, 2), q))
    assert_shown(list(table(page, "Path: Newton").values()), table_rows(path("newton", z, q, 2), q))
    # The path in the triangle: corners are A, B and C.
    corners = page.locator(".simplex .frame").get_attribute("points").split()
    corners = np.array([list(map(float, corner.split(","))) for corner in corners])
    for kind, method in [("line", "diagonal"), ("dashed", "newton")]:
        points = page.locator(f".simplex .trace.{kind}").get_attribute("points").split()
        found = np.array([list(map(float, point.split(","))) for point in points])
        np.testing.assert_allclose(found, sg.softmax(path(method, z, q, 2)) @ corners, atol=0.06)
    assert page.locator(".path-chart .line.dashed").count() == 4  # the loss, and three classes
    page.get_by_label("Compare with").select_option("diagonal")
    assert page.locator(".path-chart .line.dashed").count() == 0


def test_the_pitfall_is_told_with_its_numbers(visit):
    page = visit("view=descent&y=0.7,0.2,0.1&method=diagonal", reduced_motion="reduce")
    note = page.get_by_text("The diagonal alone is wrong")
    button(page, "Run").click()
    end = path("diagonal", [2, 1, 0], [0.7, 0.2, 0.1], 500)
    losses = table_rows(end, [0.7, 0.2, 0.1])[:, 0]
    lowest = -np.sum(np.array([0.7, 0.2, 0.1]) * np.log([0.7, 0.2, 0.1]))
    assert losses[-1] > losses[0]
    assert f"the loss is {losses[-1]:.4f}, and the lowest possible {lowest:.4f}." in note.inner_text()
    show(page, "view=descent&method=diagonal")
    button(page, "Step").click()
    p = sg.softmax(path("diagonal", [2, 1, 0], [1, 0, 0], 1)[-1])
    assert f"The logit of B never falls, although its gradient is σ = {p[1]:.4f}." in note.inner_text()
    show(page, "view=descent&y=0.7,0.3,0&method=diagonal")
    assert page.get_by_text("The target, from the tab Cross-entropy, is y = (0.70, 0.30, 0).").is_visible()
    button(page, "Run").click()
    assert "With only two weights that is still σ = y/Σ y." in note.inner_text()
    assert [row[1:3] for row in table(page, "Where the path stands").values()][:2] == [[0.7, 0.7], [0.3, 0.3]]


def test_pictures_fit_and_are_hidden_from_screen_readers(visit):
    page = visit("view=descent&y=0.7,0.2,0.1&names=cat,hippopotamus,hippopotamus", width=320)
    inside = """(names) => names.every((name) => {
      const [box, picture] = [name, name.ownerSVGElement].map((element) => element.getBoundingClientRect());
      return picture.left <= box.left && box.right <= picture.right;
    })"""
    assert page.locator(".simplex text").evaluate_all(inside)
    for view in "view=descent&y=0.7,0.2,0.1", "view=cross-entropy&y=0.7,0.2,0.1&zloss=0.1":
        show(page, view)
        for width in 320, 768, 1600:
            page.set_viewport_size({"width": width, "height": 1000})
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
            narrow = "(list) => list.filter((block) => block.scrollWidth > block.clientWidth).length"
            assert page.locator("[role=tabpanel]:visible .formula:visible").evaluate_all(narrow) == 0
    assert page.locator("svg").evaluate_all("(list) => list.every((svg) => svg.closest('[aria-hidden=true]'))")
