"""DTensors in processes with gloo: in eager mode and under torch.compile."""

import subprocess
import sys

import pytest
import torch
from torch.distributed.tensor import Replicate, Shard, distribute_tensor, init_device_mesh

import softgrad.torch as st
from tests.torch.parallel import worlds

R = Replicate()
LOGITS = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([3, -100, 0, 6, 2])
FUNCTIONS = {
    "mean": lambda x: st.cross_entropy(x, LABELS),
    "sum": lambda x: st.cross_entropy(x, LABELS, reduction="sum", label_smoothing=0.1),
    "none": lambda x: st.cross_entropy(x, LABELS, reduction="none", z_loss=0.1).sum(),
    "log_softmax": lambda x: st.log_softmax(x, 1).sum(),
}


def gradients(loss, *tensors):
    return [gradient.full_tensor() for gradient in torch.autograd.grad(loss, tensors)]


def test_loss_and_gradient_in_processes():
    def on_rank(rank):
        mesh, results = init_device_mesh("cpu", (2,)), []
        for placement in (Shard(0), Shard(1)):
            x = distribute_tensor(LOGITS, mesh, [placement]).requires_grad_()
            loss = st.cross_entropy(x, LABELS)
            results += [loss.full_tensor().detach(), *gradients(loss, x)]
        return results

    x = LOGITS.clone().requires_grad_()
    loss = st.cross_entropy(x, LABELS)
    expected = [loss.detach(), *torch.autograd.grad(loss, x)]
    first, second = worlds.processes(2, on_rank)
    for actual, other, one in zip(first, second, 2 * expected, strict=True):
        assert torch.equal(actual, other)
        torch.testing.assert_close(actual, one)


def compiled(function):
    torch.compiler.reset()
    return torch.compile(function, fullgraph=True, backend="aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("placement, names", [(Shard(0), list(FUNCTIONS)), (Shard(1), ["mean", "none"])], ids=str)
def test_compiled_without_a_graph_break(placement, names):
    def on_rank(rank):
        x = distribute_tensor(LOGITS, init_device_mesh("cpu", (2,)), [placement]).requires_grad_()
        for name in names:
            loss, expected = compiled(FUNCTIONS[name])(x), FUNCTIONS[name](x)
            torch.testing.assert_close(loss.full_tensor(), expected.full_tensor())
            torch.testing.assert_close(gradients(loss, x), gradients(expected, x))

    worlds.processes(2, on_rank)


@pytest.mark.slow
def test_linear_head_compiled_without_a_graph_break():
    def on_rank(rank):
        mesh = init_device_mesh("cpu", (2, 2))
        x = distribute_tensor(LOGITS, mesh, [Shard(0), R]).requires_grad_()
        W = distribute_tensor(LOGITS.repeat(2, 1), mesh, [R, Shard(0)]).requires_grad_()

        def loss(x, W):
            return st.linear_cross_entropy(x, W, LABELS)

        actual, expected = compiled(loss)(x, W), loss(x, W)
        torch.testing.assert_close(actual.full_tensor(), expected.full_tensor())
        torch.testing.assert_close(gradients(actual, x, W), gradients(expected, x, W))

    worlds.processes(4, on_rank)


@pytest.mark.slow
def test_importing_softgrad_torch_does_not_import_dtensor():
    code = "import sys, softgrad.torch; assert 'torch.distributed.tensor' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
