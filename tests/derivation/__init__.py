"""Derivations made once for several tests, derivatives by mpmath, and the check of a page's elements."""

import functools

import mpmath

from softgrad.derivation import derive
from tests import browser

derived = functools.cache(derive)


@functools.cache
def verified(name):
    return derived(name).verify()


@functools.cache
def rendered(name, form):
    return derived(name).render(form)


def oracle_softmax(logits):
    shifted = [mpmath.exp(value) for value in logits]
    return [value / mpmath.fsum(shifted) for value in shifted]


def oracle_loss(logits, targets):
    return -mpmath.fsum(t * mpmath.log(p) for t, p in zip(targets, oracle_softmax(logits), strict=True))


def slope(function, values, *positions):
    """Partial derivative by mpmath's own differences."""
    order = tuple(positions.count(position) for position in range(len(values)))
    return mpmath.diff(lambda *values: function(list(values)), tuple(values), order)


def well_formed(content):
    reader = browser.Reader(content)
    assert set(reader.self_closed) <= {"meta", "mspace", "br"}
    return reader
