"""SciPy's own tests of softmax, log_softmax and logsumexp, as its wheel ships them, run on ours.

Left out are those of arguments that these functions of ours do not have: complex numbers, weights b, signs.
"""

import inspect
import itertools

import numpy as np
import pytest

import softgrad as sg

theirs = pytest.importorskip("scipy.special.tests.test_logsumexp", reason="this SciPy ships without its tests")

OTHER_ARGUMENTS = {
    "test_logsumexp_b",
    "test_logsumexp_sign",
    "test_logsumexp_sign_zero",
    "test_logsumexp_sign_shape",
    "test_logsumexp_complex_sign",
    "test_logsumexp_shape",
    "test_logsumexp_b_zero",
    "test_logsumexp_b_shape",
    "test_dtypes_ab",
    "test_gh21610",
    "test_gh21709_small_imaginary",
    "test_no_writeback",
    "test_device",
    "test_gh22903",
    "test_gh23548",
}


def is_complex(value):
    return isinstance(value, complex) or (isinstance(value, str) and value.startswith("complex"))


def parameter_sets(method):
    """The arguments that pytest would call a test method with, complex ones left out."""
    sets = []
    for mark in getattr(method, "pytestmark", []):
        if mark.name == "parametrize":
            names = [n.strip() for n in mark.args[0].split(",")]
            rows = [row if len(names) > 1 else (row,) for row in mark.args[1]]
            sets.append([dict(zip(names, row, strict=True)) for row in rows if not any(map(is_complex, row))])
    for combination in itertools.product(*sets):
        yield {name: value for part in combination for name, value in part.items()}


def cases():
    for owner in (theirs.TestLogSumExp, theirs.TestSoftmax, theirs.TestLogSoftmax):
        for name, method in inspect.getmembers(owner, inspect.isfunction):
            if name.startswith("test") and name not in OTHER_ARGUMENTS:
                for i, arguments in enumerate(parameter_sets(method)):
                    yield pytest.param(owner, method, arguments, id=f"{owner.__name__}.{name}-{i}")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # from the expected values, which SciPy's tests compute
@pytest.mark.parametrize("owner, method, arguments", list(cases()))
def test_scipy(monkeypatch, owner, method, arguments):
    for function in (sg.softmax, sg.log_softmax, sg.logsumexp):
        # SciPy's default is axis=None.
        monkeypatch.setattr(
            theirs, function.__name__, lambda a, axis=None, *, f=function, **kwargs: f(a, axis=axis, **kwargs)
        )
    if "xp" in inspect.signature(method).parameters:
        arguments = {**arguments, "xp": np}
    method(owner(), **arguments)


def test_most_of_the_suite_was_found():
    assert len(list(cases())) >= 25
