"""The modules of JavaScript: types, format, and their own tests in Node."""

import subprocess
from pathlib import Path

import pytest

from softgrad import explorer

HERE = Path(__file__).parent
SCRIPTS = Path(explorer.__file__).parent / "scripts"


def passes(*command):
    run = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.needs("typescript")
def test_types():
    # The scripts that are installed may be others than those of the clone, which tsconfig.json names.
    passes("node_modules/.bin/tsc", "--project", ".")


@pytest.mark.needs("prettier")
def test_format():
    passes("node_modules/.bin/prettier", "--check", "--log-level", "warn", f"{SCRIPTS}/*.js", f"{HERE}/*.js")


@pytest.mark.needs("node")
def test_in_node():
    passes("node", "--test", *map(str, sorted(HERE.glob("*.test.js"))))
