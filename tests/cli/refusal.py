"""The assertion that a table or an option is refused."""

import re

import pytest

from softgrad.cli._errors import CommandError


def assert_refused(message):
    """Assert that the block raises CommandError with a text that contains `message`."""
    return pytest.raises(CommandError, match=re.escape(message))
