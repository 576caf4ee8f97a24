import pytest

from softgrad import _core


@pytest.fixture(params=_core.instruction_sets())
def instruction_set(request):
    """Every instruction set that this machine runs, in turn."""
    before = _core.instruction_set()
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)


@pytest.fixture
def threads():
    """A function that sets the number of threads until the end of the test."""
    before = _core.num_threads()
    yield _core.set_num_threads
    _core.set_num_threads(before)
