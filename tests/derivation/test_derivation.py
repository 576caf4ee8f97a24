"""`Derivation`: forms, wrong arguments, and its text at the prompt."""

import pytest

from tests.derivation import derived, verified


def test_an_unknown_form():
    with pytest.raises(ValueError, match="form='pdf'; expected 'text', 'latex' or 'html'"):
        derived("logsumexp").render("pdf")


def test_a_verification_of_another_derivation():
    with pytest.raises(ValueError, match="verification is that of 'logsumexp'; expected that of 'softmax'"):
        derived("softmax").render(verification=verified("logsumexp"))


def test_at_the_prompt():
    assert repr(derived("softmax")) == "<Derivation softmax: 22 steps>"
    assert str(derived("softmax")) == derived("softmax").render("text")
