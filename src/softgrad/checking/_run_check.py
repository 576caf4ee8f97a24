"""The options of a check, and its run in the setting that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from softgrad._loss_spec import loss_spec
from softgrad.checking._setting import Setting, Target
from softgrad.checking._stages import run_stages
from softgrad.checking._user_function import UserFunction

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from softgrad.checking._reference import Reference
    from softgrad.checking._report import Report


def run_check(
    reference: Reference,
    fn: Callable[..., object],
    *,
    batched: bool = True,
    from_logits: bool = True,
    has_head: bool = False,
    target: Target = "weighted",
    weight: ArrayLike | None = None,
    **options: Any,
) -> Report:
    """Check `fn` against a reference, with the options of the public checks."""
    if not callable(fn):
        hint = "; pass the function itself, not its result" if hasattr(fn, "__array__") else ""
        raise TypeError(f"fn is a {type(fn).__name__}; expected a function{hint}")
    if not (isinstance(target, str) and target in get_args(Target)):
        raise ValueError(f"target={target!r}; expected 'weighted', 'probabilities', 'one-hot' or 'index'")
    if not batched and "reduction" in options:
        raise ValueError(
            f"reduction={options['reduction']!r} for a function of one vector (batched=False, --single): it has one "
            "loss; leave the reduction out"
        )
    default = "sum" if batched else "none"
    spec = loss_spec(f"check_{reference.kind.replace('-', '_')}", {"reduction": default, **options})
    if spec.ignore_index is not None and target != "index":
        raise ValueError(
            f"ignore_index={spec.ignore_index} needs class indices; expected target='index' (--target index)"
        )
    if spec.z_loss and not from_logits:
        raise ValueError(
            f"z_loss={spec.z_loss:g} needs the logits, but the function takes p (from_logits=False, "
            "--from-probabilities); leave one of them out"
        )
    setting = Setting(
        target=target,
        spec=spec,
        class_weight=None if weight is None else _class_weight(weight),
        batched=batched,
        from_logits=from_logits,
        has_head=has_head,
    )
    return run_stages(UserFunction(fn, _name(fn), reference, setting))


def _class_weight(weight: ArrayLike) -> tuple[float, ...]:
    values = np.asarray(weight, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"weight={weight!r}; expected one positive number for every class, at least two")
    return tuple(values.tolist())


def _name(fn: Callable[..., object]) -> str:
    name: str = getattr(fn, "__name__", type(fn).__name__)
    return "the function" if name == "<lambda>" else name
