"""The tab of cross-entropy: its numbers are the library's, and every control works by mouse, keyboard and touch."""

import numpy as np
import pytest

import softgrad as sg
from tests.explorer.pages import assert_shown, show, table

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]

NAMES = "ABCDEFGH"
STATES = [
    ([2, 1, 0], [1, 0, 0], 0, 0),
    ([0.5, -3], [0.25, 0.75], 0.1, 0),
    ([4, 1, -2], [0.7, 0.2, 0.4], 0, 0.05),
    ([1, 2, 3, 4, 5, 6, 7, 8], [0, 0, 0.5, 0, 0, 0, 0, 0.5], 0.2, 0.01),
    ([0, 12, -np.inf], [0, 1, 0], 0, 0),
    ([0, 1, -np.inf], [0, 0.5, 0.5], 0, 0),
]


def fragment(z, q, smoothing, z_loss):
    logits = ",".join("-inf" if value == -np.inf else str(value) for value in z)
    weights, names = ",".join(map(str, q)), ",".join(NAMES[: len(z)])
    return f"view=cross-entropy&z={logits}&names={names}&y={weights}&smoothing={smoothing}&zloss={z_loss}"


def test_numbers_are_those_of_the_library(visit):
    page = visit("view=cross-entropy")
    for z, q, smoothing, z_loss in STATES:
        show(page, fragment(z, q, smoothing, z_loss))
        compare(page, np.array(z, float), np.array(q, float), smoothing, z_loss)


def compare(page, z, q, smoothing, z_loss):
    options = {"label_smoothing": smoothing, "z_loss": z_loss}
    loss, gradient = sg.cross_entropy_value_and_grad(z, q, reduction="none", **options)
    y = (1 - smoothing) * q + smoothing / len(q)
    p, log_p = sg.softmax(z), sg.log_softmax(z)
    terms = [0 if weight == 0 else -weight * value for weight, value in zip(y, log_p, strict=True)]

    rows = table(page, "Terms of the loss")
    assert_shown(rows.pop("loss ℓ"), [y.sum(), np.nan, loss])
    if z_loss:
        assert_shown(rows.pop("ζ lse²")[-1], z_loss * sg.logsumexp(z) ** 2)
    assert list(rows) == list(NAMES[: len(z)])
    assert_shown(list(rows.values()), np.transpose([y, log_p, terms]))

    slope = [2 * z_loss * sg.logsumexp(z) * p] if z_loss else []
    columns = [-y, y.sum() * p, *slope, gradient]
    assert_shown(list(table(page, "Terms of the gradient").values()), np.transpose(columns))
    hessian = sg.cross_entropy_hessian(z, q, reduction="none", **options).to_dense()
    assert_shown(list(table(page, "Second derivatives").values()), hessian)


def test_sentences_belong_to_the_target(visit):
    page = visit("view=cross-entropy")
    content = page.locator("#view-cross-entropy")
    assert "so the gradient is σk − yk: σ − 1 = −0.3348 for A" in content.inner_text()
    for q, smoothing, z_loss, sentence in [
        ("1,0,0.5", 0, 0, "The weights add up to 1.5000, not 1. The gradient is σk Σ y − yk with Σ y = 1.5000."),
        ("1,0,0.25", 0, 0, "The gradient is not σ − y: the factor of σ is Σ y = 1.2500. It is 0 where σk = yk/Σ y."),
        ("0.5,0,0.5", 0, 0, "The weights y add up to 1, so the gradient is σk − yk:"),
        ("1,0,0", 0.1, 0, "The weights y add up to 1, so the gradient is σk − yk:"),
        ("1,0,0", 0, 0.5, "the factor of σ is Σ y + 2ζ lse = 3.4076. It is 0 where σk = yk/Σ y and lse = 0."),
        ("0,0,0", 0, 0, "All weights are 0, so cross-entropy and its gradient are 0."),
    ]:
        show(page, f"view=cross-entropy&y={q}&smoothing={smoothing}&zloss={z_loss}")
        assert sentence in content.inner_text()


def test_a_target_at_a_masked_class_has_an_infinite_loss(visit):
    page = visit(fragment([0, 1, -np.inf], [0, 0, 1], 0, 0))
    assert table(page, "Terms of the loss")["loss ℓ"][-1] == np.inf
    assert page.get_by_text("The loss is ∞: C has the target weight 1.0000 and the probability 0.").is_visible()
    assert table(page, "Terms of the gradient")["C"] == [-1, 0, -1]


def weights(page):
    return [y for y, *_ in list(table(page, "Terms of the loss").values())[:3]]


def test_a_class_is_chosen_by_mouse_keyboard_and_touch(visit):
    page = visit("view=cross-entropy", has_touch=True)
    page.get_by_label("B is the true class").click()
    assert weights(page) == [0, 1, 0]
    page.keyboard.press("ArrowDown")
    assert weights(page) == [0, 0, 1]
    page.get_by_label("A is the true class").tap()
    assert weights(page) == [1, 0, 0]


def test_a_number_is_set_by_keyboard_mouse_touch_and_typing(visit):
    page = visit("view=cross-entropy", has_touch=True)
    for label in "target weight of B", "Label smoothing ε", "z-loss ζ":
        slider, field = page.get_by_label(label, exact=True), page.get_by_label(f"{label}, as a number")
        slider.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert field.input_value() == slider.get_attribute("aria-valuetext") == "0.02"
        assert slider.evaluate("(input) => document.activeElement === input")
        box = slider.bounding_box()
        slider.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
        assert abs(float(field.input_value()) - 0.5) < 0.02
        slider.tap(position={"x": box["width"] * 0.75, "y": box["height"] / 2})
        assert 0.7 < float(field.input_value()) < 0.8
        field.fill("0.25")
        field.press("Enter")
        assert slider.input_value() == "0.25"
    page.wait_for_url("**y=1,0.25,0&smoothing=0.25&zloss=0.25*")


def test_a_number_out_of_range_is_refused(visit):
    page = visit("view=cross-entropy")
    field = page.get_by_label("target weight of B, as a number")
    message = "(input) => input.validationMessage"
    for text in "1.5", "-0.1", "one":
        field.fill(text)
        field.press("Enter")
        assert field.evaluate(message) == f"expected a number from 0 to 1; received {text}"
        assert weights(page) == [1, 0, 0]
    page.get_by_label("C is the true class").click()
    assert field.input_value() == "0"
    assert field.evaluate(message) == ""


def test_bars_end_where_the_numbers_say(visit):
    page = visit(fragment([4, 1, -2], [0.7, 0.2, 0.4], 0, 0.05))
    rows = list(table(page, "Terms of the gradient").values())
    ends = page.locator(".gradient-bars rect").evaluate_all(
        "(bars) => bars.map((bar) => [parseFloat(bar.getAttribute('x')) - 50, parseFloat(bar.getAttribute('width'))])"
    )
    sums = page.locator(".gradient-bars line.sum").evaluate_all(
        "(lines) => lines.map((l) => parseFloat(l.getAttribute('x1')))"
    )
    unit = ends[0][1] / -rows[0][0]
    for k, (minus, plus, extra, total) in enumerate(rows):
        expected = [[minus, -minus], [0, plus], [plus, extra]]
        assert np.allclose(ends[3 * k : 3 * k + 3], unit * np.array(expected), atol=0.02)
        assert np.isclose(sums[k] - 50, unit * total, atol=0.02)
