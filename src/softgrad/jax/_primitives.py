"""The primitives, each with its derivative, its transpose and its rule of vmap.

Classes are the last axis; all other axes are rows. y are labels or class probabilities, w class weights (or none).

    loss(z, y, w)            one loss per row;           d loss = push(z, y, w; dz)
    push(z, y, w; t)         Σ_k g_k t_k per row;        its transpose in t is
    gradient(z, y, w; s)     s g;                        d gradient = hvp(z, y, w; s, dz)
    hvp(z, y, w; s, v)       s H v, symmetric in v;      d hvp = the third derivative, composed of softmax
    softmax(z)               and log_softmax, logsumexp; d softmax = p ∘ (dz − pᵀdz)

A primitive is linear in the arguments behind the semicolon, and JAX transposes it there.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching

from softgrad import _closed_forms
from softgrad._targets import Targets
from softgrad.jax import _lowering
from softgrad.jax._arguments import loss_dtype

if TYPE_CHECKING:
    from collections.abc import Callable

    from softgrad._loss_spec import LossSpec


def _primitive(name: str, closed_form: Callable[..., Any], on_cpu: Callable[..., Any] | None = None) -> Primitive:
    """A primitive whose result has the rows of the logits, its first argument, with the classes or without."""
    primitive = Primitive(f"softgrad_{name}")

    @functools.cache
    def jitted(**options: Any) -> Callable[..., Any]:
        return jax.jit(lambda *arrays: primitive.bind(*arrays, **options))

    def aval(z: Any, *_: Any, **__: Any) -> Any:
        return _aval(name, z)

    def run(*arrays: Any, **options: Any) -> Any:
        with jax.disable_jit(False):  # without jit this would be called again
            return jitted(**options)(*arrays)

    primitive.def_impl(run)
    primitive.def_abstract_eval(aval)
    _lowering.register(primitive, name, closed_form, on_cpu)
    batching.primitive_batchers[primitive] = functools.partial(_batched, primitive)
    return primitive


def _aval(name: str, z: Any) -> Any:
    """The abstract value of a result: that of the logits, with their sharding, in its own shape and dtype."""
    dtype = _lowering.result_dtype(name, z.dtype)
    if name not in _lowering.WITHOUT_CLASSES:
        return z.update(dtype=dtype, weak_type=False)
    spec = jax.sharding.PartitionSpec(*z.sharding.spec[: z.ndim - 1])
    return z.update(shape=z.shape[:-1], dtype=dtype, weak_type=False, sharding=z.sharding.update(spec=spec))


def bind(primitive: Primitive, *arrays: Any, **options: Any) -> Any:
    """Bind a primitive to arrays, which inside of shard_map must all vary along the same axes of the mesh."""
    axes = frozenset().union(*map(_varying_axes, arrays))
    return primitive.bind(*(_vary(a, axes - _varying_axes(a)) for a in arrays), **options)


def _varying_axes(array: Any) -> frozenset[str]:
    """The axes of the mesh of a shard_map along which an array varies."""
    aval = jax.typeof(array)
    return aval.vma if hasattr(aval, "vma") else aval.manual_axis_type.varying  # the former up to JAX 0.9


def _vary(array: Any, axes: frozenset[str]) -> Any:
    """The array as one that varies along more axes of the mesh; its cotangent is summed over them."""
    if not axes:
        return array
    if hasattr(jax.lax, "pcast"):
        return jax.lax.pcast(array, tuple(axes), to="varying")
    return jax.lax.pvary(array, tuple(axes))  # before JAX 0.9


def _batched(primitive: Primitive, arrays: Any, dims: Any, **options: Any) -> Any:
    """The rule of vmap: the batch becomes the first axis of every argument, and so more rows."""
    size = next(a.shape[d] for a, d in zip(arrays, dims, strict=True) if d is not None)
    moved = [
        jnp.broadcast_to(a, (size, *a.shape)) if d is None else jnp.moveaxis(a, d, 0)
        for a, d in zip(arrays, dims, strict=True)
    ]
    if len(arrays) > 2:  # losses: class weights have no rows, and one call takes one set of them
        if dims[2] is not None:
            return jax.lax.map(lambda a: primitive.bind(*a, **options), tuple(moved)), 0
        moved[2] = arrays[2]
    return primitive.bind(*moved, **options), 0


def targets(z: Any, y: Any, w: Any) -> Targets:
    """The arguments of a loss as targets of logits z, of which only the shape is read."""
    labels, probabilities = (None, y) if jnp.issubdtype(y.dtype, jnp.floating) else (y, None)
    weight = w if w.size else None
    return Targets(z.shape[-1], labels, probabilities, z.ndim - 1, weight)


def _loss_form(z: Any, y: Any, w: Any, *, spec: LossSpec) -> Any:
    return _marked(_closed_forms.cross_entropy(z, targets(z, y, w), spec), z, y, spec)


def _marked(rows: Any, z: Any, y: Any, spec: LossSpec) -> Any:
    """Losses, gradients or products, NaN where the label is no class: only the handlers can raise an error."""
    if jnp.issubdtype(y.dtype, jnp.floating):
        return rows
    is_class = _lowering.is_class(y, z.shape[-1], spec)
    return jnp.where(is_class if rows.ndim == y.ndim else is_class[..., None], rows, jnp.nan)


def _push_form(z: Any, y: Any, w: Any, t: Any, *, spec: LossSpec) -> Any:
    return _push(_gradient_form, z, y, w, t, spec=spec)


def _push(gradient: Callable[..., Any], z: Any, y: Any, w: Any, t: Any, *, spec: LossSpec) -> Any:
    """Σ g t from the gradient; 0 in ignored rows, whatever t holds."""
    one = jnp.ones(z.shape[:-1], _wide(z))
    product = gradient(z, y, w, one, spec=spec).astype(_wide(z)) * t.astype(_wide(z))
    return jnp.sum(_closed_forms.kept_rows(product, targets(z, y, w), spec), axis=-1)


def _gradient_form(z: Any, y: Any, w: Any, s: Any, *, spec: LossSpec) -> Any:
    return _marked(_closed_forms.cross_entropy_grad(z, s, targets(z, y, w), spec), z, y, spec)


def _hvp_form(z: Any, y: Any, w: Any, s: Any, v: Any, *, spec: LossSpec) -> Any:
    return _marked(_closed_forms.cross_entropy_hvp(z, s, v, targets(z, y, w), spec), z, y, spec)


loss_p = _primitive("loss", _loss_form)
gradient_p = _primitive("gradient", _gradient_form)
push_p = _primitive("push", _push_form, functools.partial(_push, functools.partial(bind, gradient_p)))
hvp_p = _primitive("hvp", _hvp_form)
softmax_p = _primitive("softmax", lambda z: _closed_forms.softmax(z, z.ndim - 1))
log_softmax_p = _primitive("log_softmax", lambda z: _closed_forms.log_softmax(z, z.ndim - 1))
logsumexp_p = _primitive("logsumexp", lambda z: _closed_forms.logsumexp(z, z.ndim - 1))


def _is_zero(tangent: Any) -> bool:
    return type(tangent) is ad.Zero


def _summed(changes: list[Any], like: Any) -> Any:
    if not changes:
        return ad.Zero.from_primal_value(like)
    return functools.reduce(jnp.add, changes)


def _wide(z: Any) -> Any:
    return loss_dtype(z.dtype)


# Derivatives with respect to targets and class weights: the loss is linear in both.


def _composed_loss(z: Any, y: Any, w: Any, spec: LossSpec) -> Any:
    """The loss in operations that JAX differentiates in y and w."""
    log_p = log_softmax_p.bind(z.astype(_wide(z)))
    lse = logsumexp_p.bind(z.astype(_wide(z))) if spec.z_loss else None
    return _closed_forms.loss_of_log_softmax(log_p, lse, targets(z, y, w), spec)


def _composed_gradient(z: Any, y: Any, w: Any, s: Any, spec: LossSpec) -> Any:
    _, vjp = jax.vjp(lambda z: _composed_loss(z, y, w, spec).astype(s.dtype), z)
    return vjp(s)[0]


def _change_in_targets(function: Callable[..., Any], y: Any, w: Any, dy: Any, dw: Any) -> list[Any]:
    """The derivative of function(y, w) along the tangents of y and w, in a list that is empty if both are 0."""
    if _is_zero(dy) and _is_zero(dw):
        return []
    if _is_zero(dw):
        return [jax.jvp(lambda y: function(y, w), (y,), (dy,))[1]]
    if _is_zero(dy):
        return [jax.jvp(lambda w: function(y, w), (w,), (dw,))[1]]
    return [jax.jvp(function, (y, w), (dy, dw))[1]]


def _loss_jvp(primals: Any, tangents: Any, *, spec: LossSpec) -> Any:
    z, y, w = primals
    dz, dy, dw = tangents
    result = bind(loss_p, z, y, w, spec=spec)
    changes = [] if _is_zero(dz) else [bind(push_p, z, y, w, dz, spec=spec)]
    changes += _change_in_targets(lambda y, w: _composed_loss(z, y, w, spec).astype(result.dtype), y, w, dy, dw)
    return result, _summed(changes, result)


def _push_jvp(primals: Any, tangents: Any, *, spec: LossSpec) -> Any:
    z, y, w, t = primals
    dz, dy, dw, dt = tangents
    result = bind(push_p, z, y, w, t, spec=spec)
    changes = [] if _is_zero(dt) else [bind(push_p, z, y, w, dt, spec=spec)]
    if not _is_zero(dz):
        one = jnp.ones(result.shape, result.dtype)
        product = bind(hvp_p, z, y, w, one, t, spec=spec).astype(result.dtype)
        changes.append(jnp.sum(product * dz.astype(product.dtype), axis=-1))
    changes += _change_in_targets(
        lambda y, w: jax.jvp(lambda z: _composed_loss(z, y, w, spec).astype(result.dtype), (z,), (t,))[1], y, w, dy, dw
    )
    return result, _summed(changes, result)


def _gradient_jvp(primals: Any, tangents: Any, *, spec: LossSpec) -> Any:
    z, y, w, s = primals
    dz, dy, dw, ds = tangents
    result = bind(gradient_p, z, y, w, s, spec=spec)
    changes = [] if _is_zero(ds) else [bind(gradient_p, z, y, w, ds, spec=spec)]
    if not _is_zero(dz):
        changes.append(bind(hvp_p, z, y, w, s, dz, spec=spec))
    changes += _change_in_targets(lambda y, w: _composed_gradient(z, y, w, s, spec), y, w, dy, dw)
    return result, _summed(changes, result)


def _hvp_jvp(primals: Any, tangents: Any, *, spec: LossSpec) -> Any:
    z, y, w, s, v = primals
    dz, dy, dw, ds, dv = tangents
    result = bind(hvp_p, z, y, w, s, v, spec=spec)
    changes = [] if _is_zero(ds) else [bind(hvp_p, z, y, w, ds, v, spec=spec)]
    if not _is_zero(dv):
        changes.append(bind(hvp_p, z, y, w, s, dv, spec=spec))
    if not _is_zero(dz):
        changes.append(_third_derivative(z, y, w, s, v, dz, spec))
    changes += _change_in_targets(
        lambda y, w: jax.jvp(lambda z: _composed_gradient(z, y, w, s, spec), (z,), (v,))[1], y, w, dy, dw
    )
    return result, _summed(changes, result)


def _third_derivative(z: Any, y: Any, w: Any, s: Any, v: Any, dz: Any, spec: LossSpec) -> Any:
    wide = z.astype(_wide(z))
    p = softmax_p.bind(wide)
    lse = logsumexp_p.bind(wide) if spec.z_loss else None
    result = _closed_forms.third_derivative(
        p, lse, v.astype(wide.dtype), dz.astype(wide.dtype), targets(z, y, w), spec, _softmax_product
    )
    return (result * s[..., None].astype(wide.dtype)).astype(z.dtype)


def _centred(p: Any, v: Any) -> Any:
    """Subtract pᵀv from v, by way of differences with v at a largest p, so that digits do not cancel."""
    difference = v - jnp.take_along_axis(v, jnp.argmax(p, axis=-1, keepdims=True), axis=-1)
    return difference - jnp.sum(p * difference, axis=-1, keepdims=True)


def _softmax_product(p: Any, v: Any) -> Any:
    return p * _centred(p, v)


def _push_transpose(ct: Any, z: Any, y: Any, w: Any, t: Any, *, spec: LossSpec) -> Any:
    if _is_zero(ct):
        return None, None, None, ad.Zero(t.aval)
    return None, None, None, bind(gradient_p, z, y, w, ct, spec=spec).astype(t.aval.dtype)


def _gradient_transpose(ct: Any, z: Any, y: Any, w: Any, s: Any, *, spec: LossSpec) -> Any:
    if _is_zero(ct):
        return None, None, None, ad.Zero(s.aval)
    return None, None, None, bind(push_p, z, y, w, ct, spec=spec).astype(s.aval.dtype)


def _hvp_transpose(ct: Any, z: Any, y: Any, w: Any, s: Any, v: Any, *, spec: LossSpec) -> Any:
    if ad.is_undefined_primal(v):
        if _is_zero(ct):
            return None, None, None, None, ad.Zero(v.aval)
        return None, None, None, None, bind(hvp_p, z, y, w, s, ct, spec=spec).astype(v.aval.dtype)
    if _is_zero(ct):
        return None, None, None, ad.Zero(s.aval), None
    one = jnp.ones(s.aval.shape, s.aval.dtype)
    product = bind(hvp_p, z, y, w, one, v, spec=spec).astype(s.aval.dtype)
    return None, None, None, jnp.sum(product * ct.astype(product.dtype), axis=-1), None


def _softmax_jvp(primals: Any, tangents: Any) -> Any:
    p = softmax_p.bind(*primals)
    return p, _softmax_product(p, tangents[0])


def _log_softmax_jvp(primals: Any, tangents: Any) -> Any:
    (z,), (v,) = primals, tangents
    return log_softmax_p.bind(z), _centred(softmax_p.bind(z), v)


def _logsumexp_jvp(primals: Any, tangents: Any) -> Any:
    (z,), (v,) = primals, tangents
    return logsumexp_p.bind(z), jnp.sum(softmax_p.bind(z) * v, axis=-1)


ad.primitive_jvps[loss_p] = _loss_jvp
ad.primitive_jvps[push_p] = _push_jvp
ad.primitive_jvps[gradient_p] = _gradient_jvp
ad.primitive_jvps[hvp_p] = _hvp_jvp
ad.primitive_jvps[softmax_p] = _softmax_jvp
ad.primitive_jvps[log_softmax_p] = _log_softmax_jvp
ad.primitive_jvps[logsumexp_p] = _logsumexp_jvp
ad.primitive_transposes[push_p] = _push_transpose
ad.primitive_transposes[gradient_p] = _gradient_transpose
ad.primitive_transposes[hvp_p] = _hvp_transpose
