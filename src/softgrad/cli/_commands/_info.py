"""`softgrad info`: versions, CPU, instruction set and threads."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import softgrad
from softgrad import _core
from softgrad.cli._output import print_json


def info(as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False) -> None:
    """Show the versions, CPU, instruction set and number of threads in use."""
    facts: dict[str, Any] = {
        "softgrad": softgrad.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "instruction_set": _core.instruction_set(),
        "instruction_sets": _core.instruction_sets(),
        "threads": softgrad.get_num_threads(),
    }
    if as_json:
        print_json(facts)
    else:
        _print_table(facts)


def _print_table(facts: dict[str, Any]) -> None:
    others = [name for name in facts["instruction_sets"] if name != facts["instruction_set"]]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value, hint in (
        ("softgrad", facts["softgrad"], ""),
        ("Python", facts["python"], ""),
        ("NumPy", facts["numpy"], ""),
        ("platform", facts["platform"], ""),
        ("CPU", facts["cpu"], ""),
        ("instruction set", facts["instruction_set"], f"to change: SOFTGRAD_ISA={others[-1]}" if others else ""),
        ("supported sets", ", ".join(facts["instruction_sets"]), "best first"),
        ("threads", str(facts["threads"]), "to change: SOFTGRAD_NUM_THREADS=1"),
    ):
        table.add_row(name, Text.assemble(value, "  ", (hint, "dim")))
    Console(highlight=False).print(table)


def cpu_model() -> str:
    """Return the name of the processor, or its architecture where the system gives no name."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()
