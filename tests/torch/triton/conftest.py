"""The Triton kernels on a machine without a GPU: TRITON_INTERPRET=1 interprets them, TRITON_INTERPRET=0 compiles them.

Triton reads that variable as it is imported, so each is a run of its own; other runs do not collect these tests.
"""

import contextlib
import os

import pytest

MODE = os.environ.get("TRITON_INTERPRET")
INTERPRETED = MODE == "1"


def pytest_ignore_collect(collection_path):
    if collection_path.name.startswith("test_"):
        return MODE is None or (collection_path.name == "test_compiled.py") == INTERPRETED
    return None


@pytest.fixture(autouse=True)
def triton_kernels(monkeypatch):
    """Let the public functions call the Triton kernels for CPU tensors, as they do for those of a CUDA device."""
    from softgrad.torch._kernels import _by_device, _triton  # noqa: PLC0415
    from tests.torch.triton import interpreter, like_cuda  # noqa: PLC0415

    monkeypatch.setattr(_by_device, "_native", like_cuda.Kernels())
    with interpreter.computing_as_a_gpu() if INTERPRETED else contextlib.nullcontext():
        yield _triton


@pytest.fixture
def tiles_of_32(monkeypatch):
    """Rows of more than 32 classes are divided into tiles of as many, whatever is computed."""
    from softgrad.torch._kernels._triton import _configurations  # noqa: PLC0415

    monkeypatch.setattr(_configurations, "_SHORT", 8)
    for name in "_LONGEST", "_LONGEST_OF_TWO", "_LONGEST_DENSE", "_TILE":
        monkeypatch.setattr(_configurations, name, 32)
    _configurations.configuration.cache_clear()
    yield
    _configurations.configuration.cache_clear()
