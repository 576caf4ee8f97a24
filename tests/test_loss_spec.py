"""The options of the loss are one object from the user's call to the kernel."""

import ast
import importlib
import inspect
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import numpy as np
import pytest

import softgrad as sg
from softgrad import _loss_spec
from softgrad._loss_spec import DEFAULT, LossSpec, Reduction

SOURCE = Path(sg.__file__).parent
OPTIONS = {field.name for field in fields(LossSpec)}
# Where the options stand one by one: the specification, and the adapter for torch's dispatcher.
APART = {"_loss_spec.py", "torch/_dispatch/_schema.py"}
FUNCTIONS = [
    sg.cross_entropy,
    sg.cross_entropy_grad,
    sg.cross_entropy_value_and_grad,
    sg.cross_entropy_hvp,
    sg.cross_entropy_hessian,
    sg.linear_cross_entropy_value_and_grad,
    sg.linear_cross_entropy,
    sg.linear_cross_entropy_hvp,
]
PUBLIC = [
    "softgrad",
    "softgrad.torch",
    "softgrad.torch.parallel",
    "softgrad.jax",
    "softgrad.linear_model",
    "softgrad.dask",
    "softgrad.checking",
]
Z, Y = np.zeros((2, 3)), [0, 1]


def public_objects():
    """What users call, also as commands."""
    for module in map(importlib.import_module, PUBLIC):
        yield from (getattr(module, name) for name in module.__all__)
    commands = importlib.import_module("softgrad.cli._app").app.registered_commands
    yield from (command.callback for command in commands)


def public_signatures():
    """Files and first lines of public functions, and of the methods of public classes, inherited ones included."""
    for public in public_objects():
        functions = [public]
        if inspect.isclass(public):
            functions = [value for base in public.__mro__ for value in vars(base).values()]
        for function in functions:
            code = getattr(inspect.unwrap(function) if callable(function) else function, "__code__", None)
            if code is not None:
                yield code.co_filename, code.co_firstlineno


def first_line(function):
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])


def retyped_options(path, allowed=frozenset()):
    """Parameters and fields that are named after an option, but for those of the functions at the allowed lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            if not isinstance(node, ast.Lambda) and (str(path), first_line(node)) in allowed:
                continue
            a = node.args
            names = [arg.arg for arg in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
        elif isinstance(node, ast.ClassDef):
            names = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        else:
            continue
        yield from (f"{path.name}:{node.lineno}: {name}" for name in names if name in OPTIONS)


def test_no_parameter_or_field_is_an_option_of_the_loss():
    for package in ("torch", "jax", "dask"):
        pytest.importorskip(package, reason=f"reads the public names of softgrad.{package}")
    allowed = set(public_signatures())
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        if path.relative_to(SOURCE).as_posix() not in APART:
            found += retyped_options(path, allowed)
    assert not found


def test_retyped_options_are_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def f(x, *, z_loss): ...\nclass C:\n    reduction: int\ng = lambda ignore_index: 0\n")
    found = sorted(retyped_options(path))
    assert found == ["module.py:1: z_loss", "module.py:2: reduction", "module.py:4: ignore_index"]
    assert sorted(retyped_options(path, {(str(path), 1)})) == found[1:]


@pytest.mark.parametrize("name", ["mass", "denominator", "merge_statistics"])
def test_the_algebra_of_targets_is_written_once(name):
    """An attribute that keeps the result of the one implementation is none of its own, nor is a call of the kernels."""
    defined = []
    for path in sorted(set(SOURCE.rglob("*.py")) - {SOURCE / "torch" / "_kernels" / "_native.py"}):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.strip("_") == name:
                cached = any(isinstance(d, ast.Name) and d.id == "cached_property" for d in node.decorator_list)
                if not cached:
                    defined.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert len(defined) == 1, defined


def test_specifications_are_values():
    spec = LossSpec(z_loss=0.5)
    assert spec == LossSpec(z_loss=0.5) != DEFAULT
    assert hash(spec) == hash(LossSpec(z_loss=0.5))
    with pytest.raises(FrozenInstanceError):
        spec.z_loss = 1.0
    with pytest.raises((AttributeError, TypeError)):
        spec.other = 1.0
    assert replace(spec, reduction=Reduction.none) == _loss_spec.per_row(spec)


def test_defaults_build_nothing():
    assert _loss_spec.loss_spec("cross_entropy", {}) is DEFAULT


def test_torch_shares_specifications():
    arguments = pytest.importorskip("softgrad.torch._arguments", reason="torch is not installed")
    given = dict(ignore_index=-100, reduction="mean", label_smoothing=0.0, z_loss=0.0)
    assert arguments.loss_spec(**given) is arguments.loss_spec(**given) == LossSpec(ignore_index=-100)
    with pytest.raises(TypeError, match=r"ignore_index=-100\.0"):  # though it equals the integer
        arguments.loss_spec(**given | {"ignore_index": -100.0})


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_signatures_show_the_options(function):
    shown = inspect.signature(function).parameters
    assert shown.keys() >= OPTIONS
    for field in fields(LossSpec):
        default = shown[field.name].default
        assert default == ("mean" if field.name == "reduction" else field.default)
        assert shown[field.name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_unknown_options_are_refused_by_name(function):
    required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    with pytest.raises(TypeError, match=f"{function.__name__}.*'zloss'") as caught:
        function(*[Z] * len(required), zloss=1.0)
    assert all(name in str(caught.value) for name in OPTIONS)


BAD = {
    "reduction unknown": (
        dict(reduction="average"),
        ValueError,
        "reduction='average'; expected 'mean', 'sum' or 'none'",
    ),
    "reduction none": (dict(reduction=None), ValueError, "reduction=None"),
    "reduction a list": (dict(reduction=["mean"]), ValueError, "reduction=['mean']"),
    "reduction a member": (dict(reduction=Reduction.mean), ValueError, "expected 'mean', 'sum' or 'none'"),
    "ignore_index no integer": (dict(ignore_index=0.5), TypeError, "ignore_index=0.5; expected an integer or None"),
    "ignore_index too large": (dict(ignore_index=2**63), ValueError, "expected a 64-bit integer"),
    "smoothing above one": (
        dict(label_smoothing=1.5),
        ValueError,
        "label_smoothing=1.5; expected a number from 0 to 1",
    ),
    "smoothing below zero": (dict(label_smoothing=-0.1), ValueError, "label_smoothing=-0.1"),
    "smoothing NaN": (dict(label_smoothing=np.nan), ValueError, "label_smoothing=nan"),
    "smoothing text": (dict(label_smoothing="0.1"), TypeError, "label_smoothing='0.1'; expected a number"),
    "z_loss negative": (dict(z_loss=-1.0), ValueError, "z_loss=-1.0; expected 0, or a number from"),
    "z_loss NaN": (dict(z_loss=np.nan), ValueError, "z_loss=nan"),
    "z_loss too small": (dict(z_loss=1e-16), ValueError, "z_loss=1e-16"),
    "z_loss text": (dict(z_loss="1"), TypeError, "z_loss='1'; expected a number"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options(case):
    options, error, part = BAD[case]
    with pytest.raises(error) as caught:
        sg.cross_entropy(Z, Y, **options)
    assert part in str(caught.value)
