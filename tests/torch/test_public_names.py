"""The names of `softgrad.torch`, and the packages that it needs."""

import importlib
import sys

import pytest

import softgrad.torch


def test_all_names_what_the_package_exports():
    assert sorted(softgrad.torch.__all__) == softgrad.torch.__all__
    for name in softgrad.torch.__all__:
        assert getattr(softgrad.torch, name).__doc__


@pytest.mark.parametrize("package", ["array_api_compat", "torch"])
def test_a_missing_package_is_named_with_its_extra(package, monkeypatch):
    monkeypatch.delitem(sys.modules, "softgrad.torch")
    monkeypatch.setitem(sys.modules, package, None)
    message = rf'^softgrad\.torch needs {package}, .*; write pip install "softgrad\[torch\]"$'
    with pytest.raises(ModuleNotFoundError, match=message) as caught:
        importlib.import_module("softgrad.torch")
    assert caught.value.name == package
