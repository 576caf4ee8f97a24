"""`python -m benchmarks.gpu`: check that torch is there, then run the command."""

import importlib.util
import sys


def main() -> None:
    """Run the command; without torch the reason is one line and the exit code 2."""
    if importlib.util.find_spec("torch") is None:
        print("error: benchmarks.gpu needs a CUDA GPU and Triton; torch is not installed", file=sys.stderr)
        sys.exit(2)
    import typer  # noqa: PLC0415

    from benchmarks.gpu.command import bench  # noqa: PLC0415, which needs torch

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(bench)
    app(prog_name="python -m benchmarks.gpu")


if __name__ == "__main__":
    main()
