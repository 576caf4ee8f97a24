"""The symbols of the derivations, and SymPy expressions that keep the shape in which they are written.

SymPy would merge e^a e^b, sort factors and cancel as soon as an expression is built, and so skip the steps to be
shown. Everything here is built with ``evaluate=False``, and remains as it is until a rule changes it.
"""

from __future__ import annotations

import functools
from typing import Any

import sympy as sp

n, D = sp.symbols("n D", integer=True, positive=True)
i, j, k, l, m = sp.symbols("i j k l m", integer=True, positive=True)  # noqa: E741

z, y, g, x, b, W = (sp.IndexedBase(name) for name in ("z", "y", "g", "x", "b", "W"))
loss = sp.Function("ℓ")(z)

sigma_vector = sp.MatrixSymbol("σ", n, 1)
y_vector = sp.MatrixSymbol("y", n, 1)
g_vector = sp.MatrixSymbol("g", n, 1)
x_vector = sp.MatrixSymbol("x", D, 1)
W_matrix = sp.MatrixSymbol("W", n, D)

_SOFTMAX = sp.Function("σ")


def sigma(index: sp.Symbol) -> sp.Expr:
    """Return σ_j, written σ(z, j) because it depends on every logit."""
    return _SOFTMAX(z, index)


def is_sigma(node: sp.Basic) -> bool:
    return isinstance(node, _SOFTMAX)


def product(*factors: sp.Expr) -> sp.Expr:
    return factors[0] if len(factors) == 1 else sp.Mul(*factors, evaluate=False)


def total(*terms: sp.Expr) -> sp.Expr:
    return terms[0] if len(terms) == 1 else sp.Add(*terms, evaluate=False)


def minus(term: sp.Expr) -> sp.Expr:
    return product(sp.S.NegativeOne, term)


def power(base: sp.Expr, exponent: int) -> sp.Expr:
    return sp.Pow(base, sp.Integer(exponent), evaluate=False)


def quotient(above: sp.Expr, below: sp.Expr) -> sp.Expr:
    return product(above, power(below, -1))


def log(argument: sp.Expr) -> sp.Expr:
    return sp.log(argument, evaluate=False)


def sum_over(index: sp.Symbol, term: sp.Expr) -> sp.Expr:
    """Sum over the classes 1 to n; for the index l, over the features 1 to D."""
    return sp.Sum(term, (index, 1, D if index == l else n))


def derivative(of: sp.Expr, *by: sp.Expr) -> sp.Expr:
    # Derivative() would return 0 for ∂z_j/∂W_km, because it does not know that z is a function of W.
    return sp.Expr.__new__(sp.Derivative, of, *(sp.Tuple(variable, 1) for variable in by))


def variables(node: sp.Derivative) -> tuple[sp.Expr, ...]:
    """Return the variables of a derivative, in order."""
    return tuple(variable for variable, _ in node.args[1:])


def cases(if_equal: sp.Expr, otherwise: sp.Expr) -> sp.Piecewise:
    """Return one expression where j = k, and another where j ≠ k."""
    # Piecewise() would evaluate its branches.
    pairs = ((if_equal, sp.Eq(j, k)), (otherwise, sp.Ne(j, k)))
    return sp.Basic.__new__(sp.Piecewise, *(sp.Tuple(*pair) for pair in pairs))


def index_vector(component: sp.Expr, index: sp.Symbol = k) -> sp.Lambda:
    """Return the vector with this component."""
    return sp.Lambda((index,), component)


def index_matrix(entry: sp.Expr, row: sp.Symbol = j, column: sp.Symbol = k) -> sp.Lambda:
    """Return the matrix with this entry."""
    return sp.Lambda((row, column), entry)


def rebuild(node: sp.Basic, arguments: list[Any]) -> sp.Basic:
    """Apply the operation of a node to other operands, unevaluated."""
    if isinstance(node, sp.Derivative):
        return sp.Expr.__new__(sp.Derivative, *arguments)
    if isinstance(node, sp.Piecewise):
        return sp.Basic.__new__(sp.Piecewise, *arguments)
    if isinstance(node, (sp.Add, sp.Mul, sp.Pow, sp.log)):
        return node.func(*arguments, evaluate=False)
    return node.func(*arguments)


def substitute(node: sp.Basic, old: sp.Symbol, new: sp.Symbol) -> sp.Basic:
    """Replace a free index by another."""
    if node == old:
        return new
    if isinstance(node, sp.Sum) and node.args[1][0] in {old, new}:
        raise ValueError(f"{new} in place of {old} would be captured by {node}; sum over another index")
    if not node.args or not node.has(old):
        return node
    return rebuild(node, [substitute(argument, old, new) for argument in node.args])


@functools.lru_cache(maxsize=4096)
def free_indices(node: sp.Basic) -> frozenset[sp.Symbol]:
    """Return the free indices of an expression; for a matrix of entries, those of row and column too."""
    # free_symbols would omit the k of ∂/∂z_k.
    if node in {i, j, k, l, m}:
        return frozenset({node})
    inner = frozenset().union(*map(free_indices, node.args))
    return inner - {node.args[1][0]} if isinstance(node, sp.Sum) else inner


def depends_on(node: sp.Basic, variable: sp.Expr) -> bool:
    """Return whether an expression depends on a component such as z_k, directly or through the logits."""
    known: dict[sp.Basic, set[sp.Basic]] = {z: {W, x, b}, g: {z, W, x, b}}
    bases = node.atoms(sp.IndexedBase)
    reached = bases.union(*(known.get(base, set()) for base in bases))
    return variable.base in reached


def factors(node: sp.Expr) -> list[sp.Expr]:
    """Return the factors of a product, with nested products flattened."""
    return [part for factor in node.args for part in factors(factor)] if isinstance(node, sp.Mul) else [node]


def negated(term: sp.Expr) -> sp.Expr:
    first, *rest = factors(term)
    return product(*rest) if first == -1 else minus(term)


def split_sign(term: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Split a term into its sign, 1 or −1, and the rest."""
    first, *rest = factors(term)
    return (first, product(*rest)) if first == -1 and rest else (sp.S.One, term)


def softmax_definition(index: sp.Symbol) -> sp.Expr:
    return quotient(sp.exp(z[index]), sum_over(i, sp.exp(z[i])))


def cross_entropy_definition() -> sp.Expr:
    return minus(sum_over(j, product(y[j], log(sigma(j)))))


def cross_entropy_gradient(index: sp.Symbol) -> sp.Expr:
    return total(minus(y[index]), product(sigma(index), sum_over(i, y[i])))


def logit_definition(index: sp.Symbol) -> sp.Expr:
    return total(sum_over(l, product(W[index, l], x[l])), b[index])
