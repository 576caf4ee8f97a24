"""The exact zero test."""

import pytest
import sympy as sp

from softgrad.derivation._zero_test import is_zero

Z = sp.symbols("z1:4", real=True)


@pytest.mark.parametrize(
    "expression, expected",
    [
        (sp.S.Zero, True),
        (sp.exp(Z[0]) * sp.exp(Z[1]) - sp.exp(Z[0] + Z[1]), True),
        ((sp.exp(2 * Z[0]) - sp.exp(2 * Z[1])) / (sp.exp(Z[0]) + sp.exp(Z[1])) - sp.exp(Z[0]) + sp.exp(Z[1]), True),
        (1 / (1 + sp.exp(Z[0])) - sp.exp(-Z[0]) / (1 + sp.exp(-Z[0])), True),
        (sp.log(sp.exp(Z[0]) / (sp.exp(Z[0]) + sp.exp(Z[1]))) - Z[0] + sp.log(sp.exp(Z[0]) + sp.exp(Z[1])), True),
        (sp.exp(Z[0]) - sp.exp(Z[1]), False),
        (Z[0] - sp.exp(Z[0]), False),
        (sp.Integer(2), False),
        (1 / (1 + sp.exp(Z[0])) - sp.exp(-Z[0]), False),
        (sp.log(sp.exp(Z[0]) + 1) - Z[0], None),
        (sp.sin(Z[0]) ** 2 + sp.cos(Z[0]) ** 2 - 1, None),
    ],
)
def test_zero_is_decided_exactly_or_not_at_all(expression, expected):
    assert is_zero(expression) is expected
