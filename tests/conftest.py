"""Fixtures, and what becomes of a test that needs more than `.[test]` installs."""

import importlib.util
import os
import shutil
from pathlib import Path

import hypothesis
import pytest

# The workers of pytest-xdist share the cores: threads of scikit-learn and torch that wait for others must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Before JAX starts: tests of sharded rows need two devices.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

import softgrad
from softgrad import _core
from tests import browser

# A loaded machine makes any example slow, and no test asserts a time.
hypothesis.settings.register_profile("softgrad", deadline=None)
hypothesis.settings.load_profile("softgrad")

NODE_PACKAGES = {"axe-core", "prettier", "typescript"}
# Test files that import such a package as they are read; single tests are marked with `needs`.
IMPORTED = {
    "torch": (
        "torch/test_*.py",
        "torch/parallel/test_*.py",
        "benchmarks/gpu/test_*.py",
        "benchmarks/suites/test_torch.py",
        "benchmarks/suites/test_parallel.py",
    ),
    "jax": ("jax/test_*.py", "benchmarks/suites/test_jax.py"),
    "dask": ("dask/test_*.py", "cli/dask/test_*.py", "benchmarks/suites/test_dask.py"),
    "onnx": ("linear_model/formats/test_onnx.py",),
}


@pytest.fixture(params=_core.instruction_sets())
def instruction_set(request):
    """Every instruction set that this machine runs, in turn."""
    before = _core.instruction_set()
    _core.use_instruction_set(request.param)
    assert _core.instruction_set() == request.param
    yield request.param
    _core.use_instruction_set(before)


@pytest.fixture
def threads():
    """A function that sets the number of threads until the end of the test."""
    _core.share_always(True)
    yield _core.set_num_threads
    _core.share_always(False)
    softgrad.set_num_threads(None)


def absence(name):
    """Why tests that need a package, Chromium, Node or a package of npm cannot run here, or None."""
    if name == "chromium":
        return None if browser.CHROMIUM else "no Chromium on PATH"
    if name == "node":
        return None if shutil.which("node") else "no node on PATH"
    if name in NODE_PACKAGES:
        installed = (Path(__file__).parent / "explorer" / "node_modules" / name).is_dir()
        return None if installed else f"{name} is not installed; write npm ci --prefix tests/explorer"
    return None if importlib.util.find_spec(name) else f'{name} is not installed; write pip install ".[dev]"'


class Unreadable(pytest.Module):
    """A file of tests that cannot be imported."""

    def collect(self):
        (mark,) = self.own_markers
        pytest.skip(absence(*mark.args), allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    for package, files in IMPORTED.items():
        if any(module_path.match(f"tests/{pattern}") for pattern in files):
            kind = Unreadable if absence(package) else pytest.Module
            module = kind.from_parent(parent, path=module_path)
            module.add_marker(pytest.mark.needs(package))
            return module
    return None


def pytest_runtest_setup(item):
    for mark in item.iter_markers("needs"):
        if reason := absence(*mark.args):
            pytest.skip(reason)


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="count a skip as a failure: everything is installed")


def without_skips(report, config):
    if report.skipped and config.getoption("no_skips") and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"not to be skipped here: {report.longrepr[2]}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item):
    return without_skips((yield), item.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    return without_skips((yield), collector.config)
