"""Kernels compiled for a GPU that need not exist: registers, instructions and accesses of the machine code.

Inside `compiling`, Triton compiles each kernel that is to be launched, with the arguments and options of the launch.
"""

import collections
import contextlib
import re
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
# Of a multiprocessor: 32-bit registers, of which a warp gets multiples of 256; warps; programs.
REGISTERS, PORTION, WARPS, PROGRAMS = 65536, 256, 64, 32


class Driver:
    """What Triton asks of the driver of a GPU before it launches."""

    def __init__(self, arch):
        self.arch = arch

    def get_current_device(self):
        return self.arch  # each has kernels of its own

    def get_current_stream(self, device):
        return 0

    def get_current_target(self):
        return GPUTarget("cuda", self.arch, 32)


class Compiled:
    """A compiled kernel, and the arguments of its launch."""

    def __init__(self, function, kernel, grid, arguments):
        self.name, self.asm, self.metadata = function.__name__, kernel.asm, kernel.metadata
        self.grid, self.arguments = grid, arguments

    def __repr__(self):
        options = {
            name: value for name, value in self.arguments.items() if name.isupper() and type(value) in (int, bool)
        }
        return f"{self.name} of {options}, {self.warps} warps of {self.registers} registers a thread"

    @cached_property
    def _dumped(self):
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(self.asm["cubin"])
            file.flush()
            command = [CUOBJDUMP, "-sass", "-res-usage", file.name]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @cached_property
    def instructions(self):
        """How often each instruction occurs in the machine code, with its modifiers."""
        found = re.findall(r"/\*[0-9a-f]{4,5}\*/\s+(?:@!?U?P\w+ )?\s*([A-Z][A-Z0-9_.]*)", self._dumped)
        return collections.Counter(name for name in found if name != "NOP")

    def count(self, *prefixes):
        return sum(n for name, n in self.instructions.items() if name.startswith(prefixes))

    @property
    def warps(self):
        return self.metadata.num_warps

    @property
    def registers(self):
        return int(re.search(r"REG:(\d+)", self._dumped)[1])

    @property
    def resident_warps(self):
        """The warps that fit on a multiprocessor by their registers."""
        portions = -(-self.registers * 32 // PORTION)
        return min(PROGRAMS, REGISTERS // (portions * PORTION * self.warps), WARPS // self.warps) * self.warps


@contextlib.contextmanager
def compiling(arch):
    """A list of the kernels that are launched here; they are compiled instead."""
    compiled, run = [], JITFunction.run

    def compile_only(self, *args, grid, warmup, **options):
        kernel = run(self, *args, grid=grid, warmup=True, **options)
        compiled.append(Compiled(self, kernel, grid, options | dict(zip(self.arg_names, args, strict=False))))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JITFunction, "run", compile_only)
        triton.runtime.driver.set_active(Driver(arch))
        yield compiled
