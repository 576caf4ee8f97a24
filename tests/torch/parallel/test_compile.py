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


def samples():
    """Arguments of every operator, in a world of one rank."""
    group = torch.distributed.group.WORLD.group_name
    x = torch.randn(4, 5, requires_grad=True)
    labels, probs, weight = torch.tensor([0, -100, 2, 4]), torch.rand(4, 5), torch.rand(5) + 0.5
    for target, w, options in [(labels, None, (2, -100, 0.0, 0.0)), (probs, weight, (0, -100, 0.1, 0.3))]:
        rows, place = (target, w, 1, *options, group), (0, 5)
        message = torch.ops.softgrad.shard_statistics(x.detach(), *rows, *place)
        gathered = torch.ops.softgrad.all_gather(message, group)
        statistics, shard = torch.ops.softgrad.merge_shards(gathered, x.detach(), *rows, *place)
        directions = torch.ops.softgrad.shard_directions(x.detach(), probs, statistics, 1)
        s = torch.ones(4 if options[0] == 2 else (), requires_grad=True)
        merged = (statistics, shard, *rows)
        yield "shard_statistics", (x.detach(), *rows, *place)
        yield "all_gather", (message, group)
        yield "merge_shards", (gathered, x.detach(), *rows, *place)
        yield "sharded_cross_entropy", (x, *merged)
        yield "sharded_cross_entropy_grad", (x, s, *merged)
        yield "shard_directions", (x.detach(), probs, statistics, 1)
        yield "sharded_cross_entropy_hvp", (x, s, probs, directions[None], *merged)
        for name in ("softmax", "log_softmax", "logsumexp"):
            yield f"sharded_{name}", (x, statistics, 1, group)
        head = (target, w, *options, 2.0, 0, group, *place)
        features, W = torch.randn(4, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
        yield "sharded_linear_cross_entropy", (features, W, None, *head)
        # Its derivative would call torch's wait_tensor, whose schema says that it does not alias.
        constants = (tensor.detach() for tensor in (features, W))
        yield "sharded_linear_cross_entropy_grad", (*constants, None, s.detach(), *head, True, True)
    for name in ("sum_over_shards", "for_every_shard"):
        yield name, (x, group)
    for name in ("gather_rows", "own_rows"):
        yield name, (x, torch.tensor([4]), group, 4)


def opchecked(rank):
    names = set()
    for name, arguments in samples():
        tests = ["test_schema", "test_autograd_registration", "test_faketensor"]
        torch.library.opcheck(getattr(torch.ops.softgrad, name).default, arguments, test_utils=tests)
        names.add(name)
    return names


# Those of class shards.
OPERATORS = sorted(
    str(name).removeprefix("softgrad::")
    for name in torch._C._dispatch_get_all_op_names()
    if "softgrad::" in name and any(word in name for word in ("shard", "gather", "own_rows"))
)


def test_opcheck():
    (names,) = worlds.processes(1, opchecked)
    assert names == set(OPERATORS)
