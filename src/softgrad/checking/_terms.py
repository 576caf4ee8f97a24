"""The formula of every kind as a sum of signed terms, and the mistakes that one wrong step in it makes.

A term is a product of operands, multiplied and summed as `numpy.einsum` does it. A mistake changes a sign, leaves a
term or a factor out, puts one operand where another belongs, sums along the wrong axis, or transposes the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from softgrad._loss_spec import Reduction
from softgrad.checking import _probability_formulas as formulas
from softgrad.checking._cause import CODE, Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from softgrad.checking._batches import Array, Batch
    from softgrad.checking._cause import Formula

_OPERANDS: dict[str, Callable[[Batch], Array]] = {
    "p": lambda batch: batch.probs,
    "log p": lambda batch: batch.log_probs,
    "z": lambda batch: batch.logits,
    "lse": lambda batch: batch.lse[:, 0],
    "y": lambda batch: batch.target,
    "v": lambda batch: batch.upstream,
    "1": lambda batch: np.ones_like(batch.logits),
    "I": lambda batch: np.eye(batch.classes),
    "x": lambda batch: batch.linear.x,
    "W": lambda batch: batch.linear.W,
}
# What stands for an operand by mistake: values and inputs mixed up, or 1 for a factor left out.
_SUBSTITUTES = {
    "p": ("z", "log p", "1"),
    "z": ("p", "log p"),
    "log p": ("p", "z"),
    "v": ("z", "p", "1"),
    "1": ("p", "z"),
    "y": ("z", "p"),
    "lse": (),
    "I": (),
    "x": (),
    "W": (),
}

# How products with 1 are written.
_SHORT = {"Diag(1)": "I", "1∘": "", "∘1": "", "1(": "(", "(1ᵀ": "(Σ", "(pᵀ1)": "(Σp)"}


class Term(NamedTuple):
    """A signed product of operands; b is the row; i, j and k are classes, d is a feature."""

    sign: int
    subscripts: str
    operands: tuple[str, ...]
    text: str  # with the places of the operands: "{0} {1}ᵀ"
    is_mean: bool = False  # its sum over the classes is divided by their number

    @property
    def inputs(self) -> list[str]:
        return self.subscripts.partition("->")[0].split(",")

    @property
    def output(self) -> str:
        return self.subscripts.partition("->")[2]

    def __str__(self) -> str:
        is_alone = self.text in {"{0}", "Diag({0})"}
        text = self.text.format(*(f"({name})" if " " in name and not is_alone else name for name in self.operands))
        for plain, short in _SHORT.items():
            text = text.replace(plain, short)
        return f"Σ{text[2:]}" if text.startswith("1ᵀ") else text

    def value(self, batch: Batch) -> Array:
        arrays = [
            # Σ_i y_i counts as 1 in formulas for one-hot targets.
            batch.distribution if (name, letters[-1]) == ("y", "i") else _OPERANDS[name](batch)
            for name, letters in zip(self.operands, self.inputs, strict=True)
        ]
        value: Array = self.sign * np.einsum(self.subscripts, *arrays)
        return value / batch.classes if self.is_mean else value

    def with_operand(self, place: int, operand: str) -> Term:
        return self._replace(operands=(*self.operands[:place], operand, *self.operands[place + 1 :]))

    def without_operand(self, place: int) -> Term:
        """The term without a factor; the classes that only this factor sums over count once."""
        letters = self.inputs[place]
        kept = [i for i in range(len(self.operands)) if i != place]
        if letters != "b" and letters[-1] in "".join([self.output, *(self.inputs[i] for i in kept)]):
            return self.with_operand(place, "1")
        inputs = ",".join(self.inputs[i] for i in kept)
        numbers = iter(range(len(kept)))
        places = ["" if i == place else f"{{{next(numbers)}}}" for i in range(len(self.operands))]
        text = self.text.replace(f"Σ{{{place}}}", "").format(*places).strip()
        return self._replace(
            subscripts=f"{inputs}->{self.output}", operands=tuple(self.operands[i] for i in kept), text=text
        )

    def relabelled(self, letters: str, others: str) -> Term:
        """The term with other subscripts for the operands that have all of some."""
        inputs = [
            term.translate(str.maketrans(letters, others)) if set(letters) <= set(term) else term
            for term in self.inputs
        ]
        return self._replace(subscripts=f"{','.join(inputs)}->{self.output}")


@dataclass(frozen=True)
class TermSum:
    """The formula of a kind, for every row of a batch."""

    terms: tuple[Term, ...]
    is_loss: bool = False  # or its derivative, which the reduction divides
    penalty: Formula | None = None  # the part of the z-loss in it, undivided

    def __call__(self, batch: Batch) -> Array:
        value: Array = sum(term.value(batch) for term in self.terms)  # type: ignore[assignment]
        if not self.is_loss:
            return value
        if self.penalty is not None and batch.setting.spec.z_loss:
            value = value + self.penalty(batch)
        value = value * batch.row_weight
        is_value = self.terms[0].output == "b"
        return np.asarray(value.sum()) if is_value and batch.setting.spec.reduction is not Reduction.none else value

    def __str__(self) -> str:
        first, *others = self.terms
        start = f"−{first}" if first.sign < 0 else str(first)
        return start + "".join(f" {'−' if term.sign < 0 else '+'} {term}" for term in others)

    def replaced(self, at: int, term: Term) -> TermSum:
        return replace(self, terms=(*self.terms[:at], term, *self.terms[at + 1 :]))


def generated_causes(formula: TermSum) -> Iterator[Cause]:
    """Every mistake of one step in a formula."""
    for steps in STEPS.values():
        for name, mistaken in steps(formula):
            yield Cause(name, f"The result is {mistaken}; the exact one is {formula}.", CODE, (mistaken,))


def _signs(formula: TermSum) -> Iterator[tuple[str, TermSum]]:
    # All signs flipped is the negated result, which every kind names.
    for at, term in enumerate(formula.terms) if len(formula.terms) > 1 else ():
        yield f"sign of the term {term}", formula.replaced(at, term._replace(sign=-term.sign))


def _missing_terms(formula: TermSum) -> Iterator[tuple[str, TermSum]]:
    for at, term in enumerate(formula.terms) if len(formula.terms) > 1 else ():
        yield f"term {term} forgotten", replace(formula, terms=(*formula.terms[:at], *formula.terms[at + 1 :]))


def _substituted(formula: TermSum) -> Iterator[tuple[str, TermSum]]:
    """One operand for another, in one place or in all."""
    names = dict.fromkeys(name for term in formula.terms for name in term.operands)
    for name in names:
        places = [
            (at, place)
            for at, term in enumerate(formula.terms)
            for place, operand in enumerate(term.operands)
            if operand == name
        ]
        for other in _SUBSTITUTES[name]:
            everywhere = formula
            for at, place in places:
                everywhere = everywhere.replaced(at, everywhere.terms[at].with_operand(place, other))
                if len(places) > 1:
                    new = formula.terms[at].with_operand(place, other)
                    yield f"{new} in place of {formula.terms[at]}", formula.replaced(at, new)
            yield f"{other} in place of {name}{' everywhere' if len(places) > 1 else ''}", everywhere


def _missing_factors(formula: TermSum) -> Iterator[tuple[str, TermSum]]:
    """A factor left out of a term, or out of all terms that share it."""
    everywhere: dict[tuple[str, str], TermSum] = {}
    for at, term in enumerate(formula.terms):
        for place, (operand, letters) in enumerate(zip(term.operands, term.inputs, strict=True)):
            # Without its only factor a term is forgotten; without its logarithms a loss is a constant.
            if operand in {"1", "I", "x", "W", "lse", "log p"} or [name for name in term.operands if name != "1"] == [
                operand
            ]:
                continue
            new = term.without_operand(place)
            name = f"Σ{operand}" if letters[-1] == "i" else operand
            yield f"factor {name} of the term {term} forgotten", formula.replaced(at, new)
            before = everywhere.get((name, letters), formula if at == 0 else None)
            if before is not None and before.terms[at] == term:
                everywhere[name, letters] = before.replaced(at, new)
    for (name, _), mistaken in everywhere.items():
        if all(new != old for new, old in zip(mistaken.terms, formula.terms, strict=True)):
            yield f"factor {name} forgotten", mistaken


def _sums(formula: TermSum) -> Iterator[tuple[str, TermSum]]:
    """A sum over the classes taken along another axis, as a mean, or not at all."""
    for at, term in enumerate(formula.terms):
        for letter in sorted(set("".join(term.inputs)) - set(f"b{term.output}")):
            summed = [name for name, letters in zip(term.operands, term.inputs, strict=True) if letter in letters]
            text = f"Σ{summed[0]}" if len(summed) == 1 else f"{summed[0]}ᵀ{summed[1]}"
            new = {f"mean in place of the sum {text}": [term._replace(is_mean=True)]}
            along = next((k for k in "kj" if k in term.output), letter)
            new[f"{text} summed over the wrong axis"] = [
                term.relabelled(f"b{letter}", f"n{k}") for k in (letter, along)
            ]
            new[f"{text} not summed"] = [term.relabelled(f"b{letter}", f"b{along}")]
            for name, terms in new.items():
                for changed in dict.fromkeys(terms):
                    if changed != term and set(changed.output) <= set("".join(changed.inputs)):
                        yield name, formula.replaced(at, changed)


def _transposed(formula: TermSum) -> Iterator[tuple[str, TermSum]]:
    output = formula.terms[0].output
    if len(output) < 2:
        return
    swapped = output[:-2] + output[:-3:-1]
    terms = tuple(term._replace(subscripts=f"{','.join(term.inputs)}->{swapped}") for term in formula.terms)
    penalty = formula.penalty
    transposed = None if penalty is None else lambda batch: np.swapaxes(penalty(batch), -1, -2)
    yield "transposed", replace(formula, terms=terms, penalty=transposed)


STEPS: dict[str, Callable[[TermSum], Iterator[tuple[str, TermSum]]]] = {
    "sign of a term": _signs,
    "term forgotten": _missing_terms,
    "one operand for another": _substituted,
    "factor forgotten": _missing_factors,
    "sum along another axis, or a mean": _sums,
    "transposed": _transposed,
}


SOFTMAX = TermSum((Term(1, "bk->bk", ("p",), "{0}"),))
LOG_SOFTMAX = TermSum((Term(1, "bk->bk", ("z",), "{0}"), Term(-1, "b,bk->bk", ("lse", "1"), "{0}")))
SOFTMAX_JACOBIAN = TermSum(
    (Term(1, "bj,jk->bjk", ("p", "I"), "Diag({0})"), Term(-1, "bj,bk->bjk", ("p", "p"), "{0} {1}ᵀ"))
)
LOG_SOFTMAX_JACOBIAN = TermSum(
    (Term(1, "bj,jk->bjk", ("1", "I"), "Diag({0})"), Term(-1, "bj,bk->bjk", ("1", "p"), "{0} {1}ᵀ"))
)
SOFTMAX_VJP = TermSum(
    (Term(1, "bk,bk->bk", ("p", "v"), "{0}∘{1}"), Term(-1, "bk,bj,bj->bk", ("p", "p", "v"), "{0}({1}ᵀ{2})"))
)
LOG_SOFTMAX_VJP = TermSum((Term(1, "bk->bk", ("v",), "{0}"), Term(-1, "bk,bi->bk", ("p", "v"), "{0} Σ{1}")))
CROSS_ENTROPY = TermSum(
    (Term(1, "bi,b->b", ("y", "lse"), "Σ{0} {1}"), Term(-1, "bj,bj->b", ("y", "z"), "{0}ᵀ{1}")),
    is_loss=True,
    penalty=formulas.z_loss,
)
CROSS_ENTROPY_OF_LOG_PROBS = replace(CROSS_ENTROPY, terms=(Term(-1, "bj,bj->b", ("y", "log p"), "{0}ᵀ{1}"),))
CROSS_ENTROPY_GRAD = TermSum(
    (Term(1, "bi,bk->bk", ("y", "p"), "Σ{0} {1}"), Term(-1, "bk->bk", ("y",), "{0}")),
    is_loss=True,
    penalty=formulas.z_loss_grad,
)
CROSS_ENTROPY_HESSIAN = TermSum(
    (
        Term(1, "bi,bj,jk->bjk", ("y", "p", "I"), "Σ{0} Diag({1})"),
        Term(-1, "bi,bj,bk->bjk", ("y", "p", "p"), "Σ{0} {1} {2}ᵀ"),
    ),
    is_loss=True,
    penalty=formulas.z_loss_hessian,
)
CROSS_ENTROPY_HVP = TermSum(
    (
        Term(1, "bi,bk,bk->bk", ("y", "p", "v"), "Σ{0} {1}∘{2}"),
        Term(-1, "bi,bk,bj,bj->bk", ("y", "p", "p", "v"), "Σ{0} {1}({2}ᵀ{3})"),
    ),
    is_loss=True,
    penalty=formulas.z_loss_hvp,
)
GRAD_X = TermSum(
    (
        Term(1, "bi,bk,kd->bd", ("y", "p", "W"), "Σ{0} {1} {2}"),
        Term(-1, "bk,kd->bd", ("y", "W"), "{0} {1}"),
    ),
    is_loss=True,
    penalty=lambda batch: formulas.z_loss_grad(batch) @ batch.linear.W,
)
GRAD_W = TermSum(
    (
        Term(1, "bi,bk,bd->kd", ("y", "p", "x"), "(Σ{0} {1})ᵀ{2}"),
        Term(-1, "bk,bd->kd", ("y", "x"), "{0}ᵀ{1}"),
    ),
    is_loss=True,
    penalty=lambda batch: formulas.z_loss_grad(batch).T @ batch.linear.x,
)
GRAD_BIAS = TermSum(
    (Term(1, "bi,bk->k", ("y", "p"), "Σ_n (Σ{0} {1})"), Term(-1, "bk->k", ("y",), "Σ_n {0}")),
    is_loss=True,
    penalty=lambda batch: formulas.z_loss_grad(batch).sum(axis=0),
)
