"""The names of `softgrad.linear_model`, and the packages that it needs."""

import importlib
import sys

import pytest

import softgrad.linear_model


def test_all_names_what_the_package_exports():
    assert sorted(softgrad.linear_model.__all__) == softgrad.linear_model.__all__
    for name in softgrad.linear_model.__all__:
        assert getattr(softgrad.linear_model, name).__doc__


@pytest.mark.parametrize("package", ["safetensors", "scipy", "sklearn", "threadpoolctl"])
def test_a_missing_package_is_named_with_its_extra(package, monkeypatch):
    for name in list(sys.modules):
        if name.startswith(("softgrad.linear_model", f"{package}.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    message = rf'^softgrad\.linear_model needs {package}, .*; write pip install "softgrad\[sklearn\]"$'
    with pytest.raises(ModuleNotFoundError, match=message) as caught:
        importlib.import_module("softgrad.linear_model")
    assert caught.value.name == package
