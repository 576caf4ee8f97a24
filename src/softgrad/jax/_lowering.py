"""How the primitives are compiled: native handlers on the CPU, closed forms on every other device.

Handlers compute whole rows. A sharding rule tells XLA so: rows that are sharded stay where they are, and classes that
are sharded are gathered first.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.custom_partitioning import SdyShardingRule, custom_partitioning
from jax.interpreters import mlir
from jax.sharding import NamedSharding, PartitionSpec

from softgrad import _core
from softgrad.jax._arguments import loss_dtype

if TYPE_CHECKING:
    from collections.abc import Callable

    from jax.extend.core import Primitive

    from softgrad._loss_spec import LossSpec

# The lowering of custom_partitioning needs the devices of the program, and JAX gives them only to programs with one of
# these primitives. It has no public way to say so.
_NEED_DEVICES = jax._src.dispatch.prim_requires_devices_during_lowering
# The arguments of the handlers: logits z, targets y, class weights w, scales of rows s, vectors v.
_ARGUMENTS = {
    "softmax": "z", "log_softmax": "z", "logsumexp": "z", "loss": "zyw", "gradient": "zyws", "hvp": "zywsv",
}  # fmt: skip
_KINDS = {name: np.int32(kind) for kind, name in enumerate(("softmax", "log_softmax", "logsumexp"))}
# Results with one element for each row. All others have the shape of the logits.
WITHOUT_CLASSES = {"loss", "push", "logsumexp"}


def result_dtype(name: str, logits_dtype: Any) -> Any:
    """Return the dtype of a primitive's result: that of a loss for sums over the classes, else that of the logits."""
    return loss_dtype(logits_dtype) if name in ("loss", "push") else logits_dtype


@functools.cache
def register_handlers() -> None:
    """Register the native handlers with XLA, once.

    The first program that uses them does so, not the import: if XLA refused a handler before JAX has started its CPU
    backend, JAX could not start that at all.
    """
    jax.devices("cpu")
    for name, handler in _core.xla_handlers().items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")


def register(
    primitive: Primitive, name: str, closed_form: Callable[..., Any], on_cpu: Callable[..., Any] | None = None
) -> None:
    """Lower a primitive to its closed form; on the CPU to `on_cpu`, or by default to the native handler of its name."""
    mlir.register_lowering(primitive, mlir.lower_fun(closed_form, multiple_results=False))
    if on_cpu is None:

        def on_cpu(*arrays: Any, **options: Any) -> Any:
            # In a shard_map every device has its own rows. Axes of the mesh that are not mapped over have no names for
            # a partitioned call; XLA gathers what is sharded along them.
            if jax.typeof(arrays[0]).sharding.mesh.manual_axes:
                return _call_on_several(name, options.get("spec"), *arrays)
            shapes = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays)
            return _native(name, shapes, **options)(*arrays)

    mlir.register_lowering(primitive, mlir.lower_fun(on_cpu, multiple_results=False), platform="cpu")
    _NEED_DEVICES.add(primitive)


@functools.lru_cache(maxsize=1024)
def _native(name: str, shapes: tuple[jax.ShapeDtypeStruct, ...], spec: LossSpec | None = None) -> Callable[..., Any]:
    """A handler as a function of arrays of these shapes, with its sharding rule."""
    rows = tuple(f"r{i}" for i in range(shapes[0].ndim - 1))
    operands = [rows if argument == "s" else (*rows, "c") for argument in _ARGUMENTS[name]]
    if spec is not None:
        operands[1] = operands[0] if shapes[1].ndim == shapes[0].ndim else rows
        operands[2] = ("c",) if shapes[2].size else ("nothing",)
    result = rows if name in WITHOUT_CLASSES else (*rows, "c")
    call = custom_partitioning(functools.partial(_call, name, spec))

    def partition(mesh: Any, arrays: Any, _: Any) -> Any:
        """Place the rows of every array where those of the logits are, each with all of its classes."""
        placed = arrays[0].sharding.spec
        sharded = {f"r{i}": axis for i, axis in enumerate(placed[: len(rows)])}

        def sharding(factors: tuple[str, ...]) -> NamedSharding:
            return NamedSharding(mesh, PartitionSpec(*map(sharded.get, factors)))

        return mesh, functools.partial(_call_on_several, name, spec), sharding(result), tuple(map(sharding, operands))

    call.def_partition(
        partition=partition,
        sharding_rule=SdyShardingRule(tuple(operands), (result,)),
    )
    return call


def _call(name: str, spec: LossSpec | None, *arrays: Any) -> Any:
    """Call a handler."""
    register_handlers()
    logits = arrays[0]
    shape = logits.shape[:-1] if name in WITHOUT_CLASSES else logits.shape
    result = jax.ShapeDtypeStruct(shape, result_dtype(name, logits.dtype))
    if spec is None:
        return jax.ffi.ffi_call("softgrad_softmax", result)(*arrays, kind=_KINDS[name])
    return jax.ffi.ffi_call(f"softgrad_{name}", result)(
        *arrays,
        ignore_index=np.int64(spec.ignore_index or 0),
        has_ignore_index=spec.ignore_index is not None,
        label_smoothing=np.float64(spec.label_smoothing),
        z_loss=np.float64(spec.z_loss),
    )


def _call_on_several(name: str, spec: LossSpec | None, *arrays: Any) -> Any:
    """Call a handler in a program of several devices, where rows whose label is no class are NaN.

    Were it an error on one device, the others would wait for its part of a sum until XLA aborts the process.
    """
    if spec is None or jnp.issubdtype(arrays[1].dtype, jnp.floating):
        return _call(name, spec, *arrays)
    z, y, w, *scaled = arrays
    valid = is_class(y, z.shape[-1], spec)
    if scaled:
        scaled[0] = jnp.where(valid, scaled[0], jnp.nan)
    result = _call(name, spec, z, jnp.where(valid, y, 0), w, *scaled)
    return result if scaled else jnp.where(valid, result, jnp.nan)


def is_class(labels: Any, classes: int, spec: LossSpec) -> Any:
    """A mask of the labels that are a class, or ignored."""
    valid = (labels >= 0) & (labels < classes)
    return valid if spec.ignore_index is None else valid | (labels == spec.ignore_index)
