"""A thousand random states: what the page computes is what the Python library computes, to 1e-12."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import softgrad as sg
from softgrad import explorer

SCRIPTS = Path(explorer.__file__).parent / "scripts"
# In JavaScript: the results for states that are given as fragments of the address.
RESULTS = """
(fragments, {parseFragment}, {model}, {solveDamped}, {point, step}) => fragments.map((text) => {
  const {state, problems} = parseFragment(text);
  if (problems.length) throw new Error(problems.join());
  const {z, row, jacobian, eigenvalues, target, loss, gradient, hessian} = model(state);
  const written = (values) => values.map((value) => value === -Infinity ? "-inf" : value);
  const after = (method) => [1, 2, 3].reduce((at) => step(point(at, target), target, {...state, method}), z);
  return {
    p: row.p, others: row.others, logP: written(row.logP), lse: row.lse,
    descent: ["gradient", "diagonal", "newton"].map((method) => written(after(method))),
    jacobian, eigenvalues, loss: loss === Infinity ? "inf" : loss, gradient, hessian,
    newton: solveDamped(row, target, gradient, state.damping),
  };
})
"""
MODULES = "state.js", "store.js", "cross_entropy.js", "descent.js"


def states(count):
    """Random states as fragments, with what the Python library computes for them."""
    rng = np.random.default_rng(18)
    for _ in range(count):
        C = int(rng.integers(2, 9))
        z = rng.choice([1, 3, 20, 300]) * rng.normal(size=C) + rng.choice([0, 0, 1000])
        if rng.random() < 0.3:
            z[1] = z[0]
        if rng.random() < 0.2:
            z[-1] = -np.inf
        q = np.eye(C)[rng.integers(C)] if rng.random() < 0.5 else rng.random(C) * rng.choice([1, 2 / C])
        smoothing, z_loss = rng.choice([0, 0.1, 0.9]), rng.choice([0, 0, 1e-4])
        damping, rate = float(rng.choice([1e-3, 0.1, 10])), float(rng.choice([0.01, 0.5, 3]))
        yield (
            {
                "z": ",".join("-inf" if value == -np.inf else repr(float(value)) for value in z),
                "names": ",".join("ABCDEFGH"[:C]),
                "y": ",".join(repr(float(value)) for value in q),
                "smoothing": repr(float(smoothing)),
                "zloss": repr(float(z_loss)),
                "damping": repr(damping),
                "rate": repr(rate),
            },
            expected(z, q, {"label_smoothing": float(smoothing), "z_loss": float(z_loss)}, damping, rate),
        )


def expected(z, q, options, damping, rate):
    jacobian = sg.softmax_jacobian(z)
    loss, gradient = sg.cross_entropy_value_and_grad(z, q, reduction="none", **options)
    hessian = sg.cross_entropy_hessian(z, q, reduction="none", **options)
    p = sg.softmax(z)
    return {
        "p": p,
        "others": [np.delete(p, j).sum() for j in range(len(p))],
        "logP": sg.log_softmax(z),
        "lse": sg.logsumexp(z),
        "jacobian": jacobian.to_dense(),
        "eigenvalues": jacobian.eigvalsh(),
        "loss": loss,
        "gradient": gradient,
        "hessian": hessian.to_dense(),
        "newton": hessian.solve(gradient, damping=damping),
        "descent": [descend(change, z) for change in changes(q, options, damping, rate)],
    }


def changes(q, options, damping, rate):
    """What one step subtracts from the logits z: by the gradient, by the diagonal alone, by Newton's method."""
    y = (1 - options["label_smoothing"]) * q + options["label_smoothing"] / len(q)

    def gradient(z):
        return sg.cross_entropy_grad(z, q, reduction="none", **options)

    def diagonal(z):
        p = sg.softmax(z)
        return -y * (1 - p) + 2 * options["z_loss"] * sg.logsumexp(z) * p

    def newton(z):
        return sg.cross_entropy_hessian(z, q, reduction="none", **options).solve(gradient(z), damping=damping)

    return lambda z: rate * gradient(z), lambda z: rate * diagonal(z), newton


def descend(change, z):
    for _ in range(3):
        z = z - change(z)
    return z


@pytest.fixture(scope="module")
def cases():
    inputs, outputs = zip(*states(1000), strict=True)
    return ["&".join(f"{key}={value}" for key, value in state.items()) for state in inputs], outputs


def compare(found, outputs):
    for state, (values, wanted) in enumerate(zip(found, outputs, strict=True)):
        assert values.keys() == wanted.keys()
        for name, value in wanted.items():
            computed, exact = np.array(values[name], dtype=float), np.asarray(value)
            # Entries of a matrix or gradient may cancel; probabilities and their logarithms may not.
            size = (
                np.abs(exact) if name in {"p", "others", "logP"} else np.abs(exact[np.isfinite(exact)]).max(initial=0)
            )
            with np.errstate(invalid="ignore"):  # ∞ − ∞, whose sides are equal
                equal = (computed == exact) | (np.abs(computed - exact) <= 1e-12 * size + 1e-300)  # or subnormal
            assert equal.all(), f"{state}: {name} is {computed}; expected {exact}"


@pytest.mark.needs("node")
def test_in_node(cases):
    fragments, outputs = cases
    addresses = json.dumps([(SCRIPTS / name).as_uri() for name in MODULES])
    program = f"""
    import {{ text }} from "node:stream/consumers";
    const modules = await Promise.all({addresses}.map((address) => import(address)));
    console.log(JSON.stringify(({RESULTS})(JSON.parse(await text(process.stdin)), ...modules)));
    """
    command = ["node", "--input-type=module", "-e", program]
    run = subprocess.run(command, input=json.dumps(fragments), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    compare(json.loads(run.stdout), outputs)


@pytest.mark.needs("playwright")
@pytest.mark.needs("chromium")
def test_in_the_page(cases, visit):
    fragments, outputs = cases
    program = f"""async (fragments) => {{
      const modules = await Promise.all({json.dumps([f"#{name}" for name in MODULES])}.map((m) => import(m)));
      return ({RESULTS})(fragments, ...modules);
    }}"""
    compare(visit().evaluate(program, fragments), outputs)
