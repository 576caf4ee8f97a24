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
