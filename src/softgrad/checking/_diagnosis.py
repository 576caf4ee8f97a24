"""Which known mistakes give exactly these answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from softgrad.checking._cause import Cause, Family, Imitation, Scale
from softgrad.checking._probes import probe_near

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from softgrad.checking._kinds import Kind
    from softgrad.checking._probes import Probe

    Array = NDArray[np.float64]
    Ask = Callable[[Probe], Array]

# Where the search for a constant starts: what is in use, down to the smallest float64; and limits of clipped logits.
_STEPS = {
    "eps": np.array([0.5, *(10.0**-k for k in range(2, 20, 2)), *(10.0**-k for k in range(20, 320, 50)), 1e-323]),
    "limit": np.array([1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0, 88.0, 100.0, 300.0, 500.0, 700.0]),
}


class Observation(NamedTuple):
    """An answer, and how closely an imitation has to fit it; no array where the function raised an exception."""

    probe: Probe
    array: Array | None
    size: float
    tolerance: float
    raised: str = ""


class Diagnosis(NamedTuple):
    """A mistake that explains every answer."""

    name: str
    explanation: str
    advice: str


def misfit(array: Array, wanted: Array, size: float) -> float:
    """Largest error, relative to the size of the terms or of the entry itself; infinite for NaN."""
    off = np.abs(array - wanted) / np.maximum(np.abs(wanted), size)
    return float(np.where(np.isnan(off), np.inf, off).max(initial=0))


def error_of(kind: Kind, observation: Observation) -> float:
    """The misfit of an answer to the right one; infinite where there is none, or one of another shape."""
    right = kind.right(observation.probe)
    if observation.array is None or observation.array.shape != right.shape:
        return np.inf
    return misfit(observation.array, right, observation.size)


def diagnose(kind: Kind, observations: Sequence[Observation], ask: Ask) -> list[Diagnosis]:
    """All mistakes that explain the answers; two at a time only if no single one does."""
    first = observations[0].probe
    target, spec = "probabilities" if first.labels is None else "index", first.spec
    causes = [cause for cause in kind.causes if cause.applies(target, spec)]
    scales = [scale for scale in kind.scales if scale.applies(target, spec)]
    # The worst answer first: it refutes most of them.
    order = sorted(observations, key=lambda o: -error_of(kind, o))
    single = _explanations([*causes, *(_as_cause(kind, scale) for scale in scales)], order, ask)
    return single or _explanations(_pairs(kind, causes, scales), order, ask)


def _as_cause(kind: Kind, scale: Scale) -> Cause:
    return Cause(scale.name, scale.explanation, scale.advice, (lambda probe: scale.factor(probe) * kind.right(probe),))


def _pairs(kind: Kind, causes: list[Cause], scales: list[Scale]) -> list[Cause]:
    # Constants that are hardly ever combined with another mistake cost time.
    bases = [cause for cause in causes if cause.parameter in {"", "eps"}]
    bases += [_as_cause(kind, scale) for scale in scales[:1]]
    pairs = [_scaled(cause, scale) for cause in bases for scale in scales if cause.name != scale.name]
    if kind.unweighted in causes:
        pairs += [_unweighted(cause, kind.unweighted) for cause in bases if cause is not kind.unweighted]
    return pairs


def _scaled(cause: Cause, scale: Scale) -> Cause:
    """A mistake, multiplied by another."""

    def imitation(once: Imitation) -> Imitation:
        return lambda probe: scale.factor(probe) * once(probe)

    def family(once: Family) -> Family:
        return lambda probe, constant: scale.factor(probe) * once(probe, constant)

    return _both(cause, scale, imitation, family)


def _unweighted(cause: Cause, unweighted: Cause) -> Cause:
    """A mistake in a function that also takes Σ_j y_j for 1."""

    def imitation(once: Imitation) -> Imitation:
        return lambda probe: once(replace(probe, is_weighted=False))

    def family(once: Family) -> Family:
        return lambda probe, constant: once(replace(probe, is_weighted=False), constant)

    return _both(cause, unweighted, imitation, family)


def _both(
    one: Cause, other: Cause | Scale, imitation: Callable[[Imitation], Imitation], family: Callable[[Family], Family]
) -> Cause:
    return replace(
        one,
        name=f"{one.name}; and {other.name}",
        explanation=f"Two mistakes at once. {one.explanation} {other.explanation}",
        advice="\n".join(dict.fromkeys([one.advice, other.advice])),
        imitations=tuple(map(imitation, one.imitations)),
        families=tuple(map(family, one.families)),
    )


def _explanations(causes: list[Cause], observations: list[Observation], ask: Ask) -> list[Diagnosis]:
    found = {}
    for cause in causes:
        if any(_fits(imitation, observations) for imitation in cause.imitations):
            found[cause.name] = Diagnosis(cause.name, cause.explanation, cause.advice)
            continue
        for family in cause.families:
            constant = _constant(family, cause.parameter, observations, ask)
            if constant is not None:
                explanation = cause.explanation.replace("{parameter}", constant)
                found[cause.name] = Diagnosis(cause.name, explanation, cause.advice)
                break
    return list(found.values())


def _fits(imitation: Imitation, observations: list[Observation]) -> bool:
    return all(_fits_one(imitation(observation.probe), observation) for observation in observations)


def _fits_one(imitated: Array, observation: Observation) -> bool:
    finite = np.isfinite(imitated)
    if observation.array is None:
        return not finite.all()
    array = observation.array
    if array.shape != imitated.shape:
        return False
    if finite.all():
        return misfit(array, imitated, observation.size) <= observation.tolerance
    # Autograd spreads NaN over a whole row, and whether 1/0 or 0/0 comes first is a matter of taste: where it happens
    # is what counts.
    rows = len(imitated) if imitated.ndim else 1
    whole = finite.reshape(rows, -1).all(axis=1)
    return (
        np.array_equal(whole, np.isfinite(array).reshape(rows, -1).all(axis=1))
        and misfit(array.reshape(rows, -1)[whole], imitated.reshape(rows, -1)[whole], observation.size)
        <= observation.tolerance
    )


def _constant(family: Family, parameter: str, observations: list[Observation], ask: Ask) -> str | None:
    """The constant with which a family fits all answers, as text; None if there is none."""
    value = _solve(family, _steps(parameter, observations), observations)
    # With a constant of 0 it would be another mistake, or none.
    if value is None or _fits(lambda probe: family(probe, 0.0), observations):
        return None
    larger = 1.5 * value
    if parameter == "threshold":
        return f"about {value:.0e}"
    if _fits(lambda probe: family(probe, larger), observations):
        return "some constant"
    if parameter == "eps":
        near = _observe_near(value, observations[0], ask)
        if near is None:
            return None
        value = _solve(family, value * np.array([0.5, 1.0, 2.0]), [near, *observations])
    return None if value is None else f"{value:.3g}"


def _steps(parameter: str, observations: list[Observation]) -> Array:
    if parameter != "threshold":
        return _STEPS[parameter]
    # Only its order among the probabilities counts: one step between any two of them.
    probabilities = np.unique(np.concatenate([o.probe.probs.ravel() for o in observations]))
    positive = probabilities[probabilities > 0]
    steps: Array = np.sqrt(positive[1:] * positive[:-1])
    return steps


def _solve(family: Family, steps: Array, observations: list[Observation]) -> float | None:
    """The constant that fits every answer: one of the steps, or between two of them by bisection."""
    first = next((o for o in observations if o.array is not None and np.isfinite(o.array).all()), None)
    if first is None or first.array is None:
        return None
    array = first.array
    imitated = [family(first.probe, float(step)) for step in steps]
    if imitated[0].shape != array.shape:
        return None

    def fits(constant: float) -> bool:
        return _fits(lambda probe: family(probe, constant), observations)

    for step, wanted in zip(steps, imitated, strict=True):
        if misfit(array, wanted, first.size) <= first.tolerance and fits(float(step)):
            return float(step)
    # Bisection on the entry that is furthest from what the formula without the constant gives: that is the last step.
    off = (np.stack(imitated) - array).reshape(len(steps), -1)
    entry = int(np.nan_to_num(np.abs(off[-1])).argmax())
    right = array.flat[entry]

    def miss(constant: float) -> float:
        return float(family(first.probe, constant).flat[entry] - right)

    signs = np.sign(off[:, entry])
    between = np.flatnonzero(signs[1:] * signs[:-1] < 0)
    roots = (_bisect(miss, float(steps[k]), float(steps[k + 1])) for k in between)
    return next((root for root in roots if fits(root)), None)


def _bisect(function: Callable[[float], float], one: float, other: float) -> float:
    """A root between two points of different sign, on a logarithmic scale."""
    at_one = function(one)
    for _ in range(60):
        middle = float(np.exp((np.log(one) + np.log(other)) / 2))
        if (function(middle) > 0) == (at_one > 0):
            one = middle
        else:
            other = middle
    return one


def _observe_near(value: float, observation: Observation, ask: Ask) -> Observation | None:
    """An answer where probabilities are about as large as the constant: there it is told from others, and exactly."""
    old = observation.probe
    probe = probe_near(value, "probabilities" if old.labels is None else "index", old.spec)
    try:
        array = ask(probe)
    except Exception:  # the user's function may raise anything; then nothing fits
        return None
    return observation._replace(probe=probe, array=array)
