"""Derivations as text."""

import re

import pytest
import sympy as sp

from softgrad.derivation import NAMES
from softgrad.derivation import _text as text
from softgrad.derivation._expressions import (
    cases,
    derivative,
    i,
    j,
    k,
    log,
    loss,
    quotient,
    sigma,
    sum_over,
    y,
    z,
)
from softgrad.derivation._notation import notation
from tests.derivation import derived, rendered

S = sum_over(i, sp.exp(z[i]))


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
