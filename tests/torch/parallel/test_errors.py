"""Errors are raised by all ranks together, and name the rank that has one."""

import os
import time

import pytest
import torch
import torch.distributed as dist

from softgrad.torch import parallel
from tests.torch.parallel import worlds

LABELS = torch.tensor([0, 1, 3])
LOGITS, X, W = torch.zeros(3, 2), torch.zeros(3, 5), torch.zeros(2, 5)

# What rank 1 passes instead of its arguments, and the error of rank 1 that all ranks raise.
LOSS_ERRORS = [
    ({"target": torch.tensor([0, 7, 3])}, IndexError, "target[1] is 7; expected a class index from 0 to 3"),
    ({"target": torch.tensor([0, -3, 3])}, IndexError, "target[1] is -3"),
    ({"target": LABELS.int()}, RuntimeError, "target has dtype torch.int32"),
    ({"target": [0, 1, 3]}, TypeError, "target is a list"),
    ({"local_logits": LOGITS.int()}, NotImplementedError, "local_logits has dtype torch.int32"),
    ({"weight": torch.ones(2, 2)}, RuntimeError, "weight has shape (2, 2); expected (C,)"),
    ({"reduction": "max"}, ValueError, "reduction='max'"),
    ({"first_class": 1}, ValueError, "first_class=1; expected 2"),
    ({"num_classes": 5}, ValueError, "num_classes=5, given or the length of weight; expected 4"),
    ({"first_class": 0.5}, TypeError, "first_class=0.5; expected a non-negative integer"),
    ({"num_classes": -4}, ValueError, "num_classes=-4; expected a non-negative integer"),
]
HEAD_ERRORS = [
    ({"target": torch.tensor([0, 7, 3])}, IndexError, "target[1] is 7"),
    ({"local_weight": torch.zeros(2, 4)}, RuntimeError, "input has shape (3, 5) and local_weight (2, 4)"),
    ({"local_bias": torch.zeros(3)}, RuntimeError, "local_bias has shape (3,)"),
    ({"local_weight": torch.zeros(2, 2, 5)}, RuntimeError, "local_weight has shape (2, 2, 5)"),
    ({"softcap": -1}, ValueError, "softcap=-1"),
]


def raised_by_all(function, arguments, changes, kind, text):
    def attempt(rank):
        with pytest.raises(kind) as caught:
            function(**(arguments | changes if rank == 1 else arguments))
        return str(caught.value), function(**arguments)  # the group is as before

    (message, good), (other, _) = worlds.threads(2, attempt)
    assert message == other
    assert message.startswith(text)
    assert good.isfinite()


@pytest.mark.parametrize("changes, kind, text", LOSS_ERRORS, ids=[text for *_, text in LOSS_ERRORS])
def test_of_the_loss(changes, kind, text):
    arguments = {"local_logits": LOGITS, "target": LABELS}
    raised_by_all(parallel.cross_entropy, arguments, changes, kind, f"rank 1: {text}")


@pytest.mark.parametrize("changes, kind, text", HEAD_ERRORS, ids=[text for *_, text in HEAD_ERRORS])
def test_of_the_head(changes, kind, text):
    arguments = {"input": X, "local_weight": W, "target": LABELS}
    raised_by_all(parallel.linear_cross_entropy, arguments, changes, kind, f"rank 1: {text}")


def test_ranks_with_different_rows():
    changes = {"input": torch.zeros(2, 5), "target": LABELS[:2]}
    arguments = {"input": X, "local_weight": W, "target": LABELS}
    text = "ranks 1 and 0 have different numbers of rows: 2 and 3; expected the same on all ranks"
    raised_by_all(parallel.linear_cross_entropy, arguments, changes, ValueError, text)


@pytest.mark.parametrize(
    "changes, name",
    [
        ({"target": torch.tensor([1, 0, 3])}, "labels in target"),
        ({"reduction": "sum"}, "options of the loss"),
    ],
    ids=str,
)
def test_ranks_that_disagree(changes, name):
    for function, arguments in [
        (parallel.cross_entropy, {"local_logits": LOGITS, "target": LABELS}),
        (parallel.linear_cross_entropy, {"input": X, "local_weight": W, "target": LABELS}),
    ]:
        text = f"ranks 1 and 0 have different {name}; expected the same on all ranks"
        raised_by_all(function, arguments, changes, ValueError, text)


def test_rows_that_do_not_add_up():
    def attempt(rank):
        with pytest.raises(ValueError, match=r"the ranks hold 3, 3 rows of input; expected 3 in all"):
            parallel.linear_cross_entropy(X, W, LABELS, sequence_parallel=True)
        with pytest.raises(RuntimeError, match=r"rank 0: input has shape .*expected \(N_r, D\), this rank's rows"):
            parallel.linear_cross_entropy(X[None], W, LABELS[None], sequence_parallel=True)

    worlds.threads(2, attempt)


def test_without_a_group():
    with pytest.raises(RuntimeError, match=r"no process group; write torch\.distributed\.init_process_group"):
        parallel.cross_entropy(LOGITS, LABELS)

    def attempt(rank):
        with pytest.raises(TypeError, match=r"group=1; expected a torch\.distributed\.ProcessGroup"):
            parallel.cross_entropy(LOGITS, LABELS, group=1)
        with pytest.raises(TypeError, match="local_logits is a list"):
            parallel.cross_entropy([[0.0]], LABELS)
        outside = dist.new_group([0])
        if rank == 1:
            with pytest.raises(TypeError, match="of which this process is a member"):
                parallel.cross_entropy(LOGITS, LABELS, group=outside)

    worlds.processes(2, attempt)


def test_a_rank_that_is_killed():
    def attempt(rank):
        if rank == 1:
            time.sleep(0.2)
            os._exit(1)
        with pytest.raises(RuntimeError, match=r"all_gather of class shards, rank 0 of 2, group '.*': ") as caught:
            parallel.cross_entropy(LOGITS, LABELS)
        assert caught.value.__cause__ is not None
        raise ConnectionError("as expected")

    with pytest.raises((ConnectionError, RuntimeError), match=r"as expected|the process ended without a result"):
        worlds.processes(2, attempt)
