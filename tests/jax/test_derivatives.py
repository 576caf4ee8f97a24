"""Derivatives to third order, of every kind of target, in forward and in reverse mode."""

import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from jax import export
from jax.test_util import check_grads

import softgrad.jax as sj
from tests.jax.precision import x64

RNG = np.random.default_rng(0)
Z, V = RNG.normal(size=(2, 3, 5)) * 2
LABELS, PROBS, WEIGHT = np.array([0, -7, 4]), RNG.random((3, 5)), 0.5 + RNG.random(5)
CASES = {
    "labels": (LABELS, {"ignore_index": -7}),
    "labels, all options": (
        LABELS, {"ignore_index": -7, "label_smoothing": 0.1, "z_loss": 0.3, "weight": WEIGHT, "reduction": "sum"},
    ),
    "probs": (PROBS, {}),
    "probs, all options": (PROBS, {"label_smoothing": 0.1, "z_loss": 0.3, "weight": WEIGHT}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_against_finite_differences(name):
    target, options = CASES[name]
    with x64():
        check_grads(lambda z: sj.cross_entropy(z, target, **options), (Z,), order=3)
        check_grads(lambda z: sj.cross_entropy(z, target, **options | {"reduction": "none"}), (Z,), order=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["labels, all options", "probs, all options"])
def test_of_targets_and_class_weights(name):
    target, options = CASES[name]
    options = {key: value for key, value in options.items() if key != "weight"}
    with x64():
        if name.startswith("probs"):
            check_grads(lambda z, q, w: sj.cross_entropy(z, q, weight=w, **options), (Z, PROBS, WEIGHT), order=2)
        else:
            check_grads(lambda z, w: sj.cross_entropy(z, target, weight=w, **options), (Z, WEIGHT), order=2)


SOFTMAX = {"softmax": sj.softmax, "log_softmax": sj.log_softmax, "logsumexp": lambda z: sj.logsumexp(z, axis=1)}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax(name):
    with x64():
        check_grads(lambda z: SOFTMAX[name](z) ** 2, (Z,), order=3)


def exact_third(z, label, directions):
    """The third derivative of a loss along three directions, by mpmath's numerical differentiation."""
    with mpmath.workdps(40):

        def loss(*steps):
            moved = [mpmath.mpf(float(v)) for v in z]
            for step, direction in zip(steps, directions, strict=True):
                moved = [v + step * mpmath.mpf(float(d)) for v, d in zip(moved, direction, strict=True)]
            return mpmath.log(mpmath.fsum(mpmath.exp(v) for v in moved)) - moved[label]

        return float(mpmath.diff(loss, (0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize("modes", list(itertools.product("fr", repeat=3)), ids="".join)
def test_every_chain_of_modes(modes):
    """Third derivatives by each chain of forward and reverse mode, against mpmath."""
    with x64():
        directions = [V[0], V[1], V[2]]
        function = lambda z: sj.cross_entropy(z, jnp.asarray(2))  # noqa: E731
        for mode, direction in zip(modes, directions, strict=True):
            function = along(function, direction, mode)
        np.testing.assert_allclose(function(Z[0]), exact_third(Z[0], 2, directions), rtol=1e-11)


def along(function, direction, mode):
    """The derivative of a scalar function along a direction."""
    if mode == "f":
        return lambda z: jax.jvp(function, (z,), (direction,))[1]
    return lambda z: jnp.vdot(jax.grad(function)(z), direction)


def test_hessian_under_vmap_and_jit():
    with x64():
        hessian = jax.jit(jax.vmap(jax.hessian(sj.cross_entropy)))
        p = np.asarray(jax.nn.softmax(Z))
        expected = np.einsum("nj,jk->njk", p, np.eye(5)) - np.einsum("nj,nk->njk", p, p)
        np.testing.assert_allclose(hessian(Z, jnp.abs(LABELS) % 5), expected, rtol=1e-12, atol=1e-15)


def test_scan_remat_linearize_and_export():
    y = jnp.asarray([0, 1, 4])

    def total(z):
        def step(carry, row):
            return carry + sj.cross_entropy(row[0], row[1]), None

        return jax.lax.scan(step, jnp.float32(0), (z, y))[0]

    z = jnp.asarray(Z, jnp.float32)
    expected = jax.grad(lambda z: sj.cross_entropy(z, y, reduction="sum"))(z)
    np.testing.assert_allclose(jax.grad(total)(z), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(jax.checkpoint(total))(z), expected, rtol=1e-6)
    value, linear = jax.linearize(lambda z: sj.cross_entropy(z, y, reduction="sum"), z)
    np.testing.assert_allclose(linear(jnp.asarray(V, jnp.float32)), jnp.vdot(expected, V), rtol=1e-5)
    allowed = [export.DisabledSafetyCheck.custom_call("softgrad_loss")]
    exported = export.export(jax.jit(lambda z: sj.cross_entropy(z, y)), disabled_checks=allowed)(z)
    np.testing.assert_allclose(exported.call(z), value / 3, rtol=1e-6)
    any_rows = jax.ShapeDtypeStruct((*export.symbolic_shape("n"), 5), z.dtype)
    exported = export.export(jax.jit(lambda z: sj.cross_entropy(z, 0 * z.argmax(1))), disabled_checks=allowed)(any_rows)
    np.testing.assert_allclose(exported.call(z), sj.cross_entropy(z, 0 * y), rtol=1e-6)


def test_donated_arguments():
    z = jnp.asarray(Z, jnp.float32)
    expected = np.asarray(sj.softmax(z))
    np.testing.assert_array_equal(jax.jit(sj.softmax, donate_argnums=0)(jnp.array(z)), expected)


@pytest.mark.slow
@pytest.mark.parametrize("which", range(3))
def test_vmap_of_one_argument(which):
    """Each argument batched alone, class weights included."""
    with x64():
        arguments = [Z, LABELS % 5, WEIGHT]
        batch = np.stack([arguments[which]] * 2)
        axes = [0 if i == which else None for i in range(3)]
        loss = lambda z, y, w: sj.cross_entropy(z, y, weight=w, z_loss=0.1)  # noqa: E731
        arguments[which] = batch
        for function in (loss, jax.grad(loss), jax.grad(loss, argnums=2)):
            expected = function(Z, LABELS % 5, WEIGHT)
            for result in jax.vmap(function, axes)(*arguments):
                np.testing.assert_allclose(result, expected, rtol=1e-12)
