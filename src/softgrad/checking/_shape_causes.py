"""The right numbers in another shape than that of the logits: softmax, its product and the gradient share this."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from softgrad.checking._cause import Cause

if TYPE_CHECKING:
    from softgrad.checking._cause import Imitation


def reshaped(right: Imitation) -> Cause:
    """The cause for an answer of shape (B, C)."""
    return Cause(
        "right numbers in another shape",
        "All numbers are right, but the shape is not that of the logits, (B, C).",
        "return the shape of z; keep the batch axis also where B = 1",
        (
            lambda probe: np.squeeze(right(probe)),
            lambda probe: right(probe).ravel(),
            lambda probe: right(probe).T,
            lambda probe: right(probe)[..., None],
            lambda probe: right(probe)[:, None],
            lambda probe: right(probe)[None],
        ),
    )
