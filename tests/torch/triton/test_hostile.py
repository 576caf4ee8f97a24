"""Options and numbers at the ends of their ranges, and more tiles of a row than one program merges."""

import types

import pytest
import torch

from softgrad import _closed_forms
from softgrad._loss_spec import LossSpec, Reduction
from softgrad.torch._kernels._triton import _launch, _run

INF, NAN = float("inf"), float("nan")
PER_ROW = LossSpec(reduction=Reduction.none)
WITHOUT_LOSS = torch.tensor([[NAN, 0, 1, 2, 3], [INF, 0, 1, 2, 3], [-INF] * 5])


@pytest.mark.parametrize(
    "weight", [None, torch.zeros(5), torch.tensor([0.0, 2, 2, 2, 2])], ids=["none", "zero", "some"]
)
@pytest.mark.parametrize("options", [{}, {"z_loss": 0.1}, {"label_smoothing": 0.1}, "probabilities"], ids=str)
def test_rows_without_a_loss_are_nan(triton_kernels, options, weight):
    """Also if the label has class weight 0; 0 times the infinite distance of a masked label is 0."""
    target = torch.zeros(3, dtype=torch.int64)
    if options == "probabilities":
        options, target = {}, torch.full((3, 5), 0.2)
    targets = triton_kernels.targets(target, weight, 1, 5, torch.float32)
    spec = LossSpec(reduction=Reduction.none, **options)
    assert triton_kernels.cross_entropy(WITHOUT_LOSS, targets, spec).isnan().all()


def test_a_masked_label_of_weight_zero_has_no_loss(triton_kernels):
    targets = triton_kernels.targets(torch.tensor([1]), torch.tensor([1.0, 0, 1]), 1, 3, torch.float32)
    assert triton_kernels.cross_entropy(torch.tensor([[0, -INF, 1]]), targets, PER_ROW) == 0


def test_products_keep_the_z_loss_where_the_factor_is_small(triton_kernels):
    spec = LossSpec(reduction=Reduction.none, z_loss=0.1)
    z, v = torch.tensor([[1.0, -2, 0.5]]), torch.tensor([[0.3, 1, -2]])
    targets = triton_kernels.targets(torch.tensor([2]), None, 1, 3, z.dtype)
    upstream = torch.tensor([1e-30])
    product = triton_kernels.cross_entropy_hvp(z, upstream, v, targets, spec)
    exact = _closed_forms.cross_entropy_hvp(z.double(), upstream.double(), v.double(), targets, spec)
    torch.testing.assert_close(product.double(), exact, rtol=1e-6, atol=0)
    # M + 2 zeta lse = 0: all that is left is 2 zeta v.
    one, targets = torch.ones(1, 1), triton_kernels.targets(torch.tensor([0]), torch.zeros(1), 1, 1, z.dtype)
    product = triton_kernels.cross_entropy_hvp(0 * one, one[0], 3 * one, targets, spec)
    torch.testing.assert_close(product, 0.6 * one)


def test_an_infinite_upstream_gradient_keeps_its_sign(triton_kernels):
    z = torch.tensor([[0.0, 1, 2]])
    targets = triton_kernels.targets(torch.tensor([1]), None, 1, 3, z.dtype)
    assert triton_kernels.cross_entropy_grad(z, torch.tensor([INF]), targets, PER_ROW).tolist() == [[INF, -INF, INF]]


def test_given_statistics_of_an_ignored_row_may_be_nan(triton_kernels):
    spec = LossSpec(reduction=Reduction.none, ignore_index=1)
    z = torch.tensor([[0.0, 1, 2], [NAN, 0, 0]])
    targets = triton_kernels.targets(torch.tensor([0, 1]), None, 1, 3, z.dtype)
    statistics = _closed_forms.row_statistics(z, targets, spec)
    gradient = triton_kernels.cross_entropy_grad(z, torch.ones(2), targets, spec, statistics)
    assert gradient[0].isfinite().all()
    assert (gradient[1] == 0).all()


@pytest.fixture
def many_tiles(tiles_of_32, monkeypatch):
    """Tiles of which a program merges at most two."""
    monkeypatch.setattr(_run, "_MOST_MERGED", 2)


@pytest.mark.usefixtures("many_tiles")
def test_tiles_are_merged_in_stages(triton_kernels):
    z = torch.randn(2, 165, generator=torch.Generator().manual_seed(0))
    z[1, 40:] = -INF  # tiles of no class
    torch.testing.assert_close(triton_kernels.softmax(z, 1), torch.softmax(z, 1))
    torch.testing.assert_close(triton_kernels.logsumexp(z, 1), torch.logsumexp(z, 1))
    probs, v = torch.softmax(z, 1), torch.randn(2, 165, generator=torch.Generator().manual_seed(1))
    expected = probs * (v - (probs * v).sum(1, keepdim=True))
    torch.testing.assert_close(triton_kernels.softmax_vjp(probs, v, 1), expected, rtol=1e-5, atol=1e-7)
    targets = triton_kernels.targets(torch.tensor([164, 3]), None, 1, 165, z.dtype)
    expected = torch.nn.functional.cross_entropy(z, torch.tensor([164, 3]), reduction="none")
    torch.testing.assert_close(triton_kernels.cross_entropy(z, targets, PER_ROW), expected)


def test_programs_wait_only_where_the_device_runs_them_at_once(monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(multi_processor_count=16)
    )
    tensor = types.SimpleNamespace(is_cuda=True, device="cuda:0")
    assert [_launch.programs_at_once(tensor, warps) for warps in (2, 4, 8, 32)] == [32, 16, 8, 8]


@pytest.mark.usefixtures("many_tiles")
def test_rows_of_too_many_tiles_are_read_twice(triton_kernels, monkeypatch):
    launch = _run.launch

    def launch_without_waiting(*args, **arguments):
        assert arguments.get("COUNT") is None  # or the interpreter would wait forever
        launch(*args, **arguments)

    monkeypatch.setattr(_run, "CAN_WAIT", True)
    monkeypatch.setattr(_run, "programs_at_once", lambda tensor, warps: 2)
    monkeypatch.setattr(_run, "launch", launch_without_waiting)
    z = torch.arange(96.0)[None] / 10
    torch.testing.assert_close(triton_kernels.softmax(z, 1), torch.softmax(z, 1))
