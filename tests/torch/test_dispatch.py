"""Calls that bypass torch's dispatcher, and calls that cannot: the same results, whatever torch has."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import softgrad.torch as st
from softgrad.torch._dispatch import _torch_internals, operators
from tests.torch import pairs

SOURCE = Path(st.__file__).parent
PRIVATE = re.findall(r'_find\("(.+)"\)', (SOURCE / "_dispatch" / "_torch_internals.py").read_text())
FEATURES, LABELS = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3, 2, -100])


def hide(monkeypatch, *names):
    """Have the module of torch's private interfaces find all of them but these."""

    def without(name, find=pkgutil.resolve_name):
        if name in names:
            raise AttributeError(name)
        return find(name)

    monkeypatch.setattr(pkgutil, "resolve_name", without)
    importlib.reload(_torch_internals)


@pytest.fixture
def lacking(monkeypatch):
    yield lambda *names: hide(monkeypatch, *names)
    monkeypatch.undo()
    importlib.reload(_torch_internals)


def functions():
    """Functions of logits or coefficients of shape (rows, classes), by name, to be called with either module."""
    W = {"linear head": lambda m, W: linear(m, FEATURES, W[:, :3], LABELS)}
    return pairs.scalars(torch.float32) | W


def linear(module, x, W, target):
    return st.linear_cross_entropy(x, W, target) if module is st else F.cross_entropy(x @ W.T, target)


def values_and_derivatives(module, x):
    """Values, gradients and products with the Hessian of all functions."""
    for name, f in functions().items():
        leaf = x.clone().requires_grad_()
        value = f(module, leaf)
        (gradient,) = torch.autograd.grad(value, leaf, create_graph=True)
        (product,) = torch.autograd.grad((gradient * gradient.detach()).sum(), leaf)
        yield name, (f(module, x), value.detach(), gradient.detach(), product)


def logits():
    return torch.randn(5, 5, generator=torch.Generator().manual_seed(1))[: pairs.ROWS]


@pytest.mark.parametrize("name", PRIVATE)
def test_without_a_private_name_calls_take_the_dispatcher(name, lacking):
    lacking()
    x = logits()
    expected = dict(values_and_derivatives(st, x))
    assert _torch_internals.CAN_BYPASS
    assert _torch_internals.recording((x,)) == "none"
    lacking(name)
    assert not _torch_internals.CAN_BYPASS
    assert _torch_internals.recording((x,)) == "dispatcher"
    if not _torch_internals.CAN_REGISTER:  # the operators have been registered with that name: see the next test
        return
    for function, results in values_and_derivatives(st, x):
        torch.testing.assert_close(results, expected[function], msg=lambda text, f=function: f"{f}: {text}")


WITHOUT_ANY = """
import pkgutil

def without(name, find=pkgutil.resolve_name, names={names}):
    if name in names:
        raise AttributeError(name)
    return find(name)

pkgutil.resolve_name = without

import torch, torch.nn.functional as F, softgrad.torch as st
from torch.func import grad, hessian, jvp, vmap
from tests.torch import test_dispatch

assert not st._dispatch._torch_internals.CAN_REGISTER
x = test_dispatch.logits()
expected = dict(test_dispatch.values_and_derivatives(F, x))
for name, results in test_dispatch.values_and_derivatives(st, x):
    torch.testing.assert_close(results, expected[name], msg=lambda text: f"{{name}}: {{text}}")
y = torch.tensor([0, 1, 2, 3])
per_row = [vmap(grad(m.cross_entropy))(x, y) for m in (st, F)]
torch.testing.assert_close(*per_row)
try:
    jvp(lambda x: st.cross_entropy(x, y), (x,), (x,))
except RuntimeError as error:
    assert "jvp" in str(error), error
else:
    raise AssertionError("a tangent was lost without an error")
"""


@pytest.mark.slow
def test_without_any_private_name_derivatives_are_those_of_public_functions():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_ANY.format(names=PRIVATE)],
        check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_calls_that_nothing_follows_bypass_the_dispatcher(monkeypatch):
    x, dispatched = logits(), []
    monkeypatch.setattr(operators.softmax, "_dispatched", lambda *given: dispatched.append(given) or torch.zeros(4, 5))
    st.softmax(x, 1)
    st.softmax(x.requires_grad_(), 1).sum().backward()
    assert not dispatched
    torch.func.vmap(lambda row: st.softmax(row, 0))(x)
    torch.func.grad(lambda x: st.softmax(x, 1).sum())(x)
    with FlopCounterMode(display=False):
        st.softmax(x, 1)
    assert len(dispatched) == 3


def is_private(name):
    return any(part.startswith("_") and not part.endswith("__") for part in name.split("."))


def private_interfaces(path):
    """Names of torch with a leading underscore that a file imports or reads."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "torch":
            yield from (name for a in node.names if is_private(name := f"{node.module}.{a.name}"))
        elif isinstance(node, ast.Attribute):
            parts = ast.unparse(node).split(".")
            if parts[0] in {"torch", "forward_ad"} and is_private(".".join(parts)):
                yield ".".join(parts)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super" and node.args:
            yield ast.unparse(node)  # a way below the public classes


def test_private_interfaces_stand_in_one_module():
    """And those of torch.distributed, which is optional, in another."""
    found = {path.name: sorted(set(private_interfaces(path))) for path in sorted(SOURCE.rglob("*.py"))}
    found = {name: uses for name, uses in found.items() if uses}
    assert set(found) == {"_torch_internals.py", "_group.py"}, found
    assert all("distributed" in use or "_c10d_functional" in use for use in found["_group.py"])
