"""`softgrad info`, and what all commands share: help, version, exit codes."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import softgrad as sg
import softgrad.cli
from softgrad import _core
from softgrad.cli._commands import _info


@pytest.fixture
def run(capsys):
    def command(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(list(arguments))
        return stop.value.code, *capsys.readouterr()

    return command


def separate(*arguments, **environment):
    """In a process of its own."""
    command = [sys.executable, "-c", "import softgrad.cli; softgrad.cli.main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_json_tells_what_the_library_uses(run, instruction_set):
    code, out, err = run("info", "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert facts["softgrad"] == sg.__version__
    assert facts["python"] == platform.python_version()
    assert facts["numpy"] == np.__version__
    assert facts["instruction_set"] == instruction_set
    assert facts["instruction_sets"] == _core.instruction_sets()
    assert facts["threads"] == sg.get_num_threads()
    assert facts["cpu"]


def test_table_shows_the_same_and_how_to_change_it(run, threads):
    threads(7)
    code, out, _ = run("info")
    assert code == 0
    for word in (sg.__version__, np.__version__, _core.instruction_set(), "generic", "7", "SOFTGRAD_NUM_THREADS="):
        assert word in out
    assert ("SOFTGRAD_ISA=generic" in out) == (len(_core.instruction_sets()) > 1)


def test_the_environment_forces_an_instruction_set():
    assert json.loads(separate("info", "--json", SOFTGRAD_ISA="generic").stdout)["instruction_set"] == "generic"


@pytest.mark.parametrize("system, expected", [("linux", "Some CPU 3000"), ("win32", "x86")])
def test_cpu_model_is_the_systems_name_or_the_architecture(monkeypatch, system, expected):
    def read_text(self, encoding):
        if system != "linux":
            raise FileNotFoundError(self)
        return "processor\t: 0\nmodel name\t: Some CPU 3000\n\n"

    monkeypatch.setattr(_info.Path, "read_text", read_text)
    monkeypatch.setattr(_info.sys, "platform", system)
    monkeypatch.setattr(_info.platform, "processor", lambda: "x86")
    assert _info.cpu_model() == expected


def test_version(run):
    assert run("--version") == (0, f"softgrad {sg.__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_lists_the_commands(run, arguments):
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    for name in ("fit", "derive", "check", "explore", "info", "--version"):
        assert name in out


@pytest.mark.parametrize("command", ["fit", "derive", "check", "info"])
def test_every_command_has_help(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert ("--format" if command == "derive" else "--json") in out


@pytest.mark.parametrize(
    "arguments, message",
    [(["fti"], "No such command 'fti'"), (["--loud"], "No such option: --loud"), (["info", "x"], "x")],
)
def test_mistakes_exit_2_with_one_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_help_loads_nothing_heavy():
    program = (
        "import sys, softgrad.cli\n"
        "try: softgrad.cli.main(['--help'])\n"
        "except SystemExit: print({'pandas', 'scipy', 'sklearn', 'torch', 'jax', 'matplotlib'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("\nset()\n")


def test_an_instruction_set_that_the_machine_lacks():
    run = separate("info", SOFTGRAD_ISA="sse9")
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith("error: SOFTGRAD_ISA='sse9'")
    assert "generic" in run.stderr
