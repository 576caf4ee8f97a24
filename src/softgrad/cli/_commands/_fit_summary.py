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

    from softgrad.cli._fitting import CrossValidation, Fitted
    from softgrad.cli._metrics import Evaluation
    from softgrad.linear_model import SoftmaxRegression


class FitSummary(NamedTuple):
    """A fit, and the files it came from and went to."""

    table: str
    fitted: Fitted
    path: Path
    report: Path | None

    @property
    def model(self) -> SoftmaxRegression:
        """The model."""
        return self.fitted.model.model

    @property
    def target(self) -> str | None:
        """The name of the label column, if columns have names."""
        saved = self.fitted.model
        return None if saved.encoding is None else saved.target

    @property
    def rows(self) -> int:
        """The number of training and held-out rows."""
        return self.fitted.training.rows + (self.fitted.held_out.rows if self.fitted.held_out else 0)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        model, cross_validation = self.model, self.fitted.cross_validation
        parts = {"training": self.fitted.training, "held_out": self.fitted.held_out}
        return {
            "table": self.table,
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
            "seconds": self.fitted.seconds,
            "model": str(self.path),
            "report": None if self.report is None else str(self.report),
            "remarks": self.fitted.warnings,
        }

    def report_facts(self) -> dict[str, Any]:
        """Return what the report lists about the table, in its order."""
        facts: dict[str, Any] = {
            "table": self.table,
            "target": self.target or "label",
            "rows": self.rows,
            "training rows": self.fitted.training.rows,
            "held-out rows": self.fitted.held_out.rows if self.fitted.held_out else 0,
            "features": self.model.n_features_in_,
            "classes": len(self.model.classes_),
        }
        return facts | ({"remarks": "; ".join(self.fitted.warnings)} if self.fitted.warnings else {})

    def print(self) -> None:
        """Print tables and a line on the solver to stdout."""
        console = Console(highlight=False)
        model = self.model
        title = Text.assemble((visible(self.target or "labels"), "bold"), visible(f" from {self.table}: "))
        title.append(f"{self.rows} rows, {model.n_features_in_} features, {len(model.classes_)} classes")
        console.print(title, soft_wrap=True)
        if self.fitted.cross_validation is not None:
            console.print(_scores_table(self.fitted.cross_validation, model.C))
        console.print(_quality_table(self.fitted.training, self.fitted.held_out))
        end = Text("converged", "green") if model.converged_ else Text("not converged", "yellow")
        solver = Text.assemble(
            end, f" in {model.n_iter_} iterations of {model.solver_}, {model.n_passes_:.0f} passes, "
        )
        solver.append(f"{self.fitted.seconds:.2f} s: objective {model.objective_:.6f}, ")
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
