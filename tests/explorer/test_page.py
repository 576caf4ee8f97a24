"""The page as a whole: self-contained, accessible, right at every width, in both themes, by keyboard and by touch."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from softgrad import explorer
from tests import browser
from tests.explorer.conftest import WIDTHS

SCRIPTS = Path(explorer.__file__).parent / "scripts"
# Every element that Tab reaches, in the order of the document; of several radio buttons the checked one.
CONTROLS = """[...document.querySelectorAll("button, input, select, summary, [tabindex]")].filter((element) =>
  element.tabIndex >= 0 && !element.disabled && element.checkVisibility({ visibilityProperty: true }) &&
  !(element.type === "radio" && !element.checked))"""
PAUSE = 400  # milliseconds after which the page looks for parts that scroll
# Of axe's rules only that of the contrast sees the theme.
AXE_RULES = {"light": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"], "dark": ["color-contrast"]}
AXE = """([part, runOnly]) =>
  axe.run({ include: [part], exclude: [["math"]] }, { runOnly, resultTypes: ["violations"] })
  .then(({ violations }) => violations.flatMap(({ help, nodes }) => nodes.map(({ html }) => `${help}: ${html}`)))"""


@pytest.fixture(scope="module")
def content():
    return explorer.page()


def tabs(page):
    """The tabs of the page, each chosen in turn."""
    names = page.get_by_role("tab").all_inner_texts()
    assert names[0] == "Softmax"
    for name in names:
        page.get_by_role("tab", name=name, exact=True).click()
        page.wait_for_timeout(PAUSE)
        yield name


def test_no_attribute_names_another_file(content):
    reader = browser.Reader(re.sub(r"<input[^>]*>", "", content))
    assert not [attribute for attribute in reader.attributes if attribute[1] in {"src", "href", "srcset", "action"}]
    assert not re.search(r"https?://(?!www\.w3\.org/)", content)
    assert "url(" not in content
    assert "@import" not in content


def test_every_module_is_in_the_import_map(content):
    modules = json.loads(re.search(r'<script type="importmap">(.*?)</script>', content, re.DOTALL)[1])["imports"]
    assert modules.keys() == {f"#{path.name}" for path in SCRIPTS.glob("*.js")}
    imported = {
        name
        for path in SCRIPTS.glob("*.js")
        for name in re.findall(r'^(?:import|export) .*?from "(.*?)";$', path.read_text(), re.DOTALL | re.MULTILINE)
    }
    assert imported <= modules.keys()
    assert imported | {"#main.js"} == modules.keys()


def test_size(content):
    assert len(content.encode()) < 300_000


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
@pytest.mark.needs("axe-core")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_tab_is_accessible_and_fits(visit, node_modules, theme):
    page = visit("lesson=1", width=WIDTHS[0], theme=theme)  # where targets are closest to each other
    page.add_script_tag(path=node_modules / "axe-core" / "axe.min.js")
    found, part = [], "body"
    for name in tabs(page):
        found += [f"{name}: {violation}" for violation in page.evaluate(AXE, [part, AXE_RULES[theme]])]
        part = "[role=tabpanel]:not([hidden])"  # the rest stays as it is
        for width in reversed(WIDTHS):
            page.set_viewport_size({"width": width, "height": 1000})
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            found += [f"{name}: {overflow} px wider than the window of {width} px"] if overflow > 0 else []
    assert not found, "\n".join(found)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if theme == "light" else "rgb(20, 22, 26)"
    )


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
@pytest.mark.parametrize("width", [320, 1600])
def test_tab_reaches_every_control_in_order(visit, width):
    page = visit("lesson=1", width=width)
    for name in tabs(page):
        page.evaluate("() => { const h1 = document.querySelector('h1'); h1.tabIndex = -1; h1.focus(); }")
        index, count = -1, 16  # at the least
        while index < count - 1:
            page.keyboard.press("Tab")
            index += 1
            at, count, control, outline, inside = page.evaluate(f"""() => {{
              const controls = {CONTROLS};
              const active = document.activeElement, box = active.getBoundingClientRect();
              const drawn = active.matches(".choice input") ? active.nextElementSibling : active;
              const outline = getComputedStyle(drawn).outlineStyle;
              const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
              return [controls.indexOf(active), controls.length, active.outerHTML, outline, inside];
            }}""")
            assert at == index, f"{name}: Tab {index} is at {control}"
            assert outline not in {"none", ""}, f"{name}: no focus is seen at {control}"
            assert inside, f"{name}: {control} has the focus outside the window"


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_keys_move_sliders_tabs_and_choices(visit):
    page = visit()
    page.get_by_label("logit of A", exact=True).first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".classes input.number").first.input_value() == "2.01"
    names = page.get_by_role("tab").all_inner_texts()
    page.get_by_role("tab", name=names[0]).focus()
    for key, index in [("ArrowLeft", -1), ("ArrowRight", 0), ("ArrowRight", 1), ("End", -1), ("Home", 0)]:
        page.keyboard.press(key)
        assert page.locator("[role=tab]:focus").inner_text() == names[index]
        assert page.locator("[role=tab][aria-selected=true]").inner_text() == names[index]
        assert page.get_by_role("tabpanel").count() == 1
    page.get_by_label("linear").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("logarithmic").is_checked()
    page.wait_for_function("location.hash.includes('scale=log')")


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_what_is_chosen_stays_legible_under_the_mouse(visit):
    page = visit("lesson=1&z=-inf,5,0")
    for name in "mask A", "Lesson 1", "Next lesson":
        button = page.get_by_role("button", name=name)
        button.hover()
        assert button.evaluate("(button) => getComputedStyle(button).backgroundColor") == "rgb(29, 88, 179)", name


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_a_finger_moves_what_a_mouse_moves(visit):
    page = visit(width=400, has_touch=True, is_mobile=True)
    slider = page.locator(".classes input[type=range]").nth(1)
    box = slider.bounding_box()
    page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    assert 10 < float(slider.input_value()) < 13
    page.get_by_label("logarithmic").tap()
    page.get_by_role("button", name="remove C").tap()
    assert page.get_by_label("logarithmic").is_checked()
    assert page.locator(".classes li").count() == 2
    for name in page.get_by_role("tab").all_inner_texts():
        page.get_by_role("tab", name=name, exact=True).tap()
        assert page.get_by_role("tabpanel", name=name, exact=True).is_visible()
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, summary")]
          .filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < 24)
          .map((element) => element.outerHTML.slice(0, 150))"""
    )
    assert not small, "too low for a finger: " + "\n".join(small)


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_classes(visit):
    page = visit()
    rows = page.locator(".classes li")
    add = page.get_by_role("button", name="Add a class")
    while add.is_enabled():
        add.click()
    assert page.get_by_label("name of class").evaluate_all("(inputs) => inputs.map(({value}) => value).join('')") == (
        "ABCDEFGH"
    )
    page.get_by_label("name of class 2").fill("bird")
    page.get_by_role("button", name="mask bird").click()
    assert rows.nth(1).locator(".value").inner_text() == "0"
    assert page.get_by_label("logit of bird", exact=True).first.is_disabled()
    while page.get_by_role("button", name="remove A").count():
        page.get_by_role("button", name="remove A").click()
    assert page.get_by_label("name of class 1").input_value() == "bird"
    for _ in range(5):
        page.get_by_role("button", name=re.compile("^remove")).last.click()
    assert rows.count() == 2
    assert page.get_by_role("button", name="remove bird").is_disabled()
    page.wait_for_function("location.hash === '#z=-inf,0&names=bird,C&y=1,0'")


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_numbers_are_read_or_refused(visit):
    page = visit()
    number = page.locator(".classes input.number").first
    probability = page.locator(".classes .value").first
    for text, shown in [("1,5", "0.5465"), ("-inf", "0"), ("−30e−1", "0.0132"), ("1e3", "1.0000"), ("2", "0.6652")]:
        number.fill(text)
        number.press("Enter")
        assert probability.inner_text() == shown
    for text in ["two", "", "1e7", "inf"]:
        number.fill(text)
        number.press("Enter")
        assert f"received {text or 'nothing'}" in number.evaluate("(input) => input.validationMessage")
        assert probability.inner_text() == "0.6652"
    page.get_by_role("button", name="mask B").click()
    page.get_by_role("button", name="mask C").click()
    number.fill("-inf")
    number.press("Enter")
    refusal = "expected a number from −1000000 to 1000000, because all other classes are masked; received -inf"
    assert number.evaluate("(input) => input.validationMessage") == refusal


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_presets_temperature_and_bars(visit):
    page = visit("names=x,y,z")
    preset = page.get_by_label("Preset")
    for option in page.locator("#preset option").all_inner_texts()[1:]:
        preset.select_option(option)
        assert preset.input_value() == ""
    assert page.locator(".classes input.number").first.input_value() == "1002"
    assert page.locator(".classes .value").all_inner_texts() == ["0.6652", "0.2447", "0.0900"]
    assert page.get_by_label("name of class 1").input_value() == "A"
    page.get_by_label("Temperature T", exact=True).fill("1")
    assert page.locator(".classes .value").first.inner_text() == "0.3672"
    assert page.get_by_text("The sliders are divided by T").is_visible()
    widths = page.locator(".classes .fill").evaluate_all("(bars) => bars.map((bar) => parseFloat(bar.style.width))")
    assert widths[0] == pytest.approx(36.72, abs=0.01)
    page.get_by_label("logarithmic").click()
    widths = page.locator(".classes .fill").evaluate_all("(bars) => bars.map((bar) => parseFloat(bar.style.width))")
    assert widths[0] == pytest.approx(97.8, abs=0.1)


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_the_address_is_the_state(visit):
    page = visit("z=1,2&view=precision")
    numbers = page.locator(".classes input.number")
    expected = lambda *values: page.wait_for_function(  # noqa: E731
        "(values) => [...document.querySelectorAll('.classes input.number')].map(({value}) => value).join() === values",
        arg=",".join(values),
    )
    expected("1", "2")
    assert page.get_by_role("tabpanel", name="Precision").is_visible()
    page.evaluate("location.hash = 'z=3,4,5'")
    expected("3", "4", "5")
    assert page.get_by_role("tabpanel", name="Softmax").is_visible()
    page.go_back()
    expected("1", "2")
    page.go_forward()
    expected("3", "4", "5")
    numbers.first.fill("7")
    numbers.first.press("Enter")
    page.wait_for_function("location.hash === '#z=7,4,5'")
    page.reload()
    expected("7", "4", "5")
    # The page is about to write its state when a link is followed, whose event comes later.
    page.evaluate("""() => {
      const set = window.setTimeout, callbacks = [], number = document.querySelector(".classes input.number");
      window.setTimeout = (callback) => callbacks.push(callback);
      number.value = "8";
      number.dispatchEvent(new Event("change"));
      window.setTimeout = set;
      location.hash = "z=6,6,6";
      callbacks.forEach((callback) => callback());
    }""")
    expected("6", "6", "6")
    page.wait_for_function("location.hash === '#z=6,6,6'")


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_a_part_of_the_address_that_cannot_be_read_is_reported(visit):
    page = visit("z=1,two&T=2")
    notice = page.get_by_role("alert")
    assert "z=1,two: expected 2 to 8 numbers" in notice.inner_text()
    assert page.locator(".classes input.number").first.input_value() == "2"
    assert page.get_by_label("Temperature T, as a number").input_value() == "2"
    page.evaluate("location.hash = 'z=1,2'")
    notice.wait_for(state="hidden")
    page.evaluate("location.hash = 'z=%3Cscript%3E&view=constructor&=&%'")
    notice.wait_for()
    assert notice.get_by_role("listitem").count() == 4


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_without_javascript_the_page_says_so(chromium, address):
    with chromium.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        assert page.locator("noscript p").is_visible()


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_names_are_text(visit):
    names = ["<b>", "{each}", "{value}", "__proto__", " "]
    page = visit("z=1,2,3,4,5&names=" + ",".join(map(quote, names)))
    for name in tabs(page):
        headings = page.locator("[role=tabpanel]:visible tbody th").all_inner_texts()
        shown = [any(each in heading for heading in headings) for each in [*names[:4], "class 5"]]
        assert name == "Precision" or all(shown)


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_nothing_is_read_out_while_a_slider_moves(visit):
    page = visit("view=cross-entropy&lesson=4")
    page.get_by_text("The weights add up to 1.").nth(1).wait_for(state="attached")  # read out after the start
    moving = page.evaluate("""async () => {
      window.spoken = [];
      const read = (changes) => spoken.push(...changes.map(({ target }) => target.textContent));
      for (const element of document.querySelectorAll("[aria-live], [role=status], output"))
        new MutationObserver(read).observe(element, { childList: true, subtree: true, characterData: true });
      const sliders = document.querySelectorAll(".logits input[type=range]");
      for (const slider of [sliders[0], [...sliders].at(-1)])
        for (let step = 0; step < 5; step++) {
          slider.stepUp();
          slider.dispatchEvent(new Event("input", { bubbles: true }));
        }
      await Promise.resolve();
      return [...spoken];
    }""")
    assert moving == []
    page.wait_for_function("spoken.length >= 2")
    loss, probabilities = page.evaluate("spoken")
    assert loss.startswith("The loss is 0.")
    assert probabilities.startswith("A: 0.")


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_the_focus_is_never_lost(visit):
    page = visit("lesson=1&z=1,2,3,4,5,6,7&names=A,B,C,D,E,F,G&diagonal=1&view=jacobian")
    focus = page.locator(":focus")
    for button, role, name in [
        ("Add a class", "button", "remove H"),
        ("remove H", "button", "remove G"),
        ("remove B", "button", "remove C"),
        *((f"remove {removed}", "button", f"remove {following}") for removed, following in ["CD", "DE", "EF"]),
        ("remove F", "button", "Add a class"),
        ("See where gradient descent goes", "tab", "Descent"),
        ("Go to the tab Softmax", "tab", "Softmax"),
    ]:
        page.get_by_role("button", name=button).focus()
        page.keyboard.press("Enter")
        assert focus.and_(page.get_by_role(role, name=name)).count() == 1, button
    page.get_by_role("button", name="Hint").press("Enter")
    assert focus.inner_text().startswith("Hint: ")


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_high_contrast_shows_what_is_chosen(visit):
    page = visit("view=jacobian&lesson=1", forced_colors="active")
    background = "(element) => getComputedStyle(element).backgroundColor"
    for chosen, other in [
        ("[role=tab][aria-selected=true]", "[role=tab][aria-selected=false]"),
        (".choice input:checked + span", ".choice input:not(:checked) + span"),
        (".lessons [aria-pressed=true]", ".lessons [aria-pressed=false]"),
        (".classes .fill", ".classes .bar"),
        (".heat td.plus", ".heat td.minus"),
    ]:
        assert page.locator(chosen).first.evaluate(background) != page.locator(other).first.evaluate(background)
