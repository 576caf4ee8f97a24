"""What all commands have: help by -h too, and completion by the shell."""

import pytest

import softgrad.cli


@pytest.fixture
def run(capsys):
    """Run a command; returns its exit code and stdout."""

    def command(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(list(arguments))
        return stop.value.code, capsys.readouterr().out

    return command


@pytest.mark.parametrize("width", [80, 120])
def test_help_fits_the_terminal(run, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for command in (["fit"], ["predict"], ["evaluate"], []):
        code, out = run(*command, "-h")
        assert code == 0
        assert max(map(len, out.splitlines())) == width
        assert "…" not in out
    assert out == run("--help")[1]


def test_shells_complete_commands_and_options(run, monkeypatch):
    assert "complete -o default -F _softgrad_completion softgrad" in run("--show-completion", "bash")[1]
    monkeypatch.setenv("_SOFTGRAD_COMPLETE", "complete_bash")
    for words, place, found in (("softgrad pre", "1", "predict"), ("softgrad fit --class-w", "2", "--class-weight")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", place)
        assert run()[1].strip() == found
