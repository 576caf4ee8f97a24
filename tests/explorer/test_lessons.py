"""The lessons in the page: from the first to the last, by what a reader does."""

import pytest


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_a_reader_answers_all_five(visit):
    page = visit()
    answer, following = page.locator(".lessons .answer"), page.locator(".lessons .next")

    def title():
        return page.locator("#lesson-title:focus").inner_text()

    def answered():
        return answer.inner_text().startswith("Yes. ") and following.is_visible()

    def set_logit(index, value):
        page.locator(".classes input.number").nth(index).fill(value)
        page.locator(".classes input.number").nth(index).press("Enter")

    page.get_by_role("button", name="Start the lessons").click()
    assert title() == "Lesson 1 of 5. What softmax does"
    assert answer.inner_text().replace("\n", "") == "σB is 0.2447."
    assert not following.is_visible()
    set_logit(1, "6")
    assert answered()
    following.click()
    assert title().startswith("Lesson 2")
    assert page.get_by_role("tabpanel", name="Jacobian").is_visible()
    assert not answered()
    set_logit(0, "6")
    assert answered()
    following.click()
    assert title().startswith("Lesson 3")
    assert not answered()
    page.wait_for_function("location.hash.includes('lesson=3')")
    page.evaluate("location.hash += '&entry=2,1'")
    page.wait_for_function("document.querySelector('.lessons .answer').textContent.startsWith('Yes. ')")
    following.click()
    assert title().startswith("Lesson 4")
    assert page.get_by_role("tabpanel", name="Cross-entropy").is_visible()
    set_logit(0, "3.04")
    assert answered()
    following.click()
    assert title().startswith("Lesson 5")
    page.wait_for_function("location.hash.includes('lesson=5')")
    page.evaluate("location.hash += '&y=0,1,0'")
    page.wait_for_function("document.querySelector('.lessons .answer').textContent.startsWith('Yes. ')")
    assert following.inner_text() == "Finish"
    following.click()
    assert page.get_by_role("button", name="Start the lessons").is_visible()
    assert not following.is_visible()
    assert page.locator(".classes input.number").evaluate_all("(inputs) => inputs.map(({value}) => value)") == [
        "3.04",
        "6",
        "0",
    ]


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_a_hint_comes_when_asked_and_after_a_wrong_answer(visit):
    page = visit("lesson=1")
    hint, ask = page.get_by_text("Hint: "), page.get_by_role("button", name="Hint")
    assert not hint.is_visible()
    ask.click()
    assert hint.is_visible()
    assert not ask.is_visible()
    page.get_by_role("button", name="Lesson 4").click()
    assert not hint.is_visible()
    page.locator(".classes input.number").first.fill("1")
    page.locator(".classes input.number").first.press("Enter")
    hint.wait_for()


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_a_lesson_leads_back_to_its_tab_and_keeps_its_answer(visit):
    page = visit("lesson=1&z=0,5,0&view=precision")
    go = page.get_by_role("button", name="Go to the tab Softmax")
    answer = page.locator(".lessons .answer")
    assert answer.inner_text().startswith("Yes. ")
    page.locator(".classes input.number").nth(1).fill("0")
    page.locator(".classes input.number").nth(1).press("Enter")
    assert answer.inner_text().startswith("Yes. ")
    assert page.get_by_role("button", name="Lesson 1, answered").is_visible()
    assert page.locator(".lessons .result").get_by_text("Now: ").inner_text().replace("\n", "") == "Now: σB is 0.3333."
    go.click()
    assert page.get_by_role("tab", name="Softmax").get_attribute("aria-selected") == "true"
    assert not go.is_visible()
    page.get_by_role("button", name="Close the lessons").click()
    page.wait_for_function("!location.hash.includes('lesson')")
