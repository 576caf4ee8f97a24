"""Notation of expressions and sentences, as text, LaTeX and MathML."""

import pytest
import sympy as sp

from softgrad.derivation import _text as text
from softgrad.derivation._expressions import (
    i,
    index_matrix,
    j,
    k,
    log,
    minus,
    power,
    sigma,
    sum_over,
    total,
    y,
    z,
)
from softgrad.derivation._expressions import product as times
from softgrad.derivation._html import block
from softgrad.derivation._html import prose as mathml_prose
from softgrad.derivation._latex import latex
from softgrad.derivation._latex import prose as latex_prose
from softgrad.derivation._notation import notation
from tests.derivation import well_formed

S = sum_over(i, sp.exp(z[i]))


NOTATION = [
    (times(y[j], total(sp.KroneckerDelta(j, k), minus(y[k]))), "yⱼ(δⱼₖ − yₖ)",
     r"y_{j}\left(\delta_{jk} - y_{k}\right)"),
    (minus(times(sigma(j), sigma(k))), "−σⱼ σₖ", r"{-}\sigma_{j} \, \sigma_{k}"),
    (power(S, 2), "(Σᵢ exp(zᵢ))²", r"\left(\sum_{i=1}^{n} e^{z_{i}}\right)^{2}"),
    (times(S, y[j]), "(Σᵢ exp(zᵢ)) yⱼ", r"\left(\sum_{i=1}^{n} e^{z_{i}}\right) \, y_{j}"),
    (sum_over(j, total(y[j], minus(z[j]))), "Σⱼ (yⱼ − zⱼ)", r"\sum_{j=1}^{n} \left(y_{j} - z_{j}\right)"),
    (minus(total(y[j], z[j])), "−(yⱼ + zⱼ)", r"{-}\left(y_{j} + z_{j}\right)"),
    (total(y[j], minus(total(y[k], z[j]))), "yⱼ − (yₖ + zⱼ)", r"y_{j} - \left(y_{k} + z_{j}\right)"),
    (times(y[j], minus(z[j])), "yⱼ(−zⱼ)", r"y_{j}\left({-}z_{j}\right)"),
    (times(sp.exp(z[k]), sp.S.One, y[k]), "exp(zₖ) · 1 · yₖ", r"e^{z_{k}} \cdot 1 \cdot y_{k}"),
    (log(sigma(j)), "log σⱼ", r"\log \, \sigma_{j}"),
    (sp.Eq(sum_over(j, y[j]), 1), "Σⱼ yⱼ = 1", r"\sum_{j=1}^{n} y_{j} = 1"),
    (sp.Ne(j, k), "j ≠ k", r"j \ne k"),
    (index_matrix(y[j]), "[yⱼ]ⱼₖ", r"\left[y_{j}\right]_{jk}"),
    (sp.Symbol("∇lse"), "∇lse", r"\nabla\mathrm{lse}"),
]  # fmt: skip


@pytest.mark.parametrize("expression, as_text, as_latex", NOTATION)
def test_notation_keeps_order_and_sets_brackets(expression, as_text, as_latex):
    assert text.formula(notation(expression)).lines == [as_text]
    assert latex(notation(expression)) == as_latex
    assert well_formed(block(notation(expression)))


def test_sentences_hold_mathematics():
    sentence = "So `exp z_j · u log σ_j = 0`, if `n^2 ≠ 1` & `xᵀ`."
    assert text.inline(sentence) == "So exp(zⱼ) · u log σⱼ = 0, if n² ≠ 1 & xᵀ."
    assert latex_prose(sentence) == (r"So $e^{z_{j}} \cdot u \log \sigma_{j} = 0$, if $n^{2} \ne 1$ \& $x^{\top}$.")
    gap = '<mspace width="0.2em"/>'
    z_j, sigma_j = (f"<msub><mi>{letter}</mi><mrow><mi>j</mi></mrow></msub>" for letter in "zσ")
    assert mathml_prose(sentence) == (
        f"So <math><msup><mi>e</mi>{z_j}</msup><mo>·</mo><mi>u</mi>{gap}<mi>log</mi>{gap}{sigma_j}<mo>=</mo><mn>0</mn>"
        "</math>, if <math><msup><mi>n</mi><mn>2</mn></msup><mo>≠</mo><mn>1</mn></math> &amp; "
        '<math><msup><mi>x</mi><mo lspace="0" rspace="0">⊤</mo></msup></math>.'
    )
