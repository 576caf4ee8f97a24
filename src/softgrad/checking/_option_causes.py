"""Mistakes in the options of the loss: an option left out, or computed in another way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from softgrad.checking._cause import CODE, Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from softgrad.checking._batches import Array, Batch
    from softgrad.checking._cause import Factor, Formula
    from softgrad.checking._reference import Reference
    from softgrad.checking._setting import Setting


def option_causes(reference: Reference, setting: Setting) -> Iterator[Cause]:
    """The mistakes in the options that a setting has."""
    exact = reference.exact
    # A target that is smoothed wrongly does not sum to one, which p − y takes for granted.
    unweighted = None if setting.has_head else reference.unweighted
    formulas = (exact, *(unweighted.formulas if unweighted else ()))
    spec = setting.spec

    def with_options(**options: Any) -> Formula:
        changed = replace(setting, spec=replace(spec, **options))
        return lambda batch: exact(replace(batch, setting=changed))

    if spec.label_smoothing:
        yield Cause(
            "label smoothing forgotten",
            "The result is that without label smoothing.",
            CODE,
            (with_options(label_smoothing=0.0),),
        )
        yield Cause(
            "label smoothing over the other classes",
            "The target class keeps 1 − ε, and the others share ε. The smoothed target is (1 − ε) y + ε/C: the target "
            "class has its share too.",
            CODE,
            (lambda batch: with_options(label_smoothing=_shared_by_others(batch))(batch),),
        )
        for name, label_share, class_share in _smoothing_mistakes(spec.label_smoothing):
            yield Cause(
                f"label smoothing: {name}",
                f"The smoothed target is (1 − ε) y + ε/C; here it is computed with a mistake: {name}.",
                CODE,
                tuple(_with_target(formula, label_share, class_share) for formula in formulas),
            )
    if spec.z_loss:
        yield Cause(
            "z-loss forgotten",
            "The result is that without the z-loss ζ lse².",
            CODE,
            (with_options(z_loss=0.0),),
        )
        for name, factor in (("half", 0.5), ("twice", 2.0)):
            yield Cause(
                f"z-loss {name} as large",
                f"The part of the z-loss is {name} as large as that of ζ lse².",
                CODE,
                (with_options(z_loss=factor * spec.z_loss),),
            )
    if setting.class_weight is not None:
        yield Cause(
            "class weights forgotten",
            "The result is that without class weights.",
            CODE,
            _variants(exact, _without_class_weights),
        )
        yield Cause(
            "class weights multiplied into the entries",
            "Entry k is multiplied by the weight of class k. A row has the weight of its label: y = w * y.",
            CODE,
            tuple(map(_times_class_weights, _variants(exact, _without_class_weights))),
        )
    if spec.ignore_index is not None:
        yield Cause(
            "ignored rows counted",
            "Rows whose label is ignore_index are not left out: the label counts as a class.",
            CODE,
            _variants(exact, _without_ignored_rows),
        )


def _smoothing_mistakes(eps: float) -> tuple[tuple[str, float, Factor], ...]:
    """Names, and what stands for 1 − ε and for ε/C."""
    return (
        ("ε/C forgotten", 1 - eps, lambda batch: 0.0),
        ("ε in place of ε/C", 1 - eps, lambda batch: eps),
        ("ε/(C − 1) in place of ε/C", 1 - eps, lambda batch: eps / (batch.classes - 1)),
        ("factor 1 − ε forgotten", 1.0, lambda batch: eps / batch.classes),
    )


def _with_target(formula: Formula, label_share: float, class_share: Factor) -> Formula:
    """The result of a formula where the target is smoothed otherwise."""

    def mistaken(batch: Batch) -> Array:
        plain = replace(batch.setting.spec, label_smoothing=0.0)
        q = batch.targets._replace(class_weight=None).dense(plain, batch.logits)
        y = batch.kept * (label_share * q + class_share(batch))
        setting = replace(batch.setting, target="weighted", spec=replace(plain, ignore_index=None))
        changed = replace(batch, setting=setting, given=y)
        return formula(changed) * batch.row_weight / changed.row_weight

    return mistaken


def _times_class_weights(formula: Formula) -> Formula:
    def mistaken(batch: Batch) -> Array:
        result, weight = formula(batch), np.array(batch.setting.class_weight)
        # Losses have no entry for every class: an empty result, which counts as none.
        return result * weight if result.ndim and result.shape[-1] == len(weight) else np.zeros(0)

    return mistaken


def _shared_by_others(batch: Batch) -> float:
    return min(1.0, batch.setting.spec.label_smoothing * batch.classes / (batch.classes - 1))


def _without_ignored_rows(batch: Batch) -> Batch:
    """The batch where the label that is to be ignored is an index like the others, from the end if it is negative."""
    setting = replace(batch.setting, spec=replace(batch.setting.spec, ignore_index=None))
    return replace(batch, setting=setting, given=batch.given % batch.classes)


def _without_class_weights(batch: Batch) -> Batch:
    return replace(batch, setting=replace(batch.setting, class_weight=None))


def _variants(exact: Formula, changed: Callable[[Batch], Batch]) -> tuple[Formula, ...]:
    """The result for a changed batch, with the mean over its rows or over those of the given one."""
    return (
        lambda batch: exact(changed(batch)),
        lambda batch: exact(changed(batch)) * batch.row_weight / changed(batch).row_weight,
    )
