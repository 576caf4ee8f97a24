"""The code that reports show is right in the setting of the check."""

import itertools
import textwrap

import numpy as np
import pytest

from softgrad import checking
from softgrad.checking import _run_check
from softgrad.checking._code import right_code
from softgrad.checking._reference import REFERENCES
from tests.checking.test_causes import PARTS
from tests.checking.test_settings import OPTIONS

MODES = [{}, {"batched": False}, {"from_logits": False}, {"batched": False, "from_logits": False}]


def settings(reference):
    """The options of a check, in all combinations that it takes."""
    modes = MODES[:2] if reference.kind == "softmax" else MODES[:1] if reference.parts else MODES
    for mode, options in itertools.product(modes, OPTIONS.values() if reference.is_loss else [{}]):
        if not ("from_logits" in mode and "z_loss" in options):
            left_out = {"reduction"} if "batched" in mode else set()
            yield mode | {name: value for name, value in options.items() if name not in left_out}


def defined(code):
    """The function that indented code defines."""
    names = {}
    exec(textwrap.dedent(code), {"np": np}, names)
    (function,) = names.values()
    return function


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: r.kind)
def test_the_code_passes_the_check(reference, monkeypatch):
    check = getattr(checking, f"check_{reference.kind.replace('-', '_')}")
    for options in settings(reference):
        with monkeypatch.context() as patch:
            patch.setattr(_run_check, "run_stages", lambda function: function)
            function = check(print, **options)
        code = right_code(reference.kind, function.names, function.setting)
        report = check(defined(code), **options)
        assert report.passed, f"{options}\n{code}\n{report}"
        assert max(map(len, code.splitlines())) <= 78  # of 80 columns


def test_reports_show_no_other_code():
    for reference in PARTS:
        for cause in reference.causes:
            lines = [line for line in cause.advice.splitlines() if line.startswith("    ")]
            assert not lines or cause.name == "derivatives across rows kept", (reference.kind, cause)
