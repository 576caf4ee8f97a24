"""softgrad.torch.parallel beside loss_parallel: the ranks, the verdicts, the bytes and the table."""

import io
import re

import pytest
import torch
import torch._dynamo  # loss_parallel imports it: once here, not in every rank
import torch.distributed as dist
from rich.console import Console
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

from benchmarks import memory
from benchmarks.__main__ import WIDTH, header, wrong_results
from benchmarks.suites import parallel as suite
from benchmarks.suites.parallel import cross_entropy, linear_cross_entropy, wire, world
from benchmarks.suites.parallel.memory import MemoryCase
from benchmarks.suites.parallel.world import Work, World
from softgrad.torch import parallel

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")


@pytest.fixture(autouse=True)
def _quick_start(monkeypatch):
    """Ranks that need not import torch again, and that see what a test has patched."""
    monkeypatch.setattr(world, "START_METHOD", "fork")
    monkeypatch.setattr(world, "TIMEOUT", 30)
    monkeypatch.setattr(cross_entropy.shutil, "which", lambda _: None)  # torch compiles for seconds


def printed(report):
    console = Console(width=WIDTH, file=io.StringIO(), highlight=False)
    console.print("\n".join(header(report, suite.SUITE)))
    console.print(suite.table(report))
    return console.file.getvalue()


def test_every_case_and_every_goal(measured):
    records = [measured(case) for case in suite.cases({}, shrink=64)]
    assert wrong_results(records) == []
    assert [(record["title"], [goal["text"] for goal in record["goals"]]) for record in records] == [
        ("loss + backward, 4 × 785", ["≥ 3×", "≥ 3×"]),
        ("linear head, 16 × 8 × 785", ["≤ 1.15×"]),
        ("memory of a rank, loss + backward, 4 × 785", ["≤ 1.1×"]),
        ("2 ranks, 4 × 786", []),
        ("8 ranks, 4 × 792", []),
        ("64 ranks, 4 × 832", []),
    ]
    loss, head, peaks, *_ = records
    assert [variant["name"] for variant in loss["variants"]] == ["softgrad", "torch"]
    assert [variant["name"] for variant in head["variants"]] == ["softgrad", "torch", "three GEMMs"]
    assert loss["variants"][0]["error_ulp"] <= 2
    assert all(variant["median_s"] > 0 for record in (loss, head) for variant in record["variants"])
    assert [variant["name"] for variant in peaks["variants"]] == (["softgrad", "torch"] if memory.can_measure() else [])
    for record, full in zip(records[:3], ("256 × 50256", "1024 × 512 × 50256", "256 × 50256"), strict=True):
        record["title"] = re.sub(r"\d+( × \d+)+", full, record["title"])
    environment = {"cpu": "", "cpus": 2, "instruction_set": "", "versions": {}, "not_installed": [], "load": 0.0}
    report = environment | {"threads": 2, "rounds": 1, "cases": records, "summary": suite.summary(records)}
    text = printed(report)
    for expected in "gloo, 1 thread for each", "torch, F.linear, loss_parallel", "≤ 1.15×", "64 ranks, 4 × 832":
        assert expected in text
    assert not re.search(r"\S…|…\S", text), text
    assert max(map(len, text.splitlines())) <= WIDTH


class TooLarge(torch.autograd.Function):
    @staticmethod
    def forward(_, z):
        return z.clone()

    @staticmethod
    def backward(_, gradient):
        return gradient * 1.01


@pytest.mark.parametrize("name, part", [
    ("cross_entropy", "loss"), ("cross_entropy", 0),
    ("linear_cross_entropy", "loss"), ("linear_cross_entropy", 0), ("linear_cross_entropy", 1),
])  # fmt: skip
def test_wrong_result_of_one_rank_is_refused(monkeypatch, measured, name, part):
    right = getattr(parallel, name)

    def wrong(*given):
        if dist.get_rank() == 0:
            return right(*given)
        if part == "loss":
            loss = right(*given)
            return loss + 1e-6 * loss.detach()
        return right(*(TooLarge.apply(each) if i == part else each for i, each in enumerate(given)))

    monkeypatch.setattr(parallel, name, wrong)
    module, shape = (cross_entropy, (4, 10)) if name == "cross_entropy" else (linear_cross_entropy, (4, 3, 10))
    with World(2) as ranks:
        ours, torchs, *_ = measured(module.gradient(ranks, shape, []))["variants"]
    of_x = (name, part) == ("linear_cross_entropy", 0)
    assert ("not the same on all ranks" if part == "loss" or of_x else "from the exact result") in ours["refused"]
    assert not torchs["refused"]


def test_torch_compiles_where_there_is_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "the compiler")
    monkeypatch.setattr(cross_entropy.shutil, "which", lambda name: name == "the compiler")
    assert list(cross_entropy.ways()) == ["softgrad", "torch", "torch compiled"]
    monkeypatch.setenv("CXX", "another")
    assert list(cross_entropy.ways()) == ["softgrad", "torch"]


def fails(rank, size):
    def call():
        raise ArithmeticError(f"{size} - {rank}")

    return Work({"call": call}, None)


def test_an_error_of_a_rank_is_raised_here():
    with World(2) as ranks:
        ranks.prepare(fails)
        with pytest.raises(RuntimeError, match=r"(?s)rank \d of 2: Traceback.*ArithmeticError: 2 - "):
            ranks.call("call")
    assert not any(process.is_alive() for process in ranks._ranks)


def test_ranks_share_the_threads(threads):
    threads(5)
    assert (World(2).threads, World(8).threads) == (2, 1)


def test_bytes_on_the_wire(measured):
    rows, features, ranks = 8, 3, 64
    counts = {each["name"]: each for each in measured(wire.WireCase(rows, features, 5, ranks))["wire"]}
    forward = {
        "cross_entropy": [(63, 576 + 40 * rows)],
        "cross_entropy, label_smoothing": [(63, 576 + 88 * rows)],
        "loss_parallel": 3 * [(126 / 64, 4 * rows)],  # the maximum, the sum, the logit of the label
        "linear_cross_entropy": [(63, 576), (63, 40 * rows), (126 / 64, 4 * rows * features)],
        "F.linear, loss_parallel": 3 * [(126 / 64, 4 * rows)],
    }
    backward = {name: [] for name in forward} | {"F.linear, loss_parallel": [(126 / 64, 4 * rows * features)]}
    assert set(counts) == set(forward)
    for name, count in counts.items():
        for direction, expected in ("forward", forward[name]), ("backward", backward[name]):
            assert count[direction] == {
                "collectives": len(expected),
                "message_bytes": sum(size for _, size in expected),
                "sent_bytes": sum(round(times * size) for times, size in expected),
            }, (name, direction)


def test_counting_leaves_other_functions_of_dtensors_alone(measured):
    measured(wire.WireCase(2, 3, 5, 2))
    with wire.fake_group(2):
        rows = DTensor.from_local(torch.zeros(2, 5), init_device_mesh("cpu", (2,)), [Shard(0)])
        assert rows.log_softmax(1).shape == (4, 5)  # an error within loss_parallel, which shards classes


def test_counted_collectives_have_the_results_of_ranks_that_are_alike():
    group = torch.ops._c10d_functional
    x = torch.tensor([[1.0, -2.0]])
    with wire.fake_group(3), wire.counting(3):
        assert torch.equal(group.all_gather_into_tensor(x, 3, "0"), x.expand(3, 2))
        assert torch.equal(group.all_reduce(x, "sum", "0"), 3 * x)
        assert torch.equal(group.all_reduce(x, "max", "0"), x)
        with pytest.raises(NotImplementedError, match="all_reduce of product; expected sum or max"):
            group.all_reduce(x, "product", "0")
        with pytest.raises(NotImplementedError, match="reduce_scatter_tensor is counted"):
            group.reduce_scatter_tensor(x, "sum", 1, "0")


def test_a_loss_of_a_fake_group_counts_every_shard():
    logits, label = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64), torch.tensor([0])
    with wire.fake_group(8), wire.counting(8):
        plain, penalised = (parallel.cross_entropy(logits, label, z_loss=z_loss) for z_loss in (0.0, 1.0))
    torch.testing.assert_close(penalised - plain, torch.cat(8 * [logits], 1).logsumexp(1)[0] ** 2)


def test_memory_is_left_out_where_the_system_does_not_tell(monkeypatch, measured):
    monkeypatch.setattr(memory, "can_measure", lambda: False)
    record = measured(MemoryCase((4, 10), 2))
    assert record["variants"] == []
    assert [goal["reached"] for goal in record["goals"]] == [None]
