"""Options and data of the examples that train a network on digits.csv, and their comparison of two losses."""

import argparse
from pathlib import Path

import numpy as np

TRAINING_ROWS = 1347
Rows = tuple[np.ndarray, np.ndarray]  # pixels from 0 to 1, and labels


def options(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=60, help="passes over the training rows (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="of coefficients, split and batches (default: 0)")
    given = parser.parse_args()
    if given.epochs < 1:
        parser.error(f"--epochs {given.epochs}: expected at least 1")
    return given


def read(seed: int) -> tuple[Rows, Rows]:
    """Training rows and held-out rows."""
    table = np.loadtxt(Path(__file__).with_name("digits.csv"), np.float32, delimiter=",", skiprows=1)
    table = np.random.default_rng(seed).permutation(table)
    training, held_out = ((part[:, :-1] / 16, part[:, -1].astype(int)) for part in np.split(table, [TRAINING_ROWS]))
    return training, held_out


def print_comparison(logits: np.ndarray, labels: np.ndarray, results: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Print two losses of the same rows, and their derivatives by the logit of the label, beside those of float64."""
    z, at_label = logits.astype(float), (np.arange(len(labels)), labels)
    margins = np.exp(z - z[at_label][:, None])
    margins[at_label] = 0
    others = margins.sum(1)
    exact, exact_slopes = np.log1p(others), -others / (1 + others)
    all_losses, all_slopes = zip(*results.values(), (exact, exact_slopes), strict=True)
    print(f"\nSome held-out rows, the surest first:\n{'loss':>18}{'derivative by the logit of the label':>49}")
    print("".join(f"{name:>11}" for name in (*results, "float64")) * 2)
    for row in exact.argsort()[[int(len(labels) * q) for q in (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)]]:
        print("".join(f"{column[row]:z11.2e}" for column in (*all_losses, *all_slopes)))
    print(f"\nAll {len(labels)} held-out rows:")
    for name, (losses, slopes) in results.items():
        zeros = f"{(losses == 0).sum()} losses and {(slopes == 0).sum()} derivatives are 0"
        print(f"{name:>10}: {zeros}, largest relative error {(abs(losses - exact) / exact).max():.1g}")
