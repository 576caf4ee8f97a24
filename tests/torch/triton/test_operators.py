"""The public functions, as operators of torch, on the Triton kernels: tests of tests/torch, in float32 and 16 bits."""

import pytest
import torch

from softgrad.torch._kernels import _triton
from tests.torch import linear_heads, pairs
from tests.torch import test_autograd as autograd
from tests.torch import test_linear_cross_entropy as linear
from tests.torch import test_opinfo as opinfo
from tests.torch import test_transforms as transforms
from tests.torch.triton import exact

assert_close = torch.testing.assert_close


def assert_close_in_float32(actual, expected, rtol=None, atol=None, **options):
    """torch.testing.assert_close for results of several functions in float32, where torch's own are as far off."""
    if rtol is not None:
        rtol, atol = max(rtol, 1e-5), max(atol, 1e-5)
    assert_close(actual, expected, rtol=rtol, atol=atol, **options)


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    """Let those tests compute in float32, with tolerances to match, and call no logits large that are few."""
    for module in (transforms, autograd):
        for name, value in vars(module).copy().items():
            if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
                monkeypatch.setattr(module, name, value.float())
    monkeypatch.setattr(pairs.tensors, "__defaults__", (torch.float32, 0))
    monkeypatch.setattr(pairs.scalars, "__defaults__", (torch.float32,))
    *others, dtype, requires_grad = linear_heads.tensors.__defaults__
    assert dtype == torch.float64
    monkeypatch.setattr(linear_heads.tensors, "__defaults__", (*others, torch.float32, requires_grad))
    *others, dtype = linear_heads.targets.__defaults__
    monkeypatch.setattr(linear_heads.targets, "__defaults__", (*others, torch.float32))
    *others, dtype = linear_heads.options.__defaults__
    monkeypatch.setattr(linear_heads.options, "__defaults__", (*others, torch.float32))
    monkeypatch.setattr(torch.testing, "assert_close", assert_close_in_float32)
    monkeypatch.setattr(autograd, "LARGE", (11, 10))
    monkeypatch.setattr(_triton, "MOST_FUSED_LOGITS", 50)


@pytest.mark.parametrize("dtype", exact.DTYPES, ids=str)
@pytest.mark.parametrize("op", opinfo.INFOS, ids=lambda op: op.formatted_name)
def test_samples_of_torch(op, dtype, monkeypatch):
    monkeypatch.setattr(torch.testing, "assert_close", assert_close)
    opinfo.test_samples(op, dtype)


# A program of the interpreter takes 30 ms, so that these are some of those that tests/torch runs on the CPU.
FUNCTIONS = ["softmax", "log_softmax", "logsumexp", "labels, none", "labels, z-loss", "probs, weight"]
TRANSFORMS = ["jacrev", "hessian", "vmap of grad", "vmap of hvp", "jacfwd of vmap"]
VMAPPED = ["logits", "target", "all, elsewhere"]
SOME_OPTIONS = [linear.OPTIONS[0], linear.OPTIONS[-1]]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms(transform, name):
    transforms.test_transforms(transforms.TRANSFORMS[transform], name)


@pytest.mark.parametrize("of_labels", [True, False], ids=["labels", "probs"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("batched", VMAPPED)
def test_vmap_over_any_argument(batched, reduction, of_labels):
    transforms.test_vmap_over_any_argument(transforms.BATCHED[batched], reduction, of_labels)


test_vmap_of_softmax_in_other_dimensions = transforms.test_vmap_of_softmax_in_other_dimensions
test_with_respect_to_targets_and_weights = transforms.test_with_respect_to_targets_and_weights
test_other_dtypes = transforms.test_other_dtypes

test_a_graph_can_be_gone_through_again = autograd.test_a_graph_can_be_gone_through_again
test_a_gradient_belongs_to_its_owner = autograd.test_a_gradient_belongs_to_its_owner
test_gradients_accumulate = autograd.test_gradients_accumulate
test_upstream_gradients = autograd.test_upstream_gradients
test_an_infinite_upstream_gradient_is_not_hidden = autograd.test_an_infinite_upstream_gradient_is_not_hidden
test_hooks_see_and_change_gradients = autograd.test_hooks_see_and_change_gradients
test_tangents_of_ignored_rows_reach_no_derivative = autograd.test_tangents_of_ignored_rows_reach_no_derivative


@pytest.mark.parametrize("reduction", autograd.REDUCTIONS)
@pytest.mark.parametrize("options", autograd.OPTIONS.values(), ids=autograd.OPTIONS.keys())
@pytest.mark.parametrize("of_labels", [True, False], ids=["labels", "probs"])
def test_gradients_by_every_option(of_labels, options, reduction):
    results = []
    for module, dtype in ((pairs.BOTH[0], torch.float32), (pairs.BOTH[1], torch.float64)):
        x, target, weight = (t.to(dtype) for t in (pairs.tensors()[i] for i in (0, 2, 3)))
        if of_labels:
            target = pairs.tensors()[1]
        given = {**options, "weight": weight} if "weight" in options else options
        x.requires_grad_()
        loss = pairs.cross_entropy(module, x, target, reduction=reduction, **given)
        (gradient,) = torch.autograd.grad(loss.sin().sum(), x, create_graph=True)
        derivatives = (loss, gradient, *torch.autograd.grad(gradient.square().sum(), x))
        results.append([t.double() for t in derivatives])
    assert_close(*results, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("given", SOME_OPTIONS)
@pytest.mark.parametrize("kind", ["some ignored", "probabilities"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_linear_head(reduction, kind, given, softcap):
    linear.test_equals_a_linear_layer_and_the_loss(reduction, kind, given, softcap)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("name", ["grad", "hvp", "vmap of grad over W"])
def test_transforms_of_the_linear_head(name, softcap):
    linear.test_transforms(name, softcap)


test_rows_that_are_ignored_are_left_out = linear.test_rows_that_are_ignored_are_left_out
test_a_gradient_is_handed_over_once = linear.test_a_gradient_is_handed_over_once


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_features_of_ignored_rows_reach_no_derivative(reduction):
    linear.test_features_of_ignored_rows_reach_no_derivative(reduction, float("nan"), ())
