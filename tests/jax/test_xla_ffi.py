"""The structs in native/module/xla_ffi.h against the header in the installed jaxlib."""

import shutil
import subprocess
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[2]
COMPILER = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)


@pytest.mark.skipif(not COMPILER, reason="no C++ compiler on PATH; install g++")
def test_structs_are_those_of_jaxlib():
    includes = [f"-I{ROOT / 'native'}", f"-I{jax.ffi.include_dir()}"]
    source = ROOT / "tests/native/compare_xla_ffi.cc"
    done = subprocess.run(
        [COMPILER, "-std=c++20", "-fsyntax-only", "-Wno-invalid-offsetof", *includes, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
