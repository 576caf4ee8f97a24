"""Train one network three times on handwritten digits: with torch's loss, with softgrad's, and with a fused head.

All start from the same coefficients and see the same batches. Then both losses judge the same logits, and float64
tells which is right about the rows that the network is sure of.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

import softgrad.torch

PIXELS, HIDDEN, FEATURES, CLASSES = 64, 128, 64, 10
TRAINING_ROWS, BATCH_ROWS, LEARNING_RATE = 1347, 64, 3e-3
FIGURES = "  {:>6} {:>8} {:>6}"  # of the three networks
Rows = tuple[Tensor, Tensor]  # pixels and labels


class LinearThenLoss(nn.Module):
    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, CLASSES)
        self.loss = loss

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return self.loss(self.linear(features), labels)


HEADS = {
    "torch": lambda: LinearThenLoss(nn.CrossEntropyLoss()),
    "softgrad": lambda: LinearThenLoss(softgrad.torch.CrossEntropyLoss()),
    "fused": lambda: softgrad.torch.LinearCrossEntropyLoss(FEATURES, CLASSES, bias=True),  # stores no logits
}


class Network(nn.Module):
    def __init__(self, head: str, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, FEATURES), nn.ReLU())
        self.head = HEADS[head]()
        self.optimizer = torch.optim.Adam(self.parameters(), LEARNING_RATE)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return self.head(self.body(x), labels)

    def logits(self, x: Tensor) -> Tensor:
        return self.head.linear(self.body(x))


def train(training: Rows, held_out: Rows, epochs: int, seed: int) -> dict[str, Network]:
    networks = {head: Network(head, seed) for head in HEADS}
    seconds: dict[str, list[float]] = {head: [] for head in HEADS}
    print(f"{'training loss':>24}{'held-out loss':>24}{'held-out accuracy':>26}")
    print("epoch" + FIGURES.format(*HEADS) * 3)
    for epoch in range(1, epochs + 1):
        order = torch.randperm(TRAINING_ROWS)
        for head, network in networks.items():
            start = perf_counter()
            for rows in order.split(BATCH_ROWS):
                network.optimizer.zero_grad()
                network(*(part[rows] for part in training)).backward()
                network.optimizer.step()
            seconds[head].append(perf_counter() - start)
        if epoch % max(epochs // 10, 1) == 0:
            losses = [[f"{net(*rows).item():.4f}" for net in networks.values()] for rows in (training, held_out)]
            right = [net.logits(held_out[0]).argmax(1) == held_out[1] for net in networks.values()]
            accuracy = [f"{r.float().mean():.2%}" for r in right]
            print(f"{epoch:5}" + "".join(FIGURES.format(*group) for group in (*losses, accuracy)))
    print("\nMilliseconds per epoch: " + ", ".join(f"{head} {np.median(seconds[head]) * 1e3:.1f}" for head in HEADS))
    return networks


def loss_and_slope(cross_entropy: Callable[..., Tensor], logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of every row, and its derivative with respect to the logit of the row's label."""
    logits = logits.clone().requires_grad_()
    losses = cross_entropy(logits, labels, reduction="none")
    return losses.detach(), torch.autograd.grad(losses.sum(), logits)[0].gather(1, labels[:, None])[:, 0]


def compare(logits: Tensor, labels: Tensor) -> None:
    margins = logits.double() - logits.double().gather(1, labels[:, None])
    others = margins.exp().scatter(1, labels[:, None], 0).sum(1)
    exact, exact_slope = others.log1p(), -others / (1 + others)
    torch_loss, torch_slope = loss_and_slope(torch.nn.functional.cross_entropy, logits, labels)
    loss, slope = loss_and_slope(softgrad.torch.cross_entropy, logits, labels)
    print(f"\nSome held-out rows, the surest first:\n{'loss':>18}{'derivative by the logit of the label':>49}")
    print("      torch   softgrad    float64" * 2)
    for row in exact.argsort()[[int(len(labels) * q) for q in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)]]:
        columns = torch_loss, loss, exact, torch_slope, slope, exact_slope
        print("".join(f"{column[row].item():z11.2e}" for column in columns))
    print(f"\nAll {len(labels)} held-out rows:")
    for name, losses, slopes in (("torch", torch_loss, torch_slope), ("softgrad", loss, slope)):
        zeros = f"{(losses == 0).sum()} losses and {(slopes == 0).sum()} derivatives are 0"
        print(f"{name:>10}: {zeros}, largest relative error {((losses - exact) / exact).abs().max():.1g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60, help="passes over the training rows (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="of coefficients, split and batches (default: 0)")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error(f"--epochs {options.epochs}: expected at least 1")
    torch.set_num_threads(1)  # batches as small as these gain nothing by more
    table = np.loadtxt(Path(__file__).with_name("digits.csv"), np.float32, delimiter=",", skiprows=1)
    table = torch.from_numpy(np.random.default_rng(options.seed).permutation(table))
    training, held_out = ((part[:, :-1] / 16, part[:, -1].long()) for part in table.tensor_split([TRAINING_ROWS]))
    networks = train(training, held_out, options.epochs, options.seed)
    compare(networks["torch"].logits(held_out[0]).detach(), held_out[1])


if __name__ == "__main__":
    main()
