"""The table of mistakes by kinds in docs/checking.md: `python -m tests.checking.test_mistake_table` prints it."""

from collections import Counter
from pathlib import Path

import numpy as np

from softgrad.checking import _reference
from softgrad.checking._cause import DIVISIONS, MULTIPLES, SCALES
from softgrad.checking._setting import Setting
from softgrad.checking._terms import STEPS
from tests.checking.test_causes import PARTS, report_on

DOCUMENT = Path(__file__).parents[2] / "docs" / "checking.md"
HEADINGS = {
    "softmax": "softmax",
    "log-softmax": "log-softmax",
    "softmax-jacobian": "J",
    "log-softmax-jacobian": "J of log",
    "softmax-vjp": "VJP",
    "log-softmax-vjp": "VJP of log",
    "cross-entropy": "loss",
    "cross-entropy-grad": "gradient",
    "cross-entropy-hessian": "H",
    "cross-entropy-hvp": "HVP",
}


def factors(reference):
    for cause in (*SCALES, *DIVISIONS, *MULTIPLES):
        yield lambda batch, c=cause: c.factor(batch) * reference.exact(batch)


def negated(reference):
    yield lambda batch: -reference.exact(batch)


def zero(reference):
    yield lambda batch: np.zeros_like(reference.exact(batch))


def of_terms(step):
    def formulas(reference):
        for formula in reference.formulas:
            yield from (mistaken for _, mistaken in step(formula))

    return formulas


ROWS = {
    "constant factor: 2, ½, B, 1/B, C, 1/C, 1/(B·C)": factors,
    "negated": negated,
    "zero": zero,
    **{name: of_terms(step) for name, step in STEPS.items()},
}


def verdicts(reference, formulas):
    setting = Setting(has_head="W" in reference.arguments)
    return Counter(report_on(formula, reference, setting).verdict for formula in formulas(reference))


def cell(found):
    texts = [f"{found['wrong: known cause']}"] if found["wrong: known cause"] else []
    if found["pass"]:
        texts.append(f"{found['pass']} right")
    return ", ".join(texts) or "–"


def table():
    columns = [HEADINGS.get(reference.kind, reference.stage) for reference in PARTS]
    lines = [f"| mistake | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, formulas in ROWS.items():
        cells = [verdicts(reference, formulas) for reference in PARTS]
        # Every generated mistake is named, or gives the exact numbers.
        assert all(not found.keys() - {"wrong: known cause", "pass"} for found in cells), (name, cells)
        lines.append(f"| {name} | {' | '.join(map(cell, cells))} |")
    return "\n".join(lines)


def test_the_documented_table_is_what_the_checker_does():
    assert table() in DOCUMENT.read_text()


def test_every_kind_has_terms():
    assert all(reference.formulas for reference in _reference.REFERENCES)


if __name__ == "__main__":
    print(table())
