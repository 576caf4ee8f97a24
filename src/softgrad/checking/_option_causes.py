"""Mistakes in the options of the loss: an option left out, or computed in another way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from softgrad.checking._cause import CODE, Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from softgrad.checking._batches import Batch
    from softgrad.checking._cause import Formula
    from softgrad.checking._setting import Setting


def option_causes(exact: Formula, setting: Setting) -> Iterator[Cause]:
    """The mistakes in the options that a setting has."""
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
    if spec.ignore_index is not None:
        yield Cause(
            "ignored rows counted",
            "Rows whose label is ignore_index are not left out: the label counts as a class.",
            CODE,
            _variants(exact, _without_ignored_rows),
        )


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
