"""The results of `softgrad fit`: as JSON, for the report, or printed as tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from softgrad.cli._terminal import visible

if TYPE_CHECKING:
    from pathlib import Path

    from softgrad.cli._metrics import Evaluation
    from softgrad.linear_model import SoftmaxRegression


class CrossValidation(NamedTuple):
    """The mean score of each C."""

    folds: int
    C: list[float]
    scores: list[float]
    """Mean over the folds' held-out rows; larger is better."""
    scoring: str | None
    """Name of a scikit-learn scorer; None for the negative loss, in nats."""

    @property
    def values(self) -> list[float]:
        """The scores, or the losses where there is no scorer."""
        return self.scores if self.scoring else [-score for score in self.scores]

    def to_json(self) -> dict[str, Any]:
        """Return the losses, or the scores and the name of the scorer; NaN becomes null."""
        values = [value if math.isfinite(value) else None for value in self.values]
        named = {"scoring": self.scoring, "score": values} if self.scoring else {"loss": values}
        return {"folds": self.folds, "C": self.C, **named}


class FitSummary(NamedTuple):
    """A fit and its figures on training and held-out rows."""

    table: Path
    target: str | None
    model: SoftmaxRegression
    training: Evaluation
    held_out: Evaluation | None
    cross_validation: CrossValidation | None
    seconds: float
    path: Path
    report: Path | None
    remarks: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        model, cross_validation = self.model, self.cross_validation
        parts = {"training": self.training, "held_out": self.held_out}
        return {
            "table": str(self.table),
            "target": self.target,
            "features": model.n_features_in_,
            "classes": len(model.classes_),
            "rows": {name: part.rows if part else 0 for name, part in parts.items()},
            "loss": {name: part.loss if part else None for name, part in parts.items()},
            "accuracy": {name: part.accuracy if part else None for name, part in parts.items()},
            "C": float(model.C) if math.isfinite(model.C) else None,
            "cross_validation": cross_validation and cross_validation.to_json(),
            "objective": model.objective_,
            "gradient_norm": model.gradient_norm_,
            "solver": model.solver_,
            "iterations": model.n_iter_,
            "passes": model.n_passes_,
            "converged": model.converged_,
            "seconds": self.seconds,
            "model": str(self.path),
            "report": None if self.report is None else str(self.report),
            "remarks": self.remarks,
        }

    def report_facts(self) -> dict[str, Any]:
        """Return what the report lists about the table, in its order."""
        facts: dict[str, Any] = {
            "table": str(self.table),
            "target": self.target or "label",
            "rows": self.training.rows + (self.held_out.rows if self.held_out else 0),
            "training rows": self.training.rows,
            "held-out rows": self.held_out.rows if self.held_out else 0,
            "features": self.model.n_features_in_,
            "classes": len(self.model.classes_),
        }
        return facts | ({"remarks": "; ".join(self.remarks)} if self.remarks else {})

    def print(self) -> None:
        """Print tables and a line on the solver to stdout."""
        console = Console(highlight=False)
        model = self.model
        rows = self.training.rows + (self.held_out.rows if self.held_out else 0)
        title = Text.assemble((visible(self.target or "labels"), "bold"), visible(f" from {self.table}: "))
        title.append(f"{rows} rows, {model.n_features_in_} features, {len(model.classes_)} classes")
        console.print(title, soft_wrap=True)
        if self.cross_validation is not None:
            console.print(_scores_table(self.cross_validation, model.C))
        console.print(_quality_table(self.training, self.held_out))
        end = Text("converged", "green") if model.converged_ else Text("not converged", "yellow")
        solver = Text.assemble(
            end, f" in {model.n_iter_} iterations of {model.solver_}, {model.n_passes_:.0f} passes, "
        )
        solver.append(f"{self.seconds:.2f} s: objective {model.objective_:.6f}, ")
        solver.append(f"gradient norm {model.gradient_norm_:.1e}")
        console.print(solver, soft_wrap=True)
        console.print(Text(visible(f"model saved in {self.path}")), soft_wrap=True)
        if self.report is not None:
            console.print(Text(visible(f"report written to {self.report}")), soft_wrap=True)


def _quality_table(training: Evaluation, held_out: Evaluation | None) -> Table:
    table = Table(box=box.ROUNDED)
    table.add_column("")
    table.add_column("training", justify="right")
    table.add_column("held out", justify="right")
    for name, form, style in (("rows", "d", ""), ("loss", ".6f", ""), ("accuracy", ".2%", "bold")):
        values = ["-" if part is None else format(getattr(part, name), form) for part in (training, held_out)]
        table.add_row("loss (nats)" if name == "loss" else name, *values, style=style)
    return table


def _scores_table(scores: CrossValidation, chosen: float) -> Table:
    table = Table(box=box.ROUNDED)
    table.add_column("C", justify="right")
    table.add_column(f"{scores.scoring or 'loss (nats)'}, mean of {scores.folds} folds", justify="right")
    for C, value in zip(scores.C, scores.values, strict=True):
        table.add_row(f"{C:.4g}", f"{value:.6f}", style="bold" if chosen == C else "")
    return table
