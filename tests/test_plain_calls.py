"""Calls with plain arguments, which bypass the checks: the same results, errors and writes as with the checks."""

import gc
import sys
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import softgrad as sg
from softgrad import _core

WITH_OUT = [sg.softmax, sg.log_softmax, sg.cross_entropy_grad, sg.cross_entropy_value_and_grad]
WITHOUT_OUT = [sg.logsumexp, sg.cross_entropy]
OF_LOGITS = [sg.softmax, sg.log_softmax, sg.logsumexp]
OF_TARGETS = [sg.cross_entropy, sg.cross_entropy_grad, sg.cross_entropy_value_and_grad]
FUNCTIONS = WITH_OUT + WITHOUT_OUT


@contextmanager
def without_shortcut(function):
    """Check the arguments of every call."""
    with mock.patch.object(_core, f"try_{function.__name__}", return_value=None):
        yield


@contextmanager
def recorded_shortcut(function):
    """Record whether each call was accepted as plain."""
    name, accepted = f"try_{function.__name__}", []
    shortcut = getattr(_core, name)

    def recorded(*arguments):
        result = shortcut(*arguments)
        accepted.append(result is not None)
        return result

    with mock.patch.object(_core, name, recorded):
        yield accepted


def written(array):
    """The bytes of an array, but text of long doubles, whose bytes contain padding."""
    return repr(array.tolist()) if array.dtype == np.longdouble else array.tobytes()


def bits(value):
    """An array or scalar as its type, its layout and its bytes, and those of the array that it is a view of."""
    if isinstance(value, tuple):
        return tuple(map(bits, value))
    if not isinstance(value, np.ndarray | np.generic):
        return value
    base = value.base if isinstance(value.base, np.ndarray) else value
    return type(value), value.dtype.str, value.shape, value.flags.c_contiguous, written(value), written(base)


def outcome(function, arguments):
    """The results or the error of a call, its arguments afterwards, and whether `out` was returned."""
    out = arguments.get("out")
    try:
        results = function(**arguments)
    except Exception as error:  # whatever the checks raise
        return type(error), str(error), bits(tuple(arguments.values()))
    returned = out is not None and any(r is out for r in (results if isinstance(results, tuple) else (results,)))
    return bits(results), bits(tuple(arguments.values())), returned


def z_f(*shape, dtype=np.float32):
    return (3 * np.random.default_rng(1).standard_normal(shape)).astype(dtype)


def labels(*shape, classes=3):
    return np.random.default_rng(2).integers(classes, size=shape)


class Subclass(np.ndarray):
    pass


class Index(int):
    pass


class ArrayLike:
    def __array__(self, dtype=None, copy=None):
        return z_f(4, 3)


ARRAY_LIKE = ArrayLike()


def unaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
    raw[:] = np.frombuffer(array.tobytes(), np.uint8)
    return raw.view(array.dtype).reshape(array.shape)


def frozen(array):
    array.setflags(write=False)
    return array


def halves(rows, shift):
    """Two arrays of `rows` rows in one memory, the second one `shift` rows further on."""
    both = z_f(rows + shift, 3)
    return both[:rows], both[shift:]


def out_over(shift):
    z, out = halves(4, shift)
    return dict(logits=z, out=out)


def out_with_other_strides():
    z = z_f(4, 3)
    return dict(logits=z[:1], out=z[::2][:1], target=labels(1))


def out_over_labels():
    memory = np.zeros(4 + 6, np.int64)
    return dict(out=memory[:6].view(np.float32).reshape(4, 3), target=memory[5:9])


def labels_beside_out():
    memory = np.zeros(4 + 6, np.int64)
    return dict(out=memory[:6].view(np.float32).reshape(4, 3), target=memory[6:])


def labels_in_logits():
    memory = np.zeros(6, np.int64)
    return dict(logits=memory.view(np.float32).reshape(4, 3), target=memory[:4])


def in_place(z):
    return dict(logits=z, out=z)


# The arguments that differ from logits=z_f(4, 3), target=labels(4).
PLAIN = {
    "defaults": dict,
    "float64": lambda: dict(logits=z_f(4, 3, dtype=np.float64)),
    "out": lambda: dict(out=z_f(4, 3)),
    "in place": lambda: in_place(z_f(4, 3)),
    "in place, float64": lambda: in_place(z_f(4, 3, dtype=np.float64)),
    "first axis": lambda: dict(axis=0, target=labels(3)),
    "first axis from the back": lambda: dict(axis=-2, target=labels(3)),
    "middle axis, out": lambda: dict(logits=z_f(2, 3, 5), target=labels(2, 5), axis=1, out=z_f(2, 3, 5)),
    "vector": lambda: dict(logits=z_f(3), target=np.array(1)),
    "a row of one class": lambda: dict(logits=z_f(1, 1), target=labels(1, classes=1)),
    "rows of a matrix": lambda: dict(logits=z_f(9, 3)[2:6]),
    "out beside the logits": lambda: out_over(4),
    "labels beside out": labels_beside_out,
    "labels in the memory of the logits": labels_in_logits,
    "read-only inputs": lambda: dict(logits=frozen(z_f(4, 3)), target=frozen(labels(4))),
    "special values": lambda: dict(
        logits=np.array([[np.nan, 0, 1], [np.inf, 0, 1], [-np.inf, 0, 1], [-np.inf] * 3], np.float32)
    ),
    "beyond the size that keeps the lock": lambda: dict(logits=z_f(2000, 3), target=labels(2000)),
    "beyond the size that takes one thread": lambda: dict(
        logits=z_f(22_000, 3), target=labels(22_000), out=z_f(22_000, 3)
    ),
}

NOT_PLAIN = {
    # logits
    "list": lambda: dict(logits=z_f(4, 3).tolist()),
    "None": lambda: dict(logits=None),
    "text": lambda: dict(logits="logits"),
    "array-like": lambda: dict(logits=ARRAY_LIKE),
    "integers": lambda: dict(logits=labels(4, 3)),
    "Booleans": lambda: dict(logits=z_f(4, 3) > 0),
    "float16": lambda: dict(logits=z_f(4, 3, dtype=np.float16)),
    "bfloat16": lambda: dict(logits=z_f(4, 3, dtype=ml_dtypes.bfloat16)),
    "longdouble": lambda: dict(logits=z_f(4, 3, dtype=np.longdouble)),
    "complex": lambda: dict(logits=z_f(4, 3, dtype=np.complex64)),
    "objects": lambda: dict(logits=np.full((4, 3), None)),
    "swapped bytes": lambda: dict(logits=z_f(4, 3, dtype=np.dtype(np.float32).newbyteorder())),
    "dtype with metadata": lambda: dict(logits=z_f(4, 3, dtype=np.dtype(np.float32, metadata={"unit": "nat"}))),
    "unaligned": lambda: dict(logits=unaligned(z_f(4, 3))),
    "Fortran": lambda: dict(logits=np.asfortranarray(z_f(4, 3))),
    "strided": lambda: dict(logits=z_f(4, 6)[:, ::2]),
    "reversed": lambda: dict(logits=z_f(4, 3)[::-1]),
    "broadcast": lambda: dict(logits=np.broadcast_to(z_f(3), (4, 3))),
    "masked": lambda: dict(logits=np.ma.masked_less(z_f(4, 3), 0)),
    "matrix": lambda: dict(logits=z_f(4, 3).view(np.matrix)),
    "subclass": lambda: dict(logits=z_f(4, 3).view(Subclass)),
    "without axes": lambda: dict(logits=np.array(1, np.float32)),
    "no rows": lambda: dict(logits=z_f(0, 3), target=labels(0)),
    "no classes": lambda: dict(logits=z_f(4, 0)),
    # axis
    "axis out of range": lambda: dict(axis=2),
    "axis too far from the back": lambda: dict(axis=-3),
    "huge axis": lambda: dict(axis=2**70),
    "axis beyond an int": lambda: dict(axis=2**32 + 1),
    "axis below an int": lambda: dict(axis=-(2**32) - 1),
    "axis True": lambda: dict(axis=True),
    "axis of NumPy": lambda: dict(axis=np.int64(1)),
    "axis of a subclass": lambda: dict(axis=Index(1)),
    "axis None": lambda: dict(axis=None),
    "two axes": lambda: dict(axis=(0, 1)),
    "axis a float": lambda: dict(axis=1.0),
}

BAD_OUT = {
    "out float64": lambda: dict(out=z_f(4, 3, dtype=np.float64)),
    "out float32": lambda: dict(logits=z_f(4, 3, dtype=np.float64), out=z_f(4, 3)),
    "out of integers": lambda: dict(out=np.zeros((4, 3), np.int32)),
    "out with swapped bytes": lambda: dict(out=z_f(4, 3, dtype=np.dtype(np.float32).newbyteorder())),
    "out with fewer rows": lambda: dict(out=z_f(3, 3)),
    "out transposed": lambda: dict(out=z_f(3, 4)),
    "out with another axis": lambda: dict(out=z_f(1, 4, 3)),
    "out with an axis of length one": lambda: dict(out=z_f(4, 3, 1)),
    "out flat": lambda: dict(out=z_f(12)),
    "out read-only": lambda: dict(out=frozen(z_f(4, 3))),
    "read-only in place": lambda: in_place(frozen(z_f(4, 3))),
    "out that warns": lambda: dict(logits=z_f(1, 3), target=labels(1), out=np.broadcast_arrays(z_f(3), z_f(1, 3))[0]),
    "out Fortran": lambda: dict(out=np.asfortranarray(z_f(4, 3))),
    "out strided": lambda: dict(out=z_f(4, 6)[:, ::2]),
    "out unaligned": lambda: dict(out=unaligned(z_f(4, 3))),
    "out masked": lambda: dict(out=np.ma.masked_less(z_f(4, 3), 0)),
    "out matrix": lambda: dict(out=z_f(4, 3).view(np.matrix)),
    "out subclass": lambda: dict(out=z_f(4, 3).view(Subclass)),
    "out list": lambda: dict(out=z_f(4, 3).tolist()),
    "out True": lambda: dict(out=True),
    "out NumPy's True": lambda: dict(out=np.True_),
    "out a row further on": lambda: out_over(1),
    "out three rows further on": lambda: out_over(3),
    "out before the logits": lambda: dict(zip(("out", "logits"), halves(4, 1), strict=True)),
    "out another view of the logits": lambda: out_over(0),
    "out with other strides": out_with_other_strides,
    "rows in place in a read-only matrix": lambda: in_place(frozen(z_f(9, 3))[2:6]),
}

OTHER_TARGETS = {
    "labels int32": lambda: dict(target=labels(4).astype(np.int32)),
    "labels uint64": lambda: dict(target=labels(4).astype(np.uint64)),
    "labels longlong": lambda: dict(target=labels(4).astype(np.longlong)),
    "labels with swapped bytes": lambda: dict(target=labels(4).astype(np.dtype(np.int64).newbyteorder())),
    "labels in a list": lambda: dict(target=[0, 2, 1, 1]),
    "labels of floats": lambda: dict(target=labels(4).astype(np.float64)),
    "labels Boolean": lambda: dict(target=np.array([True, False, True, False])),
    "labels None": lambda: dict(target=None),
    "labels masked": lambda: dict(target=np.ma.masked_equal(labels(4), 1)),
    "labels of a subclass": lambda: dict(target=labels(4).view(Subclass)),
    "labels strided": lambda: dict(target=labels(8)[::2]),
    "labels reversed": lambda: dict(target=labels(4)[::-1]),
    "labels unaligned": lambda: dict(target=unaligned(labels(4))),
    "labels broadcast": lambda: dict(target=np.broadcast_to(np.int64(1), (4,))),
    "too few labels": lambda: dict(target=labels(3)),
    "too many labels": lambda: dict(target=labels(5)),
    "labels in a column": lambda: dict(target=labels(4, 1)),
    "labels of the shape of the logits": lambda: dict(target=labels(4, 3)),
    "labels of the other axis": lambda: dict(axis=0, target=labels(4)),
    "labels with their axes swapped": lambda: dict(logits=z_f(2, 3, 5), target=labels(5, 2), axis=1),
    "labels along the wrong axis": lambda: dict(logits=z_f(2, 3, 5), target=labels(2, 3), axis=1),
    "a label too large": lambda: dict(target=np.array([0, 3, 1, -7])),
    "a label too small": lambda: dict(target=np.array([0, 2, 1, -1])),
    "a huge label": lambda: dict(target=np.array([0, 2, 2**63 - 1, 1])),
    "a bad label in place": lambda: in_place(z_f(4, 3)) | dict(target=np.array([0, 2, 1, 3])),
    "a bad label and a bad out": lambda: dict(out=z_f(3, 3), target=np.array([0, 2, 1, 3])),
    "an integer": lambda: dict(logits=z_f(3), target=1),
    "a vector of one label": lambda: dict(logits=z_f(3), target=labels(1)),
    "probabilities": lambda: dict(target=np.full((4, 3), 1 / 3)),
    "out over the labels": out_over_labels,
    "weight": lambda: dict(weight=np.array([1.0, 2, 3])),
    "a bad weight": lambda: dict(weight=[1, 2]),
    "mean": lambda: dict(reduction="mean"),
    "sum": lambda: dict(reduction="sum"),
    "none": lambda: dict(reduction="none"),
    "smoothing": lambda: dict(label_smoothing=0.1),
    "ignored": lambda: dict(ignore_index=1),
    "z-loss": lambda: dict(z_loss=0.5),
    "an unknown option": lambda: dict(smoothing=0.1),
}


class Case(NamedTuple):
    functions: list
    arguments: object
    plain: bool


CASES = (
    {name: Case(FUNCTIONS, case, True) for name, case in PLAIN.items()}
    | {name: Case(FUNCTIONS, case, False) for name, case in NOT_PLAIN.items()}
    | {name: Case(WITH_OUT, case, False) for name, case in BAD_OUT.items()}
    | {name: Case(OF_TARGETS, case, False) for name, case in OTHER_TARGETS.items()}
)


def arguments_for(function, case):
    arguments = dict(logits=z_f(4, 3), target=labels(4)) | case.arguments()
    if function in WITHOUT_OUT:
        arguments.pop("out", None)
    if function in OF_LOGITS:
        arguments.pop("target")
    return arguments


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_same_results_errors_and_writes_as_with_the_checks(case):
    for function in case.functions:
        with recorded_shortcut(function) as accepted:
            got = outcome(function, arguments_for(function, case))
        with without_shortcut(function):
            expected = outcome(function, arguments_for(function, case))
        assert got == expected, function.__name__
        if function not in WITHOUT_OUT or "out" not in case.arguments():
            assert any(accepted) == case.plain, function.__name__


def layouts(shape):
    """The step along each axis, and the order of the axes in memory."""
    steps = st.tuples(*[st.sampled_from([1, 1, 1, 2, -1]) for _ in shape])
    return st.tuples(steps, st.one_of(st.just(range(len(shape))), st.permutations(range(len(shape)))))


def laid_out(memory, start, shape, layout):
    """An array of a shape in one-dimensional memory from `start` on."""
    steps, order = layout
    storage = [abs(steps[i]) * shape[i] for i in order]
    size = int(np.prod(storage))
    stored = memory[start : start + size].reshape(storage).transpose(np.argsort(order))
    return stored[tuple(slice(None, None, step) for step in steps)]


@settings(max_examples=60)
@given(st.data())
def test_same_for_any_shape_axis_and_layout(data):
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    axis = data.draw(st.integers(-4, 3))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    layout, out_layout = data.draw(layouts(shape)), data.draw(layouts(shape))
    starts = data.draw(st.tuples(st.integers(0, 12), st.one_of(st.none(), st.integers(0, 600))))
    at = axis % len(shape) if shape else 0
    target = labels(*shape[:at], *shape[at + 1 :], classes=max(1, shape[at] if shape else 1))

    def arguments():
        memory = z_f(1200, dtype=dtype)
        out = None if starts[1] is None else laid_out(memory, starts[1], shape, out_layout)
        return dict(logits=laid_out(memory, starts[0], shape, layout), axis=axis, out=out)

    for function, more in ((sg.softmax, {}), (sg.cross_entropy_value_and_grad, dict(target=target))):
        got = outcome(function, arguments() | more)
        with without_shortcut(function):
            assert got == outcome(function, arguments() | more)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_loss_is_a_scalar_of_its_own(dtype):
    z, y = z_f(4, 3, dtype=dtype), labels(4)
    first = sg.cross_entropy(z, y)
    kept = float(first)
    second, gradient = sg.cross_entropy_value_and_grad(2 * z, y)
    lse = sg.logsumexp(z[0])
    assert type(first) is type(second) is type(lse) is dtype
    assert float(first) == kept != float(second)
    assert not np.shares_memory(gradient, sg.cross_entropy_grad(z, y))


@pytest.mark.parametrize("name", ["out", "a bad label in place", "out another view of the logits", "huge axis"])
def test_no_reference_is_kept(name):
    for function in [f for f in WITH_OUT if f in CASES[name].functions]:
        arguments = arguments_for(function, CASES[name])
        held = [*arguments.values(), np.dtype(np.float32), np.dtype(np.int64), None]
        before = [sys.getrefcount(value) for value in held]
        inputs = [arguments[key] for key in ("logits", "target") if key in arguments]
        shortcut = getattr(_core, f"try_{function.__name__}")
        for _ in range(100):
            shortcut(*inputs, arguments.get("axis", -1), arguments.get("out"))
        after = [sys.getrefcount(value) for value in held]
        assert np.abs(np.subtract(after, before)).max() < 100, function.__name__


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="later Pythons collect garbage between bytecodes only")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_garbage_is_collected_during_a_call(function):
    """A finalizer could wait for the interpreter's lock when the process ends, and nanobind would crash."""
    shortcut = getattr(_core, f"try_{function.__name__}")
    inputs = [z_f(4, 3)] if function in OF_LOGITS else [z_f(4, 3), labels(4)]
    rest = [-1] if function in WITHOUT_OUT else [-1, None]
    collections, threshold = [], gc.get_threshold()
    arguments = (*inputs, *rest)
    gc.callbacks.append(lambda phase, _: collections.append(phase))
    gc.set_threshold(1)
    try:
        collections.clear()
        result = shortcut(*arguments)
        count = len(collections)
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.pop()
    assert result is not None
    assert count == 0
