"""The derivation of the gradients of a linear head."""

import numpy as np

from tests.derivation import derived


def test_the_example_of_the_linear_head_is_an_outer_product():
    example = derived("linear-head").example
    np.testing.assert_allclose(example.matrix, np.outer(dict(example.columns)["g"], [1, -2]), rtol=1e-14)
