"""The smallest input to show for which a function is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from softgrad.checking._batches import example_batches
from softgrad.checking._comparison import Comparison
from softgrad.checking._report import Example

if TYPE_CHECKING:
    from softgrad.checking._user_function import Output


def smallest_example(output: Output, tolerance: float) -> Example | None:
    """The first of some small inputs for which the output is wrong."""
    function = output.function
    for batch in example_batches(function.setting):
        try:
            received = output.at(batch)
        except Exception:  # the user's function may raise anything
            received = None
        comparison = Comparison(output.reference, batch, received, tolerance)
        if not comparison.is_exact:
            arguments, expected = output.reference.inputs(batch), comparison.expected
            if not function.setting.batched:
                arguments, expected = tuple(array[0] for array in arguments), expected[0]
                received = received if received is None else received[0]
            return Example(arguments, function.names, expected, received)
    return None
