"""The layers of native/: includes point one way, without circles, and are written from the folder."""

import re
from pathlib import Path

NATIVE = Path(__file__).parent.parent / "native"
LAYERS = ["module", "ops", "layout", "math", "simd"]  # a layer includes its own files and those below
INCLUDE = re.compile(r'^ *#include "(.+)"', re.MULTILINE)


def includes():
    """For every file of native/ the files that it includes, as paths from the folder."""
    paths = sorted(path for path in NATIVE.rglob("*") if path.suffix in {".h", ".cc"})
    assert len(paths) > 40
    return {path.relative_to(NATIVE).as_posix(): INCLUDE.findall(path.read_text()) for path in paths}


def test_every_file_is_in_a_layer():
    assert {path.name for path in NATIVE.iterdir()} == set(LAYERS)
    assert all(file.count("/") == 1 for file in includes())


def test_includes_point_downwards():
    files = includes()
    for file, included in files.items():
        for other in included:
            assert other in files, f"{file} includes {other}; write the path from native/"
            layer, lower = (LAYERS.index(name.split("/")[0]) for name in (file, other))
            assert layer <= lower, f"{file} includes {other}, of a higher layer"


def test_no_circle():
    files = includes()
    while files:
        leaves = {file for file, included in files.items() if not any(other in files for other in included)}
        assert leaves, f"a circle of includes between some of {sorted(files)}"
        files = {file: included for file, included in files.items() if file not in leaves}
