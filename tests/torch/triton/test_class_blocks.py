"""Rows whose classes are divided into blocks: statistics of blocks, merged, give every result of the whole rows."""

import itertools

import numpy as np
import pytest
import torch

from softgrad._loss_spec import LossSpec, Reduction
from tests import oracle
from tests.torch.test_class_blocks import Blocks, uneven
from tests.torch.triton import exact

SPECS = {
    "labels": {},
    "labels, ignored": {"ignore_index": -100},
    "labels, all": {"ignore_index": -100, "label_smoothing": 0.1, "z_loss": 0.2},
    "probabilities": {},
    "probabilities, all": {"label_smoothing": 0.1, "z_loss": 0.2},
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(
    "classes, dtype", [*itertools.product([12, 301], [exact.F32, exact.BF16]), (2051, exact.F32)], ids=str
)
def test_blocks(triton_kernels, classes, name, dtype):
    spec, bounds = LossSpec(reduction=Reduction.none, **SPECS[name]), exact.BOUNDS[dtype]
    z = exact.hostile(classes, dtype)[[0, 1, 3, 5, 6, 7, 8] if classes < 500 else [1, 3]]
    generator = torch.Generator().manual_seed(3)
    v = torch.randn(z.shape, generator=generator).to(dtype)
    y = torch.rand(z.shape, generator=generator).to(dtype) if "prob" in name else exact.labels_of(z)
    if "ignored" in name:
        y[1] = -100
    weight = torch.linspace(0.5, 2, classes) if "all" in name else None
    wanted = exact.Loss(z, y, weight, spec)
    targets = triton_kernels.targets(y, weight, 1, classes, dtype)
    blocks = Blocks(triton_kernels, z, v, targets, spec, uneven(classes))
    kept = torch.from_numpy(wanted.kept)
    for got, result in ((blocks.softmax(), wanted.rows.softmax), (blocks.log_softmax(), wanted.rows.log_softmax)):
        assert exact.error(got[kept], result[wanted.kept]) <= bounds["like logits"]
    assert exact.error(blocks.losses(), wanted.losses, wanted.magnitude) <= bounds["loss"]
    of_gradient = bounds["gradient" if wanted.terms is None else "dense gradient"]
    assert exact.error(blocks.gradient(), wanted.gradient, wanted.terms) <= of_gradient
    product, terms = wanted.product(v)
    assert exact.error(blocks.product(), product, terms) <= bounds["product"]


def test_the_gradient_of_a_block_in_place(triton_kernels):
    z = exact.hostile(300)
    y = exact.labels_of(z)
    targets = triton_kernels.targets(y, None, 1, 300, z.dtype)
    blocks = Blocks(triton_kernels, z, z, targets, LossSpec(reduction=Reduction.none), [100, 3, 197])
    spec, wanted = LossSpec(reduction=Reduction.none), exact.Loss(z, y)
    for part, _, of_part in blocks.parts:
        triton_kernels.write_cross_entropy_grad(part, torch.ones(len(z)), of_part, spec, statistics=blocks.statistics)
    assert exact.error(z, wanted.gradient) <= exact.BOUNDS[exact.F32]["gradient"]


def test_statistics_are_those_of_the_closed_forms(triton_kernels):
    """Named tuples of float64, one number per row, with the axis of the classes."""
    z = torch.randn(4, 50, 3, generator=torch.Generator().manual_seed(0))
    y = torch.randint(50, (4, 3), generator=torch.Generator().manual_seed(1))
    targets = triton_kernels.targets(y, None, 1, 50, z.dtype)
    statistics = triton_kernels.row_statistics(z, targets, LossSpec())
    assert {(field.shape, field.dtype) for field in statistics} == {((4, 1, 3), torch.float64)}
    rows = oracle.Rows(exact.array(z.movedim(1, -1).reshape(-1, 50)))
    np.testing.assert_allclose(exact.array(statistics.excess).reshape(-1), rows.others[:, 0], rtol=1e-6)
    assert torch.equal(statistics.maximum, z.double().amax(1, keepdim=True))
    assert torch.equal(statistics.label, z.double().gather(1, y[:, None]))
