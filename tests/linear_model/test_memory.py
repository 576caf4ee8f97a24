"""A fit needs little memory beside X, and copies neither an array nor a memory map."""

import subprocess
import sys

import numpy as np
import pytest

ROWS, COLUMNS, CLASSES = 20_000, 784, 10
X_KIB = ROWS * COLUMNS * 4 // 1024
SCRIPT = """
import re
import sys
import numpy as np
from pathlib import Path
from softgrad.linear_model import SoftmaxRegression

def resident(kind):
    return int(re.search(kind + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

path, solver, form = sys.argv[1:]
if form == "mapped":
    x = np.load(path, mmap_mode="r")
    x.max()  # now all of the file is resident
else:
    x = np.load(path)
    x = np.asfortranarray(x) if form == "fortran" else x
y = np.load(path.replace("x.npy", "y.npy"))
small = np.array(x[:300, :20])
SoftmaxRegression(solver=solver, n_threads=1).fit(small, y[:300])
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = resident("VmRSS")
model = SoftmaxRegression(solver=solver, tol=1e-4, n_threads=1).fit(x, y)
assert model.converged_
assert model.n_passes_ > 10
print(resident("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, COLUMNS), dtype=np.float32)
    logits = 0.25 * x[:, :100] @ rng.standard_normal((100, CLASSES), dtype=np.float32)
    folder = tmp_path_factory.mktemp("memory")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", (logits + rng.gumbel(size=logits.shape)).argmax(axis=1))
    return str(folder / "x.npy")


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    "form, solver, part",
    [
        ("rows", "lbfgs", 1 / 4),
        pytest.param("fortran", "lbfgs", 1 / 4, marks=pytest.mark.slow),
        pytest.param("mapped", "lbfgs", 1 / 4, marks=pytest.mark.slow),
        # The factors of ten blocks of 785 x 785 are 40 % of this X; L-BFGS is done before they would pay.
        pytest.param("rows", "newton-cg", 5 / 8, marks=pytest.mark.slow),
    ],
)
def test_a_fit_adds_a_part_of_x(path, form, solver, part):
    arguments = [sys.executable, "-c", SCRIPT, path, solver, form]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < part * X_KIB
