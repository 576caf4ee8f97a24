"""Rows that are sharded over devices stay where they are; classes that are sharded are gathered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import softgrad.jax as sj

RNG = np.random.default_rng(7)
Z, LABELS, V = RNG.normal(size=(4, 6)).astype(np.float32), np.array([0, 5, 2, 3]), RNG.normal(size=(4, 6))


@pytest.fixture
def mesh():
    devices = jax.devices("cpu")
    if len(devices) < 2:
        pytest.skip("JAX was started with one device before; run this file alone")
    return Mesh(devices[:2], "d")


def loss(z, y):
    return sj.cross_entropy(z, y)


def product(z, y):
    return jax.jvp(lambda z: jax.grad(loss)(z, y), (z,), (jnp.asarray(V, z.dtype),))[1]


FUNCTIONS = {
    "softmax": lambda z, y: sj.softmax(z),
    "logsumexp": lambda z, y: sj.logsumexp(z, axis=1),
    "losses": lambda z, y: sj.cross_entropy(z, y, reduction="none"),
    "loss": loss,
    "gradient": jax.grad(loss),
    "product": product,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sharded_rows_are_not_gathered(mesh, name):
    function = FUNCTIONS[name]
    z = jax.device_put(Z, NamedSharding(mesh, P("d", None)))
    y = jax.device_put(LABELS, NamedSharding(mesh, P("d")))
    compiled = jax.jit(function).lower(z, y).compile()
    assert "all-gather" not in compiled.as_text()
    result = compiled(z, y)
    np.testing.assert_allclose(result, function(Z, LABELS), rtol=1e-6)
    if result.ndim:
        assert result.sharding.spec[0] == "d"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sharded_classes_are_gathered(mesh, name):
    function = FUNCTIONS[name]
    z = jax.device_put(Z, NamedSharding(mesh, P(None, "d")))
    np.testing.assert_allclose(jax.jit(function)(z, LABELS), function(Z, LABELS), rtol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "losses", "gradient"])
def test_shard_map(mesh, name):
    function = FUNCTIONS[name] if name != "gradient" else jax.grad(lambda z, y: sj.cross_entropy(z, y, reduction="sum"))
    mapped = jax.shard_map(function, mesh=mesh, in_specs=(P("d", None), P("d")), out_specs=P("d"))
    np.testing.assert_allclose(jax.jit(mapped)(Z, LABELS), function(Z, LABELS), rtol=1e-6)


@pytest.mark.parametrize("mapped", ["d", "e"])
@pytest.mark.parametrize("name", ["softmax", "logsumexp", "losses"])
def test_shard_map_over_one_of_two_axes(mesh, name, mapped):
    grid = Mesh(mesh.devices.reshape(2, 1), ("d", "e"))
    function = FUNCTIONS[name]
    run = jax.shard_map(function, mesh=grid, in_specs=(P(mapped), P(mapped)), out_specs=P(mapped), axis_names={mapped})
    z, y = (jax.device_put(a, NamedSharding(grid, P("d"))) for a in (Z, LABELS))
    np.testing.assert_allclose(jax.jit(run)(z, y), function(Z, LABELS), rtol=1e-6)
    gradient = jax.jit(jax.grad(lambda z: run(z, y).sum()))(z)
    np.testing.assert_allclose(gradient, jax.grad(lambda z: function(z, LABELS).sum())(Z), atol=1e-6)


def test_shard_map_of_logits_that_all_devices_share(mesh):
    """Their gradient is the sum over the devices, whose labels or class weights differ."""

    def total(z, y, w):
        rows = jnp.broadcast_to(z, (*y.shape, 6))
        return jax.lax.psum(sj.cross_entropy(rows, y, weight=w, reduction="sum"), "d")

    mapped = jax.shard_map(total, mesh=mesh, in_specs=(P(), P("d"), P()), out_specs=P())
    whole = lambda z, y, w: sj.cross_entropy(jnp.broadcast_to(z, (4, 6)), y, weight=w, reduction="sum")  # noqa: E731
    w = np.arange(1, 7, dtype=np.float32)
    gradients = jax.jit(jax.grad(mapped, (0, 2)))(Z[0], LABELS, w)
    for a, b in zip(gradients, jax.grad(whole, (0, 2))(Z[0], LABELS, w), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="out_specs"):  # not the same on all devices without psum
        jax.shard_map(loss, mesh=mesh, in_specs=(P(), P("d")), out_specs=P())(Z[:2], LABELS)


@pytest.mark.parametrize("name", ["losses", "gradient", "product"])
def test_a_label_that_is_no_class_is_nan_on_several_devices(mesh, name):
    """An error on one of them would leave the others waiting for its part of the mean, until XLA aborts the process."""
    options = {"weight": np.arange(6, dtype=np.float32), "reduction": "sum"}
    gradient = jax.grad(lambda z, y: sj.cross_entropy(z, y, **options))
    function = {
        "losses": FUNCTIONS["losses"],
        "gradient": gradient,
        "product": lambda z, y: jax.jvp(lambda z: gradient(z, y), (z,), (z,))[1],
    }[name]
    rows = NamedSharding(mesh, P("d"))
    z, y = jax.device_put(Z, rows), jax.device_put(np.array([0, 9, 2, -1]), rows)
    for run in (function, jax.shard_map(function, mesh=mesh, in_specs=(P("d"), P("d")), out_specs=P("d"))):
        result = np.asarray(jax.jit(run)(z, y)).reshape(4, -1)
        np.testing.assert_array_equal(np.isnan(result).all(1), [False, True, False, True])
        assert np.isfinite(result[::2]).all()
    assert np.isnan(jax.jit(loss)(z, y))
