"""Rows whose classes are shared out, and the shard of each rank."""

import torch

# The classes of every rank, for worlds of 1 to 4: equal, uneven, empty.
SIZES = [[7], [4, 3], [3, 4], [7, 0], [0, 5, 2], [2, 2, 3], [4, 0, 1, 2], [1, 0, 0, 6]]


def shard(sizes, rank):
    """The slice of a rank's classes."""
    first = sum(sizes[:rank])
    return slice(first, first + sizes[rank])


class Problem:
    """Logits, directions and targets of a few rows with seven classes; one row is ignored."""

    def __init__(self, dtype=torch.float64, rows=(4,), classes=7):
        generator = torch.Generator().manual_seed(classes)

        def normal(*shape):
            return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)

        self.logits, self.v, self.w = (normal(rows[0], classes, *rows[1:]) * scale for scale in (3, 1, 1))
        self.labels = torch.randint(classes, rows, generator=generator)
        self.labels[1] = -100
        self.probs = torch.rand(self.logits.shape, dtype=torch.float64, generator=generator).to(dtype)
        self.weight = (0.5 + torch.rand(classes, dtype=torch.float64, generator=generator)).to(dtype)
        self.x, self.W, self.bias = normal(rows[0], 5), normal(classes, 5), normal(classes)
        self.x_change, self.W_change = normal(rows[0], 5), normal(classes, 5)

    def targets(self, kind, classes=slice(None)):
        """Labels, or the probabilities of some classes."""
        return self.labels if kind == "labels" else self.probs[:, classes]
