"""Rows whose classes overlap, so that there is an optimum without a penalty; columns of three scales, far from 0."""

import numpy as np


def overlapping(rows=300, classes=3, features=3):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(rows, features)) * [1.0, 20.0, 0.05][:features] + [0.0, 300.0, -2.0][:features]
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    logits = standard @ rng.normal(size=(features, classes)) + rng.gumbel(size=(rows, classes))
    return X, logits.argmax(axis=1)
