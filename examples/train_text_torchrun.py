"""Train a small language model whose head is shared out over processes; the losses are those of one process.

    python examples/train_text_torchrun.py                                              # one process
    torchrun --standalone --nproc-per-node 2 examples/train_text_torchrun.py            # two

Every process has the whole network below the head, and of the head the rows of its share of the words. The model
predicts a word from the words before it.
"""

import argparse
import os
import re
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

import softgrad.torch
import softgrad.torch.parallel

TEXT = Path(__file__).with_name("declaration_and_constitution.txt")
CONTEXT, EMBEDDING, HIDDEN = 6, 32, 128
BATCH_ROWS, LEARNING_RATE, HELD_OUT = 128, 0.5, 0.1
Rows = tuple[Tensor, Tensor]  # the words before, and the word


class Model(nn.Module):
    def __init__(self, words: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)  # every process draws the same numbers, and keeps its share of the head
        self.body = nn.Sequential(
            nn.Embedding(words, EMBEDDING), nn.Flatten(), nn.Linear(CONTEXT * EMBEDDING, HIDDEN), nn.Tanh()
        )
        coefficients = nn.Linear(HIDDEN, words).state_dict()
        if dist.is_initialized():
            self.head = softgrad.torch.parallel.LinearCrossEntropyLoss(HIDDEN, words, bias=True)
            ranks, rank = dist.get_world_size(), dist.get_rank()
            coefficients = {name: whole.chunk(ranks)[rank] for name, whole in coefficients.items()}
        else:
            self.head = softgrad.torch.LinearCrossEntropyLoss(HIDDEN, words, bias=True)
        self.head.linear.load_state_dict(coefficients)

    def forward(self, before: Tensor, word: Tensor) -> Tensor:
        return self.head(self.body(before), word)


def read(seed: int) -> tuple[Rows, Rows, int]:
    """Training rows, held-out rows, and the number of different words; signs are words, too."""
    text = re.findall(r"[\w'-]+|[^\w\s]", TEXT.read_text(encoding="ascii"))
    numbers = {word: i for i, word in enumerate(sorted(set(text)))}
    windows = torch.tensor([numbers[word] for word in text]).unfold(0, CONTEXT + 1, 1)
    windows = windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))]
    held_out, training = windows.split([int(HELD_OUT * len(windows)), len(windows) - int(HELD_OUT * len(windows))])
    return (training[:, :-1], training[:, -1]), (held_out[:, :-1], held_out[:, -1]), len(numbers)


def train(model: Model, training: Rows, held_out: Rows, epochs: int, seed: int) -> None:
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    generator = torch.Generator().manual_seed(seed)
    show("epoch  training loss  held-out loss")
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(training[0]), generator=generator)
        for rows in order.split(BATCH_ROWS):
            optimizer.zero_grad()
            model(*(part[rows] for part in training)).backward()
            optimizer.step()
        with torch.no_grad():
            losses = model(*training).item(), model(*held_out).item()
        show(f"{epoch:5}  {losses[0]:13.7f}  {losses[1]:13.7f}")


def show(line: str) -> None:
    if not dist.is_initialized() or dist.get_rank() == 0:
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8, help="passes over the text (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="of coefficients and batches (default: 0)")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error(f"--epochs {options.epochs}: expected at least 1")
    torch.set_num_threads(1)
    if "RANK" in os.environ:  # set by torchrun
        dist.init_process_group("gloo")
    training, held_out, words = read(options.seed)
    model = Model(words, options.seed)
    show(f"{len(training[0])} training words, {words} different ones; {len(model.head.linear.weight)} in each process")
    train(model, training, held_out, options.epochs, options.seed)
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
