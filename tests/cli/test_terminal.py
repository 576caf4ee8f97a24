"""Every command in narrow encodings, and names that would command a terminal."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import softgrad.cli
from softgrad.cli._terminal import visible

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
ESCAPE = "\x1b]0;owned\x07\x9b31m"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(names, labels=("p", "q"), rows=30):
    values = np.random.default_rng(0).standard_normal((rows, len(names) - 1)).round(3)
    lines = [",".join([*map(str, row), labels[i % 2]]) for i, row in enumerate(values.tolist())]
    Path("t.csv").write_text("\n".join([",".join(names), *lines]) + "\n", encoding="utf-8")


class Terminal(io.TextIOWrapper):
    """Says that it is one."""

    def isatty(self):
        return True


@pytest.fixture
def run(monkeypatch):
    """Run a command whose stdout and stderr have an encoding; returns its exit code and what they received."""

    def command(*arguments, encoding="utf-8", stream=io.TextIOWrapper):
        streams = [stream(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(list(arguments))
        for written in streams:
            written.flush()
        return stop.value.code, *(written.buffer.getvalue() for written in streams)

    return command


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_no_command_fails_for_the_letters_of_its_output(run, encoding):
    write(["größe", "長さ", "y"], ["κόκκινο", "ярлык"])
    Path("mine.py").write_text("def f(z):\n    return z\n")
    model = "t.softgrad.safetensors"
    for command, code in (
        (["fit", "t.csv", "--target", "y"], 0),
        (["fit", "t.csv", "--target", "y", "--json"], 0),
        (["fit", "t.csv", "--target", "ψ"], 2),
        (["fit", "t.csv", "--help"], 0),
        (["evaluate", model, "t.csv"], 0),
        (["evaluate", model, "t.csv", "--json"], 0),
        (["predict", model, "t.csv", "--json"], 0),
        (["predict", model, "t.csv"], 2),
        (["check", "mine.py:f", "--kind", "softmax"], 1),
        (["derive"], 0),
        (["info"], 0),
    ):
        found, out, _ = run(*command, encoding=encoding)
        assert found == code, command
        if "--json" in command:
            json.loads(out)
        if command[0] == "predict":
            assert json.loads(out)["classes"] == ["κόκκινο", "ярлык"] if "--json" in command else not out
        if command == ["evaluate", model, "t.csv"]:
            assert b"\\u03ba\\u03cc\\u03ba" in out  # tells one class from the other


def test_control_characters_reach_neither_terminal_nor_page(capsys):
    write([f"a{ESCAPE}", "b", f"y{ESCAPE}"], [f"p{ESCAPE}", "q"])
    target = f"y{ESCAPE}"
    for command in (
        ["fit", "t.csv", "--target", target, "--report", "r.html"],
        ["fit", "t.csv", "--target", target, "--json"],
        ["fit", "t.csv", "--target", "none"],
        ["fit", "t.csv"],
        ["fit", f"none{ESCAPE}.csv"],
        ["evaluate", "t.softgrad.safetensors", "t.csv", "--report", "e.html"],
        ["evaluate", "t.softgrad.safetensors", "t.csv", "--target", "b"],
    ):
        with pytest.raises(SystemExit):
            softgrad.cli.main(command)
        out, err = capsys.readouterr()
        assert not CONTROL.search(out + err), command
    for page in ("r.html", "e.html"):
        assert not CONTROL.search(Path(page).read_text(encoding="utf-8"))


def test_data_keeps_control_characters_except_on_a_terminal(run):
    write(["a", "b", f"y{ESCAPE}"])
    assert run("fit", "t.csv", "--target", "2")[0] == 0
    _, out, _ = run("predict", "t.softgrad.safetensors", "t.csv")
    assert out.decode().startswith(f"y{ESCAPE}\n")
    _, out, _ = run("predict", "t.softgrad.safetensors", "t.csv", stream=Terminal)
    assert out.decode().startswith(visible(f"y{ESCAPE}") + "\n")
    assert not CONTROL.search(out.decode())


def test_a_closed_stdout_is_an_error_for_data_alone(monkeypatch, capsys):
    write(["a", "b", "y"])
    monkeypatch.setattr(sys, "stdout", None)
    for arguments, code in [
        (["fit", "t.csv", "--target", "y"], 0),
        (["fit", "t.csv", "--target", "y", "--json"], 1),
        (["predict", "t.softgrad.safetensors", "t.csv"], 1),
        (["derive", "softmax"], 1),
    ]:
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(arguments)
        assert stop.value.code == code
        message = "error: stdout is closed, and the result is lost; redirect it to a file\n"
        assert capsys.readouterr().err.endswith(message) == bool(code)


def test_a_reader_that_has_seen_enough_makes_no_failure():
    reader, writer = os.pipe()
    os.close(reader)
    code = "import softgrad.cli; softgrad.cli.main(['info'])"
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_second_ctrl_c_does_not_disturb_the_end(monkeypatch, capsys, request):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def interrupt(*_):
        raise KeyboardInterrupt

    def again(message):
        os.kill(os.getpid(), signal.SIGINT)
        sys.stderr.write(message + "\n")

    monkeypatch.setattr(softgrad.cli, "_run", interrupt)
    monkeypatch.setattr(softgrad.cli, "say", again)
    with pytest.raises((SystemExit, KeyboardInterrupt)) as stop:
        softgrad.cli.main(["derive", "softmax"])
    assert stop.type is SystemExit
    assert (stop.value.code, capsys.readouterr().err) == (130, "interrupted\n")


# The console script, and SIGINT when a module is about to be imported, or when Python ends.
INTERRUPTED = """
import atexit, os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

moment = sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background would ignore it
sys.meta_path.insert(0, Finder())
atexit.register(print, "cleaned up")
if moment == "the end":
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
from softgrad_command import main
main()
"""


@pytest.mark.parametrize(
    "module, out",
    # SymPy is imported by the command, which may have something to clean up.
    [("softgrad", ""), ("numpy.linalg", ""), ("typer", ""), ("sympy", "cleaned up\n")],
)
def test_ctrl_c_at_an_import_exits_130_without_a_traceback(module, out):
    process = interrupted_at(module, "derive", "softmax")
    assert (process.returncode, process.stdout, process.stderr) == (130, out, "interrupted\n")


@pytest.mark.parametrize("module", ["typer", "the end"])
def test_an_interrupt_that_the_shell_ignores_stays_ignored(module):
    program = INTERRUPTED.replace("signal.default_int_handler)", "signal.SIG_IGN)")
    process = interrupted_at(module, "--version", program=program)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith("softgrad ")


def test_ctrl_c_while_python_ends_changes_nothing():
    process = interrupted_at("the end", "--version")
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith("softgrad ")


def interrupted_at(moment, *arguments, program=INTERRUPTED):
    command = [sys.executable, "-c", program, moment, *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
