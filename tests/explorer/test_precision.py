"""The precision view: its numbers beside those of the library, and its buttons."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import softgrad as sg
from softgrad import explorer

FLOAT32 = Path(explorer.__file__).parent / "scripts" / "float32.js"


@pytest.mark.needs("node")
def test_softgrads_formulas_are_those_of_the_library():
    """Both are within 2 ULP of exact, so they are within 4 of each other."""
    rng = np.random.default_rng(18)
    rows = [
        (rng.choice([1, 3, 20]) * rng.normal(size=C) + rng.choice([0, 1000])).astype(np.float32)
        for C in rng.integers(2, 9, size=300)
    ]
    labels = [int(rng.integers(len(row))) for row in rows]
    program = f"""
    import {{ results }} from {json.dumps(FLOAT32.as_uri())};
    const found = {json.dumps([[row.tolist(), label] for row, label in zip(rows, labels, strict=True)])}
      .map(([z, label]) => results(z, label).softgrad);
    console.log(JSON.stringify(found));
    """
    run = subprocess.run(
        ["node", "--input-type=module", "-"], input=program, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    for row, label, found in zip(rows, labels, json.loads(run.stdout), strict=True):
        loss, gradient = sg.cross_entropy_value_and_grad(row, label, reduction="none")
        library = np.array([sg.softmax(row)[label], loss, gradient[label]], dtype=np.float32)
        page = np.array([found["p"], found["loss"], found["gradient"]], dtype=np.float32)
        np.testing.assert_array_max_ulp(page, library, maxulp=4)


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
@pytest.mark.parametrize(
    "button, loss, softgrad",
    [("Confident", "0 0 of 9", "8.49670826·10⁻¹⁸ 9 of 9"), ("Large offset", "NaN 0 of 9", "0.407605976 9 of 9")],
)
def test_a_button_shows_its_row(visit, button, loss, softgrad):
    page = visit("view=precision")
    page.get_by_role("button", name=button).click()
    table = page.get_by_role("table", name="float32, digit by digit")
    rows = table.get_by_role("row").all_inner_texts()
    start = next(i for i, row in enumerate(rows) if row.startswith("Loss"))
    shown = [row.replace("\t", " ") for row in rows[start + 1 : start + 5]]
    assert shown[1].startswith(f"textbook: −log p {loss}")
    assert shown[3].startswith(f"softgrad: log1p(s′) + (m − z) {softgrad}")
    assert page.locator(".why p").count() == 1
