"""`softgrad derive` as a user meets it."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import softgrad as sg
import softgrad.cli
from softgrad.derivation import NAMES, derive


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run `softgrad derive` in an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def command(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(["derive", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return stop.value.code, out, err

    return command


def separate(*arguments, **environment):
    """In a process of its own."""
    command = [sys.executable, "-c", "import softgrad.cli; softgrad.cli.main()", "derive", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment}, encoding="utf-8"
    )


def test_without_a_name_the_names_are_listed(run):
    code, out, err = run()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    for name in NAMES:
        assert any(line.split()[1:2] == [name] for line in lines)
        first_words = " ".join(derive(name).summary.split()[:3])
        assert first_words in out
    assert max(map(len, lines)) <= 80


def test_text_comes_with_the_verdict(run):
    code, out, err = run("logsumexp")
    derivation = derive("logsumexp")
    assert (code, err) == (0, "")
    assert out == derivation.render(verification=derivation.verify())
    assert "all 8 steps proved for n = 2…5" in out
    assert "\x1b" not in out


@pytest.mark.parametrize("form", ["text", "latex", "html"])
def test_every_format_goes_to_stdout(run, form):
    code, out, err = run("logsumexp", "--format", form, "--no-verify")
    assert (code, err) == (0, "")
    assert out == derive("logsumexp").render(form)


@pytest.mark.parametrize(
    "file, beginning",
    [
        ("a.html", "<!DOCTYPE html>"),
        ("a.HTM", "<!DOCTYPE html>"),
        ("a.tex", "\\documentclass"),
        ("a", "The"),
        ("a.TXT", "The"),
    ],
)
def test_the_format_follows_from_the_files_name(run, tmp_path, file, beginning):
    code, out, err = run("logsumexp", "--output", file, "--no-verify")
    assert (code, err) == (0, "")
    assert out == f"The gradient of log-sum-exp written to {file}\n"
    assert (tmp_path / file).read_text(encoding="utf-8").startswith(beginning)
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_the_format_option_counts_for_more_than_the_name(run, tmp_path):
    for file in ("a.tex", "a.page"):
        assert run("logsumexp", "--output", file, "--format", "html", "--no-verify")[0] == 0
        assert (tmp_path / file).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_names_may_be_spelled_as_the_functions_are(run):
    code, out, _ = run("log_softmax", "--no-verify")
    assert (code, out) == (0, derive("log-softmax").render())


def test_a_page_shows_the_verdicts_and_replaces_the_old_one(run, tmp_path):
    (tmp_path / "a.html").write_text("old")
    code, out, _ = run("logsumexp", "--output", "a.html")
    assert code == 0
    assert "all 8 steps proved" in out
    assert (tmp_path / "a.html").read_text(encoding="utf-8").count("proved for n = 2…5") == 9


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["sofmax"],
            "no derivation is called 'sofmax' (did you mean 'softmax'?); expected one of softmax, log-softmax, ",
        ),
        (["softmax", "--format", "pdf"], "--format pdf; expected text, latex or html"),
        (["--format", "html"], "no NAME; write one, such as softgrad derive softmax"),
        (["--output", "a.html"], "no NAME"),
        (["softmax", "--output", "no/a.html"], "--output no/a.html: there is no folder no; create it"),
        (["sof_max"], "no derivation is called 'sof_max' (did you mean 'softmax'?)"),
        (
            ["softmax", "--output", "x.pdf"],
            "--output x.pdf: expected a name ending in .txt, .tex or .html; or write --format text|latex|html",
        ),
        (["softmax", "--output", "x.md"], "--output x.md: expected a name ending in .txt, .tex or .html"),
        (["softmax", "--output", "."], "--output . is not a file; name one to write"),
        (["softmax", "extra"], "extra"),
    ],
)
def test_mistakes_exit_2_with_one_line(run, tmp_path, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written(run, tmp_path, monkeypatch):
    (tmp_path / "a.html").write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, out, err = run("logsumexp", "--output", "a.html", "--no-verify")
    assert (code, out) == (1, "")
    assert err == "error: --output a.html cannot be written: no space left on device; name another file\n"
    assert (tmp_path / "a.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_a_failed_check_exits_1_and_says_where(run, monkeypatch):
    monkeypatch.setattr(sg, "softmax", lambda logits: np.full(len(logits), 1 / len(logits)))
    code, out, err = run("logsumexp")
    assert code == 1
    assert "FAILS: the results differ from softgrad.softmax" in " ".join(out.split())
    assert err.startswith("error: logsumexp: ")
    assert err.count("\n") == 1


def test_a_terminal_without_mathematical_signs():
    process = separate("logsumexp", "--no-verify", PYTHONIOENCODING="ascii")
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err.startswith("error: this terminal's encoding, ascii, has no mathematical signs; write PYTHON")
    assert err.count("\n") == 1


def test_a_reader_may_stop_early():
    process = separate("softmax", "--no-verify")
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait() == 0


def test_in_colour_the_words_are_the_same(run, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, out, _ = run("softmax", "--no-verify")
    assert code == 0
    assert "\x1b[1mThe Jacobian of softmax\x1b[0m" in out
    assert re.sub(r"\x1b\[[\d;]*m", "", out) == derive("softmax").render()


def test_help(run):
    code, out, _ = run("--help")
    assert code == 0
    for word in ("NAME", "--format", "--output", "--verify", "--no-verify"):
        assert word in out


def test_other_commands_do_not_wait_for_sympy():
    program = (
        "import sys, softgrad.cli\n"
        "try: softgrad.cli.main(['--help'])\n"
        "except SystemExit: print({'sympy', 'mpmath'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("\nset()\n")
