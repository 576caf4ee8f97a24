"""`python -m benchmarks`, the same as `softgrad bench`."""

import typer

from softgrad.cli._bench import bench

typer.run(bench)
