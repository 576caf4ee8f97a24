"""Mistakes that people ask about again and again, each in a function of its own, and the verdicts of the checker.

`python -m tests.checking.test_public_mistakes` prints them as the table in docs/checking.md.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from softgrad import checking

DOCUMENT = Path(__file__).parents[2] / "docs" / "checking.md"
ONE_HOT, INDEX = {"target": "one-hot"}, {"target": "index"}


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def jacobian(z):
    p = softmax(z)
    return np.einsum("bj,jk->bjk", p, np.eye(z.shape[1])) - np.einsum("bj,bk->bjk", p, p)


def sigmoid_derivative(z, y):
    p = softmax(z)
    return (p - y) * p * (1 - p)


def diagonal_only(z):
    p = softmax(z)
    return p * (1 - p)


def loss_in_p(z, y):
    return -y / softmax(z)


def wrong_order(z, y):
    return y - softmax(z)


def mean_twice(z, y):
    g = (softmax(z) - y) / len(z)
    return g / len(z)


def mean_over_all_entries(z, y):
    return -np.mean(y * np.log(softmax(z)))


def columns(z):
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)


def keepdims_forgotten(z):
    e = np.exp(z - z.max(axis=1))
    return e / e.sum(axis=1)


def never_normalised_per_row(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def overflowing(z):
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def softmax_in_model_and_in_loss(z, y):
    return softmax(softmax(z)) - y


def eps_in_the_logarithm(z, y):
    return -(y * np.log(softmax(z) + 1e-9)).sum()


def clipped(z, y):
    return -(y * np.log(np.clip(softmax(z), 1e-15, 1 - 1e-15))).sum()


def outer_product_alone(z):
    p = softmax(z)
    return -p[:, :, None] * p[:, None, :]


def plus_sign(z):
    p = softmax(z)
    return np.stack([np.diag(row) + np.outer(row, row) for row in p])


def identity_for_diagonal(z):
    p = softmax(z)
    return np.eye(z.shape[1]) - p[:, :, None] * p[:, None, :]


def whole_batch_as_one_vector(z):
    s = softmax(z).reshape(-1, 1)
    return np.diagflat(s) - s @ s.T


def swapped_indices(z):
    return np.eye(z.shape[1]) - np.swapaxes(np.broadcast_to(softmax(z)[:, None, :], (*z.shape, z.shape[1])), 1, 2)


def elementwise_backward(z, v):
    p = softmax(z)
    return v * p * (1 - p)


def summed_without_axis(z, v):
    p = softmax(z)
    return p * (v - (p * v).sum())


def subtracts_in_all_columns(z, labels):
    g = softmax(z)
    g[:, labels] -= 1
    return g


def labels_from_one(z, labels):
    g = softmax(z)
    g[np.arange(len(z)), labels - 1] -= 1
    return g


def label_as_number(z, labels):
    return softmax(z) - labels[:, None]


def changes_its_input(z):
    z -= z.max(axis=1, keepdims=True)
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def target_entry_only(z, labels):
    g = np.zeros_like(z)
    rows = np.arange(len(z))
    g[rows, labels] = softmax(z)[rows, labels] - 1
    return g


def labels_dtype(z, labels):
    g = np.zeros_like(labels, shape=z.shape)
    g[:] = softmax(z)
    g[np.arange(len(z)), labels] -= 1
    return g


def one_sample(z):
    p = np.exp(z - np.max(z))
    p = p / p.sum()
    return np.diag(p) - np.outer(p, p)


def weights_transposed(x, W, bias, labels):
    g = softmax(x @ W.T + bias)
    g[np.arange(len(x)), labels] -= 1
    return g @ W, x.T @ g, g.sum(axis=0)


def passed_through(z, v):
    return v.copy()


def dot_product_forgotten(z, v):
    return softmax(z) * v


def twice(z):
    return 2 * jacobian(z)


def maximum_from_zero(z):
    top = np.maximum(z.max(axis=1, keepdims=True), 0)
    e = np.exp(z - top)
    return e / e.sum(axis=1, keepdims=True)


def log_likelihood(z, y):
    return np.sum(y * np.log(softmax(z)))


def one_loss_per_row(z, y):
    return -np.sum(y * np.log(softmax(z)), axis=1)


def layer(bias_gradient):
    def backward(x, W, bias, labels):
        g = softmax(x @ W.T + bias)
        g[np.arange(len(x)), labels] -= 1
        return g @ W, g.T @ x, bias_gradient(g)

    return backward


class Mistake(NamedTuple):
    text: str
    check: object
    fn: object
    options: dict
    verdict: str  # the cause, or "inconclusive: ..." with words of the advice
    seen: str = ""  # a public question or bug report on it


MISTAKES = [
    Mistake("`p * (1 - p)` as the whole derivative", checking.check_softmax_jacobian, diagonal_only, {}, "only the diagonal", "github.com/deeplearning4j/libnd4j/issues/440"),
    Mistake("`diagflat(p) - p @ p.T` of a whole batch", checking.check_softmax_jacobian, whole_batch_as_one_vector, {}, "batch flattened", "stackoverflow.com/questions/59286911"),
    Mistake("a derivative that is off by a factor of two", checking.check_softmax_jacobian, twice, {}, "twice as large", "github.com/markroxor/fromscratchtoml/issues/65"),
    Mistake("`-outer(p, p)` without the diagonal", checking.check_softmax_jacobian, outer_product_alone, {}, "term Diag(p) forgotten"),
    Mistake("`diag(p) + outer(p, p)`", checking.check_softmax_jacobian, plus_sign, {}, "sign of the term p pᵀ"),
    Mistake("`eye(C) - outer(p, p)`", checking.check_softmax_jacobian, identity_for_diagonal, {}, "I in place of Diag(p)"),
    Mistake("a function of one sample called on a batch", checking.check_softmax_jacobian, one_sample, {}, "inconclusive: for one vector the function is right"),
    Mistake("j and k swapped in log-softmax's Jacobian", checking.check_log_softmax_jacobian, swapped_indices, {}, "log-softmax Jacobian transposed"),
    Mistake("a backward pass that copies the upstream gradient", checking.check_softmax_vjp, passed_through, {}, "upstream gradient returned unchanged", "github.com/pjreddie/darknet/pull/96"),
    Mistake("`p * v`, without the dot product", checking.check_softmax_vjp, dot_product_forgotten, {}, "term p(pᵀv) forgotten", "github.com/HomericIntelligence/Odyssey/issues/2134"),
    Mistake("`v * p * (1 - p)`", checking.check_softmax_vjp, elementwise_backward, {}, "elementwise product where a VJP is needed"),
    Mistake("`(p * v).sum()` without an axis", checking.check_softmax_vjp, summed_without_axis, {}, "pᵀv summed over the wrong axis"),
    Mistake("softmax along axis 0", checking.check_softmax, columns, {}, "softmax along the wrong axis", "github.com/deeplearning4j/deeplearning4j/issues/345"),
    Mistake("softmax over all axes", checking.check_softmax, never_normalised_per_row, {}, "softmax over the whole batch", "github.com/nntrainer/nntrainer/pull/430"),
    Mistake("`np.exp(z)` of large logits: inf/inf", checking.check_softmax, overflowing, {}, "no maximum subtracted", "stackoverflow.com/questions/61567597"),
    Mistake("`max(0, z.max())` subtracted: 0/0", checking.check_softmax, maximum_from_zero, {}, "no maximum below zero subtracted", "github.com/FluxML/NNlib.jl/pull/43"),
    Mistake("`keepdims=True` forgotten", checking.check_softmax, keepdims_forgotten, {}, "inconclusive: keep it with keepdims=True"),
    Mistake("`z -= z.max(...)` changes the caller's array", checking.check_softmax, changes_its_input, {}, "input changed in place"),
    Mistake("a mean over rows and classes", checking.check_cross_entropy, mean_over_all_entries, ONE_HOT, "divided by B·C", "github.com/jax-ml/jax/issues/1023"),
    Mistake("`log(p + 1e-9)`", checking.check_cross_entropy, eps_in_the_logarithm, ONE_HOT, "log(p + eps)", "github.com/apache/mxnet/pull/4594"),
    Mistake("`log(clip(p, 1e-15, 1 - 1e-15))`", checking.check_cross_entropy, clipped, ONE_HOT, "probabilities clipped before the logarithm", "github.com/chainer/chainer/issues/584"),
    Mistake("the minus forgotten", checking.check_cross_entropy, log_likelihood, ONE_HOT, "loss negated", "github.com/apache/mxnet/pull/7118"),
    Mistake("one loss for every row", checking.check_cross_entropy, one_loss_per_row, ONE_HOT, "not reduced", "github.com/cbfinn/maml/issues/70"),
    Mistake("softmax in the model and in the loss", checking.check_cross_entropy_grad, softmax_in_model_and_in_loss, ONE_HOT, "softmax applied twice", "github.com/tflearn/tflearn/pull/562"),
    Mistake("`y - p`", checking.check_cross_entropy_grad, wrong_order, ONE_HOT, "gradient negated", "github.com/deeplearning4j/deeplearning4j/issues/345"),
    Mistake("divided by N in the loss and again after it", checking.check_cross_entropy_grad, mean_twice, {**ONE_HOT, "reduction": "mean"}, "mean taken twice", "github.com/eriklindernoren/PyTorch-YOLOv3/pull/137"),
    Mistake("the activation's derivative once more: `(p - y) * p * (1 - p)`", checking.check_cross_entropy_grad, sigmoid_derivative, ONE_HOT, "p − y multiplied again by p(1 − p)", "github.com/hunkim/DeepLearningZeroToAll/issues/20"),
    Mistake("`-y / p` as the gradient in the logits", checking.check_cross_entropy_grad, loss_in_p, ONE_HOT, "gradient with respect to probabilities", "github.com/fetchai/ledger/pull/1580"),
    Mistake("labels that count from 1", checking.check_cross_entropy_grad, labels_from_one, INDEX, "labels off by one", "github.com/hunkim/DeepLearningZeroToAll/issues/20"),
    Mistake("`g[:, labels] -= 1`", checking.check_cross_entropy_grad, subtracts_in_all_columns, INDEX, "1 subtracted in the columns of all labels"),
    Mistake("`p - label` without one-hot", checking.check_cross_entropy_grad, label_as_number, INDEX, "one-hot forgotten"),
    Mistake("only the entry of the label filled", checking.check_cross_entropy_grad, target_entry_only, INDEX, "only the target entry filled"),
    Mistake("gradient in the labels' integer dtype", checking.check_cross_entropy_grad, labels_dtype, INDEX, "result in integers"),
    Mistake("`x.T @ g` where W has shape (C, D)", checking.check_linear_cross_entropy_grad, weights_transposed, INDEX, "dW: transposed"),
    Mistake("bias gradient summed without an axis", checking.check_linear_cross_entropy_grad, layer(np.sum), INDEX, "dbias: summed over the classes", "github.com/rasbt/stat453-deep-learning-ss21/issues/5"),
    Mistake("mean of the bias gradient in place of its sum", checking.check_linear_cross_entropy_grad, layer(lambda g: g.mean(axis=0)), INDEX, "dbias: mean instead of sum", "github.com/kvfrans/notes/issues/5"),
    Mistake("bias gradient not summed over the batch", checking.check_linear_cross_entropy_grad, layer(lambda g: g), INDEX, "dbias: not summed over the batch", "github.com/mlpack/mlpack/pull/3679"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=[f"{mistake.verdict}-{mistake.fn.__name__}" for mistake in MISTAKES])
def test_verdict(mistake):
    report = mistake.check(mistake.fn, **mistake.options)
    if mistake.verdict.startswith("inconclusive"):
        assert (report.verdict, report.cause) == ("inconclusive", None)
        assert mistake.verdict.partition(": ")[2] in report.advice
    else:
        assert (report.verdict, report.cause) == ("wrong: known cause", mistake.verdict), str(report)


def table():
    lines = ["| mistake | kind | verdict | seen |", "|---|---|---|---|"]
    for text, check, _, _, verdict, seen in MISTAKES:
        kind = check.__name__.removeprefix("check_").replace("_", "-")
        site, owner, name, *_ = seen.split("/") if seen else ("", "", "")
        label = f"{owner}/{name}" if site == "github.com" else "Stack Overflow"
        link = f"[{label}](https://{seen})" if seen else ""
        lines.append(f"| {text} | {kind} | {verdict} | {link} |")
    return "\n".join(lines)


def test_twenty_of_them_are_from_public_reports():
    assert sum(bool(mistake.seen) for mistake in MISTAKES) >= 20


def test_the_documented_verdicts_are_these():
    assert table() in DOCUMENT.read_text()


if __name__ == "__main__":
    print(table())
