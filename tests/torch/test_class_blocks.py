"""Rows whose classes are divided into blocks, as processes hold them: statistics of blocks, merged, give every result.

The exact results are those of the whole rows, in long double.
"""

import math

import numpy as np
import pytest
import torch

from softgrad import _core
from softgrad._loss_spec import DEFAULT, LossSpec, Reduction, per_row
from softgrad._targets import Targets
from softgrad.torch._kernels import _composed, without
from softgrad.torch._kernels import _native as native
from tests import families, oracle
from tests.curvature import Products

PER_ROW = per_row(DEFAULT)
DTYPES = [np.float32, np.float64]
# docs/design.md: ULP of a result, and of the terms of a fused product. Closed forms: largest seen 3.73, 3.61 and 5.05.
BOUNDS = {
    native: {"result": 2.0, np.float32: 2.0, np.float64: 3.0},
    _composed: {"result": 4.5, np.float32: 4.5, np.float64: 5.5},
}
KERNELS = pytest.mark.parametrize("kernels", list(BOUNDS), ids=lambda kernels: kernels.__name__.rsplit("_", 1)[1])


class Blocks:
    """The results of rows of logits from blocks of the classes, of the sizes given, along targets.axis."""

    def __init__(self, kernels, logits, v, targets, spec, sizes):
        self.kernels, self.spec, self.dim = kernels, spec, targets.axis
        rows = without(logits.shape, self.dim)
        self.upstream = torch.ones(rows) if spec.reduction is Reduction.none else torch.tensor(1.5)
        starts = np.cumsum([0, *sizes[:-1]])
        self.parts = [
            (logits.narrow(self.dim, start, n), v.narrow(self.dim, start, n), self.block(targets, int(start), n))
            for start, n in zip(starts, sizes, strict=True)
        ]
        assert sum(sizes) == logits.shape[self.dim]
        self.of_blocks = [kernels.row_statistics(z, y, spec) for z, _, y in self.parts]
        self.statistics = kernels.merge_statistics(self.of_blocks)
        self.of_direction = [kernels.direction_statistics(z, v, self.dim, self.statistics) for z, v, _ in self.parts]
        self.directions = kernels.merge_directions(self.of_direction)

    @staticmethod
    def block(targets, start, n):
        q = targets.probabilities
        q = None if q is None else q.narrow(targets.axis, start, n)
        return targets._replace(probabilities=q, first_class=start)

    def joined(self, function):
        return torch.cat([function(*part) for part in self.parts], self.dim)

    def softmax(self):
        return self.joined(lambda z, v, y: self.kernels.softmax(z, self.dim, self.statistics))

    def log_softmax(self):
        return self.joined(lambda z, v, y: self.kernels.log_softmax(z, self.dim, self.statistics))

    def losses(self):
        """The loss, which every block must give."""
        losses = [self.kernels.cross_entropy(z, y, self.spec, self.statistics) for z, _, y in self.parts]
        assert all(torch.equal(losses[0].nan_to_num(-7), other.nan_to_num(-7)) for other in losses)
        return losses[0]

    def gradient(self):
        kernels = self.kernels
        return self.joined(lambda z, v, y: kernels.cross_entropy_grad(z, self.upstream, y, self.spec, self.statistics))

    def product(self):
        kernels, known = self.kernels, (self.statistics, self.directions)
        return self.joined(lambda z, v, y: kernels.cross_entropy_hvp(z, self.upstream, v, y, self.spec, *known))


def along_last(tensor, dim):
    """The rows as a matrix."""
    moved = tensor.movedim(dim, -1)
    return moved.reshape(-1, moved.shape[-1]).numpy()


def check_labelled(kernels, z, v, y, dim, sizes):
    """All results of rows with labels; the logits have their classes along dim."""
    blocks = Blocks(kernels, z, v, native.targets(y, None, dim, z.shape[dim]), PER_ROW, sizes)
    rows, labels = along_last(z, dim), y.reshape(-1).numpy()
    exact, products = oracle.Rows(rows), Products(rows, along_last(v, dim))
    bounds = BOUNDS[kernels]
    assert oracle.error(along_last(blocks.softmax(), dim), exact.softmax) <= bounds["result"]
    assert oracle.error(along_last(blocks.log_softmax(), dim), exact.log_softmax) <= bounds["result"]
    assert oracle.error(blocks.losses().reshape(-1).numpy(), exact.loss(labels)) <= bounds["result"]
    assert oracle.error(along_last(blocks.gradient(), dim), exact.gradient(labels)) <= bounds["result"]
    got = along_last(blocks.product(), dim)
    assert oracle.error(got, products.product, products.scale) <= bounds[rows.dtype.type]


def random_rows(real, shape, scale=5.0, seed=1):
    rng = np.random.default_rng(seed)
    z, v = ((rng.normal(size=shape) * s).astype(real) for s in (scale, 1.0))
    return torch.from_numpy(z), torch.from_numpy(v), rng


def uneven(classes):
    """Sizes of blocks, empty ones included: first, in between and last."""
    third = classes // 3
    return [0, third, 0, 1, classes - third - 1, 0]


def check_families(kernels, real, most_classes):
    rng = np.random.default_rng(2)
    for _, z in families.all_families(real):
        if 2 <= z.shape[1] <= most_classes:
            x = torch.from_numpy(z[:3])
            v, y = rng.normal(size=x.shape).astype(real), rng.integers(0, z.shape[1], len(x))
            check_labelled(kernels, x, torch.from_numpy(v), torch.from_numpy(y), 1, uneven(z.shape[1]))


@pytest.mark.parametrize("real", DTYPES)
def test_families_of_rows(real, instruction_set):
    check_families(native, real, 100)


@pytest.mark.slow
@pytest.mark.parametrize("real", DTYPES)
def test_families_of_longer_rows(real, instruction_set):
    check_families(native, real, 5_000)


@pytest.mark.slow
@pytest.mark.parametrize("real", DTYPES)
def test_families_of_rows_with_composed(real):
    check_families(_composed, real, 400)


LAYOUTS = {
    "few classes": ((40, 12), 1),
    "rows in vectors": ((40, 300), 1),
    "classes first": ((60, 37), 0),
    "in the middle": ((4, 50, 9), 1),
    "in front of others": ((50, 3, 5), 0),
}


@KERNELS
@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("real", DTYPES)
def test_layouts(kernels, real, layout, strided):
    shape, dim = LAYOUTS[layout]
    z, v, rng = random_rows(real, [2 * n for n in shape] if strided else shape)
    if strided:
        every_other = (slice(None, None, 2),) * len(shape)
        z, v = z[every_other], v[every_other]
    y = torch.from_numpy(rng.integers(0, shape[dim], without(shape, dim)))
    check_labelled(kernels, z, v, y, dim, uneven(shape[dim]))


@KERNELS
@pytest.mark.parametrize("real", DTYPES)
def test_the_maximum_is_in_several_blocks_or_one_without_the_label(kernels, real):
    z, v, _ = random_rows(real, (6, 20))
    z[0, 3] = z[0, 4] = z[0, 19] = 30  # in one block twice, and in another
    z[1] = 2.5
    z[2, 19], z[3, 0], z[4, 7], z[5, 7] = 40, 800, 25, -300
    y = torch.tensor([0, 5, 0, 19, 7, 7])
    for sizes in ([5] * 4, [1] * 20, [19, 1], [0, 20]):
        check_labelled(kernels, z, v, y, 1, sizes)


@pytest.mark.parametrize("real", DTYPES)
def test_long_blocks(real, threads):
    """Blocks longer than 256 KiB, beside short ones."""
    classes = 600_000 // np.dtype(real).itemsize
    z, v, _ = random_rows(real, (2, classes))
    z[1, classes - 5] = 40
    y, sizes = torch.tensor([7, classes - 3]), [300, 0, classes // 2 + 9_000, classes // 2 - 9_300]
    check_labelled(native, z, v, y, 1, sizes)
    results = []
    for n in (1, 2):
        threads(n)
        blocks = Blocks(native, z, v, native.targets(y, None, 1, classes), PER_ROW, sizes)
        results.append([*blocks.of_direction, blocks.product()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("real", DTYPES)
@pytest.mark.parametrize("classes", [9, 3_000, 100_000])
def test_a_pivot_far_from_all_other_elements_of_its_block(real, classes, instruction_set):
    """Σ e (v − v_*) of the block is what remains of two sums that are as many times larger as it has classes."""
    rng = np.random.default_rng(0)
    z = np.concatenate([[1.0], rng.uniform(-1e-3, 0, classes), [0.0]]).astype(real)[None]
    v = np.full(z.shape, 0.1, real)
    v[0, -1] = np.pi * 1e6
    blocks = Blocks(native, *map(torch.from_numpy, (z, v)), Targets(classes + 2, torch.tensor([0])), PER_ROW,
                    [1, classes + 1])  # fmt: skip
    exact = Products(z, v)
    assert oracle.error(blocks.product().numpy(), exact.product, exact.scale) <= BOUNDS[native][real]


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_rounded_once(half):
    for shape in ((20, 6), (20, 70)):
        z, v, rng = random_rows(np.float32, shape, 2.0)
        z, v = z.to(half), v.to(half)
        targets = native.targets(torch.from_numpy(rng.integers(0, shape[1], 20)), None, 1, shape[1])
        got = Blocks(native, z, v, targets, PER_ROW, uneven(shape[1]))
        wide = Blocks(native, z.float(), v.float(), targets, PER_ROW, uneven(shape[1]))
        for name in ("softmax", "log_softmax", "gradient", "product"):
            assert torch.equal(getattr(got, name)(), getattr(wide, name)().to(half)), name
        assert torch.equal(got.losses(), wide.losses())


OPTIONS = {
    "labels": {},
    "labels, ignored": {"ignore_index": 3},
    "labels, smoothed": {"label_smoothing": 0.2},
    "labels, all": {"ignore_index": 3, "label_smoothing": 0.1, "z_loss": 0.2},
    "probabilities": {},
    "probabilities, all": {"label_smoothing": 0.1, "z_loss": 0.2},
}


@KERNELS
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_those_of_whole_rows(kernels, name, weighted):
    dense = name.startswith("probabilities")
    for reduction, shape, dim in ((Reduction.mean, (30, 11), 1), (Reduction.none, (40, 3, 4), 0)):
        spec = LossSpec(reduction=reduction, **OPTIONS[name])
        z, v, rng = random_rows(np.float64, shape, 3.0)
        y = torch.from_numpy(rng.random(shape) if dense else rng.integers(0, 5, without(shape, dim)))
        weight = torch.from_numpy(rng.uniform(0.5, 2, shape[dim])) if weighted else None
        targets = native.targets(y, weight, dim, shape[dim])
        blocks = Blocks(kernels, z, v, targets, spec, uneven(shape[dim]))
        upstream = blocks.upstream
        torch.testing.assert_close(blocks.losses(), native.cross_entropy(z, targets, spec), rtol=1e-14, atol=0)
        expected = native.cross_entropy_grad(z, upstream, targets, spec)
        torch.testing.assert_close(blocks.gradient(), expected, rtol=1e-12, atol=1e-15)
        expected = native.cross_entropy_hvp(z, upstream, v, targets, spec)
        torch.testing.assert_close(blocks.product(), expected, rtol=1e-12, atol=1e-15)


def special_rows(real):
    inf, nan = math.inf, math.nan
    return torch.tensor(
        np.array(
            [
                [1, -inf, 2, 0, -inf, -inf],  # a block of only −inf
                [-inf] * 6,
                [inf, 0, 0, 0, 0, 0],
                [0, 0, 0, 0, nan, 0],
                [nan, 0, 0, 0, 1, 0],
                [-inf, -inf, nan, -inf, -inf, 1],
                [inf, 0, 0, 0, nan, 0],
                [nan] * 6,
                [0, -inf, 3, 1, 2, 9],
            ],
            real,
        )
    )


@KERNELS
@pytest.mark.parametrize("wide", [1, 20])
@pytest.mark.parametrize("real", DTYPES)
def test_special_values(kernels, real, wide):
    """wide: how often the row is repeated."""
    z = special_rows(real).repeat(1, wide)
    v = torch.from_numpy(np.random.default_rng(3).normal(size=z.shape).astype(real))
    v[8, 4] = math.nan
    targets = native.targets(torch.tensor([0, 0, 1, 0, 0, 5, 0, 0, 1]), None, 1, z.shape[1])
    for sizes in ([2 * wide] * 3, [0, 6 * wide], [1, 1, 0, 6 * wide - 2]):
        blocks = Blocks(kernels, z, v, targets, PER_ROW, sizes)
        upstream = blocks.upstream
        close = {"rtol": 1e-12 if real is np.float64 else 1e-5, "atol": 1e-7, "equal_nan": True}
        torch.testing.assert_close(blocks.softmax(), native.softmax(z, 1), **close)
        torch.testing.assert_close(blocks.log_softmax(), native.log_softmax(z, 1), **close)
        torch.testing.assert_close(blocks.losses(), native.cross_entropy(z, targets, PER_ROW), **close)
        expected = native.cross_entropy_grad(z, upstream, targets, PER_ROW)
        torch.testing.assert_close(blocks.gradient(), expected, **close)
        expected = native.cross_entropy_hvp(z, upstream, v, targets, PER_ROW)
        assert not expected[0].isnan().any()
        assert expected[1:].isnan().all()
        torch.testing.assert_close(blocks.product(), expected, **close)


@pytest.mark.parametrize("width", [6, 70])
def test_products_with_ignored_rows_are_zero(width):
    z, v, _ = random_rows(np.float64, (5, width))
    z[1], v[3] = math.nan, math.inf
    spec = LossSpec(reduction=Reduction.mean, ignore_index=-100)
    targets = native.targets(torch.tensor([0, -100, 1, -100, 2]), None, 1, width)
    blocks = Blocks(native, z, v, targets, spec, uneven(width))
    ignored = torch.tensor([1, 3])
    assert not blocks.product()[ignored].any()
    assert not blocks.gradient()[ignored].any()
    torch.testing.assert_close(
        blocks.product(), native.cross_entropy_hvp(z, blocks.upstream, v, targets, spec), rtol=1e-12, atol=1e-15
    )


TARGETS = {
    "labels": (Targets(9, torch.tensor([0, 8])), PER_ROW),
    "smoothed": (Targets(9, torch.tensor([0, 8])), LossSpec(reduction=Reduction.none, label_smoothing=0.1)),
    "probabilities": (Targets(9, None, torch.full((2, 9), 0.1)), PER_ROW),
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("targets", TARGETS)
def test_blocks_of_no_classes_have_the_identity_of_the_merge(dtype, targets, instruction_set):
    targets, spec = TARGETS[targets]
    nothing = torch.empty(2, 0, dtype=dtype)
    statistics = native.row_statistics(nothing, Blocks.block(targets, 4, 0), spec)
    identity = [-math.inf, 0, 0, 0, -math.inf, 0, 0, 0, 0, 0, 0]
    assert statistics.tolist() == [identity] * 2
    assert native.direction_statistics(nothing, nothing, 1, statistics).tolist() == [[0] * _core.direction_fields] * 2


@pytest.mark.parametrize("targets", TARGETS)
def test_composed_of_blocks_of_no_classes_have_the_identity_of_the_merge(targets):
    targets, spec = TARGETS[targets]
    nothing = torch.empty(2, 0)
    statistics = _composed.row_statistics(nothing, Blocks.block(targets, 4, 0), spec)
    assert statistics.packed().tolist() == [[-math.inf, -1, -math.inf, 0, 0, 0]] * 2  # 1 + s' = 0
    assert _composed.direction_statistics(nothing, nothing, 1, statistics).packed().tolist() == [[0] * 4] * 2


@KERNELS
def test_statistics_of_blocks_in_one_array(kernels):
    z, v, rng = random_rows(np.float64, (3, 12, 4))
    targets = native.targets(torch.from_numpy(rng.random((3, 12, 4))), None, 1, 12)
    blocks = Blocks(kernels, z, v, targets, PER_ROW, [5, 0, 7])
    if kernels is native:
        assert torch.equal(native.merge_statistics(torch.stack(blocks.of_blocks)), blocks.statistics)
        assert torch.equal(native.merge_directions(torch.stack(blocks.of_direction)), blocks.directions)
        return
    for kept in (blocks.statistics, blocks.directions, *blocks.of_blocks):
        packed = kept.packed()
        assert packed.shape == (12, len(kept))
        assert packed.dtype == torch.float64
        again = type(kept).unpacked(packed, z.shape, 1)
        assert all(torch.equal(a, b) for a, b in zip(again, kept, strict=True))


@KERNELS
def test_directions_need_statistics(kernels):
    z, v, _ = random_rows(np.float64, (2, 3))
    targets = native.targets(torch.tensor([0, 1]), None, 1, 3)
    blocks = Blocks(kernels, z, v, targets, PER_ROW, [3])
    with pytest.raises(ValueError, match="directions without statistics"):
        kernels.cross_entropy_hvp(z, blocks.upstream, v, targets, PER_ROW, None, blocks.directions)
