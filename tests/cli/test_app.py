"""What all commands have: help by -h too, and completion by the shell."""

import pytest

import softgrad.cli
from softgrad.cli._estimator_messages import in_terms_of_options


@pytest.fixture
def run(capsys):
    """Run a command; returns its exit code and stdout."""

    def command(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(list(arguments))
        return stop.value.code, capsys.readouterr().out

    return command


@pytest.mark.parametrize(
    "width, command", [(80, ["fit"]), (80, ["predict"]), (120, ["evaluate"]), (120, ["info"]), (80, [])]
)
def test_h_is_help_which_fits_the_terminal(run, monkeypatch, width, command):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out = run(*command, "-h")
    assert code == 0
    assert max(map(len, out.splitlines())) == width
    assert "…" not in out
    assert "--help" in out
    assert " -h " in out


def test_shells_complete_commands_and_options(run, monkeypatch):
    assert "complete -o default -F _softgrad_completion softgrad" in run("--show-completion", "bash")[1]
    monkeypatch.setenv("_SOFTGRAD_COMPLETE", "complete_bash")
    for words, place, found in (("softgrad pre", "1", "predict"), ("softgrad fit --class-w", "2", "--class-weight")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", place)
        assert run()[1].strip() == found


@pytest.mark.parametrize(
    "message, expected",
    [
        ("max_iter=3 reached, above tol=1.0e-06; lower C", "--max-iter 3 reached, above --tol 1.0e-06; lower --C"),
        ("write a finite C, such as C=100, or drop", "write a finite --C, such as --C 100, or drop"),
        ("class 'C', or \"max_iter's tol\" lacks", "class 'C', or \"max_iter's tol\" lacks"),
        ("sample_weight times class_weight", "--weight times --class-weight"),
        ("raise max_iter or tol, or leave out the largest of Cs", "raise --max-iter or --tol"),
        (
            "scoring='f1' takes no sample_weight, which fit was given; write a scorer (estimator, X, y, "
            "sample_weight), or leave sample_weight out",
            "--scoring f1 takes no --weight, which fit was given; write another --scoring, such as accuracy, or leave "
            "out --weight",
        ),
    ],
)
def test_parameters_are_named_as_options(message, expected):
    assert in_terms_of_options(message) == expected
