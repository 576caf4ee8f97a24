"""The derivation of the gradients of a linear head: cross-entropy of the logits z = W x + b."""

from __future__ import annotations

import numpy as np
import sympy as sp

import softgrad as sg
from softgrad.derivation import _algebra_rules as algebra
from softgrad.derivation import _assembly_rules as assembly
from softgrad.derivation import _calculus_rules as calculus
from softgrad.derivation._content import Example, Meaning, Result
from softgrad.derivation._cross_entropy import LOSS, TARGETS
from softgrad.derivation._derivation import Derivation
from softgrad.derivation._expressions import (
    W,
    b,
    derivative,
    index_matrix,
    index_vector,
    j,
    k,
    logit_definition,
    loss,
    m,
    x,
    z,
)
from softgrad.derivation._rules import Move, follow, last_line
from softgrad.derivation._softmax import DELTA, SIGMA

_THROUGH_LOGITS = "The parameter changes the loss only by way of the logits."
_WRITE_OUT = (
    Move(calculus.name_gradient, "The gradient with respect to the logits is known; it gets a name of its own."),
    Move(
        calculus.definition(z[j], logit_definition(j), "`z_j = Σ_l W_jl x_l + b_j`"),
        "Written out, the logit shows what it depends on.",
    ),
    Move(calculus.sum_rule, "The logit is a sum of two terms, which are differentiated one by one."),
    Move(calculus.sum_rule, "The first of them is itself a sum, over the features."),
)
_ONE_FEATURE = Move(algebra.collapse, "Of the sum over the features only the term with `l = m` is left.")
_NO_BIAS = (
    Move(calculus.constant, "The bias is a parameter of its own, and stays as it is."),
    Move(algebra.zeros_and_ones, "A zero adds nothing."),
)


def linear_head() -> Derivation:
    """Derive ∂ℓ/∂W_km, ∂ℓ/∂x_m and ∂ℓ/∂b_k, entry by entry and as a matrix and vectors."""
    weights = follow(
        "The weights, for any k and m",
        derivative(loss, W[k, m]),
        Move(calculus.through_logits, _THROUGH_LOGITS),
        *_WRITE_OUT,
        *_NO_BIAS,
        Move(calculus.constant_factor, "The features do not depend on the weights."),
        Move(
            calculus.component,
            "The weights are independent variables: 1 only where row and column are both the same.",
        ),
        _ONE_FEATURE,
        Move(algebra.collapse, "Of the sum over the classes only the term with `j = k` is left."),
    )
    weight_matrix = follow(
        "The weights, as a matrix",
        index_matrix(weights.steps[-1].after, k, m),
        Move(assembly.assemble, "Row `k`, column `m`: a column times a row, of the shape of `W`."),
        follows=(last_line(weights),),
    )
    features = follow(
        "The features, for any m",
        derivative(loss, x[m]),
        Move(
            calculus.through_logits,
            _THROUGH_LOGITS,
            "The sum over `j` must stay: a weight or a bias changes one logit, but a feature changes all of them.",
        ),
        *_WRITE_OUT,
        *_NO_BIAS,
        Move(calculus.constant_factor, "The weights do not depend on the features."),
        Move(calculus.component, "The features are independent variables."),
        _ONE_FEATURE,
    )
    feature_vector = follow(
        "The features, as a vector",
        index_vector(features.steps[-1].after, m),
        Move(
            assembly.assemble,
            "The sum runs over the rows of `W`, the classes.",
            "The weights are transposed: `W` maps features to logits, and `Wᵀ` maps the gradient back.",
        ),
        follows=(last_line(weights, weight_matrix, features),),
    )
    bias = follow(
        "The bias, for any k",
        derivative(loss, b[k]),
        Move(calculus.through_logits, _THROUGH_LOGITS),
        *_WRITE_OUT,
        Move(calculus.constant, "Neither weights nor features depend on the bias."),
        Move(algebra.zeros_and_ones, "A sum of zeros adds nothing."),
        Move(calculus.component, "The entries of the bias are independent variables."),
        Move(algebra.collapse, "Of the sum over the classes only the term with `j = k` is left."),
    )
    bias_vector = follow(
        "The bias, as a vector",
        index_vector(bias.steps[-1].after),
        Move(assembly.assemble, "The bias is added to the logits, so it has their gradient."),
        follows=(last_line(weights, weight_matrix, features, feature_vector, bias),),
    )
    sections = (weights, weight_matrix, features, feature_vector, bias, bias_vector)
    names = (sp.Symbol(f"∇{name}") for name in "Wxb")
    return Derivation(
        "linear-head",
        "The gradients of a linear head",
        "The derivatives of the cross-entropy of z = W x + b with respect to W, x and b: gxᵀ, Wᵀg and g.",
        (
            Meaning(x[m], "the features, `m = 1, …, D`"),
            Meaning(W[k, m], "the weights, one row for each class"),
            Meaning(b[k], "the bias"),
            Meaning(z[j], "`= Σ_l W_jl x_l + b_j`, the logits"),
            TARGETS,
            SIGMA,
            LOSS,
            DELTA,
            Meaning(sp.Symbol("∇W"), "the gradient of `ℓ` with respect to `W`; likewise `∇x` and `∇b`"),
        ),
        sections,
        tuple(Result(name, section.steps[-1].after) for name, section in zip(names, sections[1::2], strict=True)),
        _example(),
    )


def _example() -> Example:
    features = np.array([[1.0, -2.0]])
    head = np.array([[0.5, 0.0], [0.0, -0.5], [0.5, 0.5]])
    bias = np.array([0.0, 0.5, 0.0])
    _, gradient = sg.linear_cross_entropy_value_and_grad(features, head, [1], bias=bias)
    logits = features[0] @ head.T + bias
    return Example(
        "Three classes, two features, x = (1, −2); the second class is the right one. Every column of the gradient "
        "in W is g times one feature. For several rows of features the gradients in W and b add up: the loss is a sum.",
        (
            ("z", logits),
            ("y", np.array([0.0, 1.0, 0.0])),
            ("σ", sg.softmax(logits)),
            ("g", sg.cross_entropy_grad(logits, 1)),
        ),
        "∇W = gxᵀ",
        gradient.W,
    )
