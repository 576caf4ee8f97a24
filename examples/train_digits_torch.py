"""Train one network three times on handwritten digits: with torch's loss, with softgrad's, and with a fused head.

All start from the same coefficients and see the same batches. Then both losses judge the same logits, and float64
tells which is right about the rows that the network is sure of.
"""

from collections.abc import Callable
from time import perf_counter

import digits
import numpy as np
import torch
from torch import Tensor, nn

import softgrad.torch

PIXELS, HIDDEN, FEATURES, CLASSES = 64, 128, 64, 10
BATCH_ROWS, LEARNING_RATE = 64, 3e-3
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
        order = torch.randperm(digits.TRAINING_ROWS)
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


def loss_and_slope(
    cross_entropy: Callable[..., Tensor], logits: Tensor, labels: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """The loss of every row, and its derivative with respect to the logit of the row's label."""
    logits = logits.clone().requires_grad_()
    losses = cross_entropy(logits, labels, reduction="none")
    slopes = torch.autograd.grad(losses.sum(), logits)[0].gather(1, labels[:, None])[:, 0]
    return losses.detach().numpy(), slopes.numpy()


def main() -> None:
    options = digits.options(__doc__)
    torch.set_num_threads(1)  # batches as small as these gain nothing by more
    training, held_out = (tuple(map(torch.from_numpy, rows)) for rows in digits.read(options.seed))
    networks = train(training, held_out, options.epochs, options.seed)
    logits, labels = networks["torch"].logits(held_out[0]).detach(), held_out[1]
    losses = {"torch": torch.nn.functional.cross_entropy, "softgrad": softgrad.torch.cross_entropy}
    results = {name: loss_and_slope(loss, logits, labels) for name, loss in losses.items()}
    digits.print_comparison(logits.numpy(), labels.numpy(), results)


if __name__ == "__main__":
    main()
