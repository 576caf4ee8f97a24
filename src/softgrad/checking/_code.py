"""The code to write: a right function of every kind, in the setting of a check."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from softgrad._loss_spec import Reduction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from softgrad.checking._reference import Kind
    from softgrad.checking._setting import Setting

_SOFTMAX = ("e = np.exp(z - z.max(axis=1, keepdims=True))", "p = e / e.sum(axis=1, keepdims=True)")
_LOG_SOFTMAX = ("d = z - z.max(axis=1, keepdims=True)", "log_p = d - np.log(np.exp(d).sum(axis=1, keepdims=True))")
_MASS = "y.sum(axis=1, keepdims=True)"
_JACOBIAN = "p[:, :, None] * (np.eye(z.shape[1]) - p[:, None, :])"
_JACOBIAN_PRODUCT = "p * (v - (p * v).sum(axis=1, keepdims=True))"
_OF_SOFTMAX = {
    "softmax": "p",
    "log-softmax": "log_p",
    "softmax-jacobian": _JACOBIAN,
    "log-softmax-jacobian": "np.eye(z.shape[1]) - p[:, None, :]",
    "softmax-vjp": _JACOBIAN_PRODUCT,
    "log-softmax-vjp": "v - p * v.sum(axis=1, keepdims=True)",
}
# Of a batch, and of one vector: arrays without the axis of the rows.
_OF_ONE_VECTOR = {
    "(axis=1, keepdims=True)": "()",
    "(axis=1)": "()",
    "p[:, :, None]": "p[:, None]",
    "[:, :, None]": "",
    "[:, None, :]": "",
    "[:, None, None]": "",
    "[:, None]": "",
    "z.shape[1]": "len(z)",
    "y.shape[1]": "len(y)",
}
_BATCHED = re.compile("|".join(map(re.escape, _OF_ONE_VECTOR)))


def right_code(kind: Kind, arguments: tuple[str, ...], setting: Setting) -> str:
    """A function of a kind that passes the check in a setting, as indented lines."""
    names = ("y" if name == "target" and setting.target != "index" else name for name in arguments)
    body = [*_probabilities(kind, setting), *_result(kind, setting)]
    if not setting.batched:
        body = [_BATCHED.sub(lambda found: _OF_ONE_VECTOR[found[0]], line) for line in body]
    if not setting.from_logits:
        body = [re.sub(r"\bz\b", "p", line) for line in body]
    lines = [f"def {kind.replace('-', '_')}({', '.join(names)}):", *(f"    {line}" for line in body)]
    return "\n".join(f"    {line}" for line in lines)


def _probabilities(kind: Kind, setting: Setting) -> Iterator[str]:
    is_logarithm = kind in {"log-softmax", "cross-entropy"}
    if setting.has_head:
        yield "z = x @ W.T + bias"
    if setting.from_logits:
        yield from _LOG_SOFTMAX if is_logarithm else _SOFTMAX
    elif is_logarithm:
        yield "log_p = np.log(p)"


def _result(kind: Kind, setting: Setting) -> Iterator[str]:
    if kind in _OF_SOFTMAX:
        yield f"return {_OF_SOFTMAX[kind]}"
        return
    yield from _target(setting)
    if kind == "cross-entropy":
        yield from _loss(setting)
        return
    if setting.spec.z_loss:
        yield "lse = np.log(e.sum(axis=1, keepdims=True))"
        yield "lse = lse + z.max(axis=1, keepdims=True)"
    if kind == "cross-entropy-hessian":
        yield from _hessian(setting)
    elif kind == "cross-entropy-hvp":
        yield from _hvp(setting)
    else:
        yield from _gradient(setting)


def _target(setting: Setting) -> Iterator[str]:
    """The class weights y of the rows, from the target."""
    ignored, smoothing = setting.spec.ignore_index, setting.spec.label_smoothing
    if ignored is not None:
        yield f"kept = target != {ignored}"
        yield "y = np.eye(z.shape[1])[np.where(kept, target, 0)]"
    elif setting.target == "index":
        yield "y = np.eye(z.shape[1])[target]"
    if smoothing:
        yield f"y = (1 - {smoothing:g}) * y + {smoothing:g} / y.shape[1]"
    if setting.class_weight is not None:
        yield f"w = np.array([{', '.join(f'{weight:g}' for weight in setting.class_weight)}])"
        yield "y = w * y"
    if ignored is not None:
        yield "y = kept[:, None] * y"


def _sums_to_one(setting: Setting) -> bool:
    return setting.target != "weighted" and setting.class_weight is None and setting.spec.ignore_index is None


def _z_loss_factor(setting: Setting, axes: str) -> str:
    """The factor of the z-loss in derivatives, 0 in ignored rows."""
    kept = "" if setting.spec.ignore_index is None else f"kept{axes} * "
    return f"{kept}2 * {setting.spec.z_loss:g}"


def _loss(setting: Setting) -> Iterator[str]:
    yield "losses = -(y * log_p).sum(axis=1)"
    if setting.spec.z_loss:
        kept = "" if setting.spec.ignore_index is None else "kept * "
        yield "lse = z.max(axis=1) + np.log(np.exp(d).sum(axis=1))"
        yield f"losses = losses + {kept}{setting.spec.z_loss:g} * lse**2"
    is_none = setting.spec.reduction is Reduction.none
    yield "return losses" if is_none else f"return losses.sum(){_division(setting)}"


def _gradient(setting: Setting) -> Iterator[str]:
    gradient = "p - y" if _sums_to_one(setting) else f"p * {_MASS} - y"
    division = _division(setting)
    if not (setting.spec.z_loss or setting.has_head):
        yield f"return ({gradient}){division}" if division else f"return {gradient}"
        return
    yield f"g = {gradient}"
    if setting.spec.z_loss:
        yield f"g = g + {_z_loss_factor(setting, '[:, None]')} * lse * p"
    if not setting.has_head:
        yield f"return g{division}"
        return
    if division:
        yield f"g = g{division}"
    yield "return g @ W, g.T @ x, g.sum(axis=0)"


def _hessian(setting: Setting) -> Iterator[str]:
    yield f"H = {_JACOBIAN}"
    if setting.spec.z_loss:
        yield "S = lse[:, :, None] * H + p[:, :, None] * p[:, None, :]"
    if not _sums_to_one(setting):
        yield "H = y.sum(axis=1)[:, None, None] * H"
    if setting.spec.z_loss:
        yield f"H = H + {_z_loss_factor(setting, '[:, None, None]')} * S"
    yield f"return H{_division(setting)}"


def _hvp(setting: Setting) -> Iterator[str]:
    yield f"Hv = {_JACOBIAN_PRODUCT}"
    if setting.spec.z_loss:
        yield "s = lse * Hv + p * (p * v).sum(axis=1, keepdims=True)"
    if not _sums_to_one(setting):
        yield f"Hv = {_MASS} * Hv"
    if setting.spec.z_loss:
        yield f"Hv = Hv + {_z_loss_factor(setting, '[:, None]')} * s"
    yield f"return Hv{_division(setting)}"


def _division(setting: Setting) -> str:
    """The division of the mean by the summed weights of the labels, or the number of rows."""
    if setting.spec.reduction is not Reduction.mean:
        return ""
    is_ignoring = setting.spec.ignore_index is not None
    if setting.class_weight is not None and setting.target == "index":
        return f" / w[target{'[kept]' if is_ignoring else ''}].sum()"
    return " / kept.sum()" if is_ignoring else " / len(z)"
