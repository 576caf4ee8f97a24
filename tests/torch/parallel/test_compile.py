"""torch.compile traces losses of class shards whole, with torch's own collective."""

import pytest
import torch

from softgrad.torch import parallel
from tests.torch.parallel import worlds

LABELS = torch.tensor([0, 1, -100, 3, 7, 5])


def traced(rank):
    generator = torch.Generator().manual_seed(rank)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(9), requires_grad=True)
    z, W = (torch.randn(n, m, generator=generator, requires_grad=True) for n, m in [(6, 4), (4, 5)])
    losses = [
        (lambda z: 2 * parallel.cross_entropy(z, LABELS), (z,)),
        (lambda z: 2 * parallel.cross_entropy(z, LABELS, label_smoothing=0.1, z_loss=0.1), (z,)),
        (lambda x, W: 2 * parallel.linear_cross_entropy(x, W, LABELS), (x, W)),
        (lambda x, W: 2 * parallel.linear_cross_entropy(x[3 * rank :][:3], W, LABELS, sequence_parallel=True), (x, W)),
    ]
    for loss, tensors in losses:
        graphs = []

        def backend(graph, inputs, graphs=graphs):
            graphs.append(graph)
            return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

        torch._dynamo.reset()
        compiled = torch.compile(loss, fullgraph=True, backend=backend)
        expected = torch.autograd.grad(loss(*tensors), tensors)
        torch.testing.assert_close(torch.autograd.grad(compiled(*tensors), tensors), expected)
        assert len(graphs) == 1
    return True


@pytest.mark.slow
def test_one_graph():
    assert worlds.processes(2, traced) == [True, True]
