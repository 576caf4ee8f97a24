"""Derivations as LaTeX."""

import re

import pytest

from softgrad.derivation import NAMES
from tests.derivation import derived, rendered


@pytest.mark.parametrize("name", NAMES)
def test_latex_is_plain_ascii_and_balanced(name):
    document = rendered(name, "latex")
    assert document.isascii()
    assert "`" not in document
    for content in (document, derived(name)._repr_latex_()):
        bare = content.replace(r"\{", "").replace(r"\}", "")
        depth = 0
        for character in bare:
            depth += (character == "{") - (character == "}")
            assert depth >= 0
        assert depth == 0
        assert content.count(r"\left") == content.count(r"\right")
        opened = []
        for kind, environment in re.findall(r"\\(begin|end)\{(\w+\*?)\}", content):
            if kind == "begin":
                opened.append(environment)
            else:
                assert opened.pop() == environment
        assert not opened
        assert content.count("$") % 2 == 0
    assert document.startswith("\\documentclass")
    assert document.count("\\[") == document.count("\\]")


def test_latex_of_a_notebook_has_every_line():
    formulas = derived("softmax")._repr_latex_()
    assert formulas.isascii()
    assert formulas.startswith("$$\\begin{aligned}")
    assert formulas.count("&= ") == len(derived("softmax").steps)
