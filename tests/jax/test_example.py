"""examples/train_digits_jax.py as a user runs it."""

import pytest

from tests import examples

SCRIPT = "train_digits_jax.py"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    printed, errors = examples.as_command(SCRIPT, "--epochs", "40", folder=tmp_path_factory.mktemp("elsewhere"))
    assert not errors
    return printed


@pytest.mark.slow
def test_fits_a_terminal(output):
    examples.check_that_it_fits_a_terminal(output)


@pytest.mark.slow
def test_both_learn_the_digits_alike(output):
    rows = examples.epochs(output)
    assert [row[0] for row in rows] == list(range(4, 41, 4))
    for row in rows:
        for optax, ours in (row[1:3], row[3:5]):
            assert ours == pytest.approx(optax, rel=0.05, abs=2e-4)  # the digits printed
    first, last = rows[0], rows[-1]
    assert max(last[1:3]) < first[1] / 5  # the training loss
    assert min(last[5:]) > 93


@pytest.mark.slow
def test_the_surest_rows_come_out_as_in_float64(output):
    examples.check_the_surest_rows(output)


@pytest.mark.slow
def test_counts_what_optax_rounds_to_zero(output):
    assert examples.largest_error(output, "optax") >= 1


@pytest.mark.slow
def test_the_seed_decides(monkeypatch, capsys):
    examples.check_that_the_seed_decides(monkeypatch, capsys, SCRIPT)


def test_no_epochs_are_refused(monkeypatch, capsys):
    examples.check_that_no_epochs_are_refused(monkeypatch, capsys, SCRIPT)
