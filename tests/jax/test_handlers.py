"""The handlers of XLA's foreign function calls, under jit, against softgrad's NumPy functions bit for bit."""

import functools

import jax
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import softgrad as sg
from softgrad.jax import _lowering

_lowering.register_handlers()

SHAPE = (2, 3, 7)
BFLOAT16 = ml_dtypes.bfloat16
SOFTMAX, LOG_SOFTMAX, LOGSUMEXP = np.int32([0, 1, 2])
# Whether JAX has 64-bit types, and then those of the logits and of everything else.
TYPES = [
    (False, np.float16, np.float32, np.int32),
    (False, BFLOAT16, np.float32, np.int32),
    (False, np.float32, np.float32, np.int32),
    (True, np.float32, np.float64, np.int64),
    (True, np.float64, np.float64, np.int32),
]
OPTIONS = {
    "labels": {},
    "weight": {"weight": True, "ignore_index": -(2**31)},
    "smoothing": {"weight": True, "ignore_index": 2, "label_smoothing": 0.25, "z_loss": 0.5},
    "probabilities": {"probabilities": True, "label_smoothing": 0.25, "z_loss": 0.5},
    "weighted probabilities": {"probabilities": True, "weight": True},
}


@pytest.fixture(autouse=True)
def x64(request):
    """64-bit types in JAX for tests whose parameter `wide` is true."""
    callspec = getattr(request.node, "callspec", None)
    jax.config.update("jax_enable_x64", bool(callspec and callspec.params.get("wide")))
    yield
    jax.config.update("jax_enable_x64", False)


def like(array, shape=None, dtype=None):
    return jax.ShapeDtypeStruct(array.shape if shape is None else shape, array.dtype if dtype is None else dtype)


def attributes(ignore_index=None, label_smoothing=0.0, z_loss=0.0):
    return {
        "has_ignore_index": ignore_index is not None,
        "ignore_index": np.int64(0 if ignore_index is None else ignore_index),
        "label_smoothing": np.float64(label_smoothing),
        "z_loss": np.float64(z_loss),
    }


def call(name, results, *arguments, **given):
    """The results of one handler under jit; with a side effect, because XLA drops calls without elements otherwise."""
    return jax.jit(lambda *arrays: jax.ffi.ffi_call(name, results, has_side_effect=True)(*arrays, **given))(*arguments)


def loss(z, target, weight=np.zeros(0, np.float32), **options):  # noqa: B008  # never written
    return call("softgrad_loss", like(z, z.shape[:-1], np.float32), z, target, weight, **attributes(**options))


def logits(shape, dtype, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


@pytest.mark.parametrize(("wide", "dtype"), sorted({(t[0], t[1]) for t in TYPES}, key=str))
@pytest.mark.parametrize("shape", [SHAPE, (5,)])
def test_softmax(shape, dtype, wide):
    z = logits(shape, dtype)

    def all_kinds(z):
        in_rows = jax.ffi.ffi_call("softgrad_softmax", like(z))
        probs = in_rows(z, kind=SOFTMAX)
        lse = jax.ffi.ffi_call("softgrad_softmax", like(z, shape[:-1]))(z, kind=LOGSUMEXP)
        return probs, in_rows(z, kind=LOG_SOFTMAX), lse

    probs, log_probs, lse = jax.jit(all_kinds)(z)
    np.testing.assert_array_equal(probs, sg.softmax(z), strict=True)
    np.testing.assert_array_equal(log_probs, sg.log_softmax(z), strict=True)
    np.testing.assert_array_equal(lse, sg.logsumexp(z))


@pytest.mark.parametrize(("wide", "dtype", "real", "integer"), TYPES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_losses(options, dtype, real, integer, wide):
    """Factors of rows are powers of two, with which products are exact."""
    options = dict(options)
    rng = np.random.default_rng(7)
    z, v = logits(SHAPE, dtype), logits(SHAPE, dtype, 1)
    target = rng.integers(0, SHAPE[-1], SHAPE[:-1]).astype(integer)
    if "ignore_index" in options:
        target[0, 1] = options["ignore_index"]
    if options.pop("probabilities", False):
        target = rng.dirichlet(np.ones(SHAPE[-1]), SHAPE[:-1]).astype(dtype if real is np.float32 else real)
    weight = np.array([0.5, 2, 0, 1, 4, 0.25, 1] if options.pop("weight", False) else [], real)
    s = np.array([[1, -2, 0.5], [0.25, -1, 4]], real)

    def all_results(z, target, weight, s, v):
        ffi_call, given, losses = jax.ffi.ffi_call, attributes(**options), like(z, SHAPE[:-1], losses_dtype)
        three = (z, target, weight)
        return (
            ffi_call("softgrad_loss", losses)(*three, **given),
            ffi_call("softgrad_gradient", like(z))(*three, s, **given),
            ffi_call("softgrad_hvp", like(z))(*three, s, v, **given),
        )

    losses_dtype = np.float64 if dtype is np.float64 else np.float32
    value, gradient, product = jax.jit(all_results)(z, target, weight, s, v)
    options |= {"reduction": "none", "weight": weight if weight.size else None}
    np.testing.assert_array_equal(value, sg.cross_entropy(z, target, **options), strict=True)
    factors = s[..., None].astype(dtype)
    np.testing.assert_array_equal(gradient, factors * sg.cross_entropy_grad(z, target, **options), strict=True)
    np.testing.assert_array_equal(product, factors * sg.cross_entropy_hvp(z, target, v, **options), strict=True)


def test_large_results():
    """Large results are in huge pages, unless they overwrite an argument, which requesting these would erase."""
    z = logits((1100, 1000), np.float32)
    np.testing.assert_array_equal(call("softgrad_softmax", like(z), z, kind=SOFTMAX), sg.softmax(z))
    in_place = jax.ffi.ffi_call("softgrad_softmax", like(z), input_output_aliases={0: 0})
    donated = jax.numpy.array(z)
    result = jax.jit(lambda z: in_place(z, kind=SOFTMAX), donate_argnums=0)(donated)
    assert donated.is_deleted()
    np.testing.assert_array_equal(result, sg.softmax(z))


def test_two_devices_at_once(threads):
    """Devices that compute at the same time divide the threads."""
    threads(2)
    z = logits((4000, 100), np.float32)
    mesh = Mesh(jax.devices("cpu")[:2], ("rows",))

    @jax.jit
    @functools.partial(
        jax.shard_map, mesh=mesh, in_specs=PartitionSpec("rows"), out_specs=PartitionSpec("rows"), check_vma=False
    )
    def softmax(z):
        return jax.ffi.ffi_call("softgrad_softmax", like(z))(z, kind=SOFTMAX)

    results = [softmax(z) for _ in range(10)]
    assert len(results[0].sharding.device_set) == 2
    for result in results:
        np.testing.assert_array_equal(result, sg.softmax(z))


@pytest.mark.parametrize("integer", [np.int32, np.int64])
@pytest.mark.parametrize("wide", [False, True])
def test_labels_out_of_range(wide, integer):
    """The texts of the NumPy functions."""
    z, labels = logits(SHAPE, np.float32), np.zeros(SHAPE[:-1], integer)
    for label in (9, -3):
        labels[1, 2] = label
        with pytest.raises(IndexError) as expected:
            sg.cross_entropy(z, labels)
        with pytest.raises(jax.errors.JaxRuntimeError, match=r"^INVALID_ARGUMENT: ") as error:
            loss(z, labels)
        assert str(error.value).splitlines()[0] == f"INVALID_ARGUMENT: {expected.value}"
    np.testing.assert_array_equal(
        loss(z, labels, ignore_index=-3), sg.cross_entropy(z, labels, reduction="none", ignore_index=-3)
    )
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"target is 7; expected a class index from 0 to 6"):
        loss(z[0, 0], integer(7))


ROWS, PLAIN = logits((3, 4), np.float32), attributes()
LABELS, WEIGHT, FACTORS = np.zeros(3, np.int32), np.ones(4, np.float32), np.ones(3, np.float32)
LOSS = like(ROWS, (3,))
REJECTED = [
    ("softgrad_softmax", like(ROWS), (ROWS,), {}, "no attribute kind, a scalar of XLA type 4"),
    ("softgrad_softmax", like(ROWS), (ROWS,), {"kind": 1.0}, "no attribute kind, a scalar of XLA type 4"),
    ("softgrad_softmax", like(ROWS), (ROWS,), {"kind": "softmax"}, "no attribute kind, a scalar of XLA type 4"),
    ("softgrad_softmax", like(ROWS), (ROWS,), {"kind": np.int32(3)}, "kind is 3; expected 0, 1 or 2"),
    ("softgrad_softmax", like(ROWS), (ROWS, ROWS), {"kind": SOFTMAX}, "2 arguments and 1 results; expected 1 and 1"),
    ("softgrad_softmax", LOSS, (ROWS,), {"kind": SOFTMAX}, r"out has .* shape \(3,\); expected shape \(3, 4\)"),
    ("softgrad_softmax", like(ROWS), (LABELS,), {"kind": SOFTMAX}, "logits has XLA type 4 .*; expected an array of f"),
    ("softgrad_softmax", like(FACTORS, ()), (FACTORS[0],), {"kind": LOGSUMEXP}, "expected at least one axis"),
    ("softgrad_hvp", like(ROWS), (ROWS, LABELS, WEIGHT, FACTORS, ROWS[:2]), PLAIN, r"v has .*shape \(3, 4\)"),
    ("softgrad_hvp", like(ROWS), (ROWS, LABELS, WEIGHT, FACTORS, ROWS.astype(np.float16)), PLAIN,
     "v has .*expected the dtype of the first"),
    ("softgrad_loss", LOSS, (ROWS, LABELS[:2], WEIGHT), PLAIN, r"target has .*expected shape \(3,\)"),
    ("softgrad_loss", LOSS, (ROWS, FACTORS, WEIGHT), PLAIN, r"target has .*expected shape \(3, 4\)"),
    ("softgrad_loss", LOSS, (ROWS, LABELS.astype(np.int8), WEIGHT), PLAIN, "target has .*expected labels of int32"),
    ("softgrad_loss", LOSS, (ROWS, LABELS, WEIGHT[:2]), PLAIN, r"weight has .*expected shape \(4,\), or \(0,\) for no"),
    ("softgrad_loss", LOSS, (ROWS, LABELS, np.ones(4, np.float16)), PLAIN, "weight has .*expected class weights of f"),
    ("softgrad_loss", like(ROWS, (3,), np.float16), (ROWS, LABELS, WEIGHT), PLAIN, "loss has .*expected float64 for"),
    ("softgrad_gradient", like(ROWS), (ROWS, LABELS, WEIGHT, FACTORS[:1]), PLAIN, r"s has .*expected shape \(3,\)"),
    ("softgrad_loss", LOSS, (ROWS[:, :0], LABELS, WEIGHT[:0]), PLAIN, r"logits has shape \(3, 0\): no classes along a"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "results", "arguments", "given", "text"), REJECTED)
def test_wrong_calls(name, results, arguments, given, text):
    with pytest.raises(jax.errors.JaxRuntimeError, match=f"^INVALID_ARGUMENT: .*{text}"):
        jax.block_until_ready(call(name, results, *arguments, **given))


@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16, np.float32])
def test_no_classes(dtype):
    z = np.zeros((3, 0), dtype)
    lse = call("softgrad_softmax", like(z, (3,)), z, kind=LOGSUMEXP)
    np.testing.assert_array_equal(lse, np.full(3, -np.inf, dtype), strict=True)
    assert call("softgrad_softmax", like(z), z, kind=SOFTMAX).shape == (3, 0)


def test_no_rows():
    z, labels = np.zeros((2, 0, 4), np.float32), np.zeros((2, 0), np.int32)
    s, options = np.zeros((2, 0), np.float32), attributes(label_smoothing=0.5)
    assert call("softgrad_loss", like(s), z, labels, WEIGHT, **options).shape == (2, 0)
    assert call("softgrad_gradient", like(z), z, labels, WEIGHT, s, **options).shape == z.shape
    product = call("softgrad_hvp", like(z), z, z, WEIGHT, s, z, **attributes())
    assert product.shape == z.shape
