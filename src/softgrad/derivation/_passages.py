"""Passages and meanings that several derivations share."""

from __future__ import annotations

import sympy as sp

from softgrad.derivation import _algebra_rules as algebra
from softgrad.derivation import _calculus_rules as calculus
from softgrad.derivation._derivation import Meaning, Move
from softgrad.derivation._symbols import j, k, loss, sigma, softmax_definition, y, z

LOGITS = Meaning(z[k], "the logits, real numbers for the classes `k = 1, …, n`")
SIGMA = Meaning(
    sigma(j),
    "`= exp z_j / Σ_i exp z_i`, the softmax; often written `σ(z_j)`, although it depends on every logit",
)
DELTA = Meaning(sp.KroneckerDelta(j, k), "Kronecker's delta: 1 where `j = k`, and 0 where `j ≠ k`")
TARGETS = Meaning(y[k], "the targets: non-negative weights of the classes, not changed by the logits")
LOSS = Meaning(loss, "`= −Σ_j y_j log σ_j`, the cross-entropy, in nats")

WRITE_OUT_SOFTMAX = calculus.definition(sigma(j), softmax_definition(j), "`σ_j = exp z_j / Σ_i exp z_i`")

# From ∂/∂z_k Σ_i exp z_i to exp z_k.
DERIVATIVE_OF_THE_SUM = (
    Move(calculus.sum_rule, "The derivative of a sum is the sum of the derivatives."),
    Move(calculus.exponential, "The exponential is its own derivative, times the derivative of the exponent."),
    Move(
        calculus.component,
        "In the sum `i` runs over all classes, and the logits are independent variables: only the one with `i = k` "
        "changes with `z_k`.",
        within=sp.Sum,
    ),
    Move(algebra.collapse, "All terms of the sum are zero but the one with `i = k`."),
)
