"""Let Triton's interpreter compute as a GPU does, and in less time.

- bfloat16: the interpreter drops the low bits of a float32, and multiplies subnormal numbers (up to version 3.9, the
  newest); a GPU rounds to nearest even.
- tl.fma: the interpreter rounds twice before 3.9.
- tl.maximum and tl.minimum without propagate_nan: before 3.8 the interpreter returns NaN where a GPU returns the other
  number.
- Masks of which a part is a scalar: int32 in the interpreter, which 3.9 refuses to load with.

It takes reductions by a function element by element, looks for what to replace in triton.language at every call of a
function, and makes the type of every result anew; these are most of its time.

The exponential of 16-bit logits, ex2.approx, is NumPy's exp2 here: within 1 ULP where NVIDIA promises 2.
"""

import contextlib
import warnings

import numpy as np
import pytest
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import InterpreterBuilder, ReduceOps, TensorHandle


def nearest_bfloat16(x):
    """The bits of float32 numbers rounded to bfloat16; NaN stays NaN."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16
    return np.where(np.isnan(x), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def cast(original):
    def cast_impl(self, src, dst_type):
        if src.dtype.scalar == tl.float32 and dst_type.scalar == tl.bfloat16:
            return TensorHandle(nearest_bfloat16(src.data), tl.bfloat16)
        if src.dtype.scalar == tl.bfloat16 and dst_type.scalar == tl.float32:
            return TensorHandle((src.data.astype(np.uint32) << 16).view(np.float32), tl.float32)
        return original(self, src, dst_type)

    return cast_impl


def fused_multiply_add(self, x, y, z):
    """Round x y + z once: the product of two float32 is exact in float64, and the sum is rounded to odd there."""
    if z.data.dtype != np.float32:
        return TensorHandle(x.data * y.data + z.data, z.dtype.scalar)
    product, z64 = x.data.astype(np.float64) * y.data, z.data.astype(np.float64)
    total = product + z64
    part = total - product
    rest = (product - (total - part)) + (z64 - part)  # TwoSum: exact
    bits = np.ascontiguousarray(total).view(np.int64)
    inexact = (rest != 0) & np.isfinite(total) & (bits & 1 == 0)
    toward = np.where((rest > 0) == (total > 0), 1, -1)
    odd = np.where(inexact, bits + toward, bits).view(np.float64)
    return TensorHandle(odd.astype(np.float32), tl.float32)


def number_of(select):
    return lambda self, x, y: self.binary_op(x, y, select)


def with_boolean_mask(position, access):
    """A load or a store, whose mask is the argument at this position."""

    def create(self, *args, **options):
        mask = args[position]
        args = (*args[:position], TensorHandle(mask.data.astype(bool), mask.dtype), *args[position + 1 :])
        return access(self, *args, **options)

    return create


def reduce_by_halves(self, tensors):
    """The reduction by a function: of the two halves of the axis, until one element is left."""
    tensors, axis = self.unravel(tensors, self.axis)
    arrays, dtypes = [t.handle.data for t in tensors], [t.dtype for t in tensors]
    while arrays[0].shape[axis] > 1:
        halves = zip(*(np.split(array, 2, axis) for array in arrays), strict=True)
        pairs = [self.to_tensor(*given) for half in halves for given in zip(half, dtypes, strict=True)]
        results = self.combine_fn.fn(*pairs)
        results = results if isinstance(results, tuple) else (results,)
        arrays = [result.handle.data.reshape(pairs[0].handle.data.shape) for result in results]
    if self.axis is None or not self.keep_dims:
        arrays = [array.squeeze(axis) for array in arrays]
    return [self.to_tensor(array if array.shape else array.item(), d) for array, d in zip(arrays, dtypes, strict=True)]


def replaced_once(original):
    def patch_lang(function):
        modules = [m for m in function.__globals__.values() if m is tl or m is tl.core]
        if any(tl.core.is_builtin(m.load) for m in modules):
            return original(function)
        return interpreter._LangPatchScope()

    return patch_lang


def made_once(init):
    """The constructor of block types; those of one shape share their attributes."""
    made = {}

    def construct(self, element_ty, shape):
        key = (element_ty.name, *(getattr(n, "value", n) for n in shape))
        if key not in made:
            init(self, element_ty, shape)
            made[key] = vars(self).copy()
        vars(self).update(made[key])

    return construct


def found_once(function):
    """A function of a type, by its name: types have no hash."""
    found = {}

    def find(of_type):
        if of_type.name not in found:
            found[of_type.name] = function(of_type)
        return found[of_type.name]

    return find


def shape_made_once(init):
    """The constructor of tensors; those of one type share their shapes."""
    made = {}

    def construct(self, handle, type):
        if type.name not in made:
            init(self, handle, type)
            made[type.name] = vars(self).copy()
        vars(self).update(made[type.name], handle=handle)

    return construct


@contextlib.contextmanager
def computing_as_a_gpu():
    """Replace those operations of the interpreter, and silence NumPy about overflow and NaN, which a GPU ignores."""
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        patch.setattr(InterpreterBuilder, "cast_impl", cast(InterpreterBuilder.cast_impl))
        patch.setattr(InterpreterBuilder, "create_fma", fused_multiply_add)
        patch.setattr(InterpreterBuilder, "create_maxnumf", number_of(np.fmax))
        patch.setattr(InterpreterBuilder, "create_minnumf", number_of(np.fmin))
        patch.setattr(
            InterpreterBuilder, "create_masked_load", with_boolean_mask(1, InterpreterBuilder.create_masked_load)
        )
        patch.setattr(
            InterpreterBuilder, "create_masked_store", with_boolean_mask(2, InterpreterBuilder.create_masked_store)
        )
        patch.setattr(tl.block_type, "__init__", made_once(tl.block_type.__init__))
        patch.setattr(tl.tensor, "__init__", shape_made_once(tl.tensor.__init__))
        patch.setattr(ReduceOps, "generic_reduce", reduce_by_halves)
        patch.setattr(interpreter, "_get_np_dtype", found_once(interpreter._get_np_dtype))
        patch.setattr(interpreter, "_patch_lang", replaced_once(interpreter._patch_lang))
        yield
