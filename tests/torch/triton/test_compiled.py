"""The machine code of what is launched: no spills, accesses of 16 bytes, no inexact functions, few instructions."""

import itertools
import re

import pytest
import torch
import triton

from softgrad._loss_spec import LossSpec, Reduction
from tests.torch.triton.compiler import compiling

F32, BF16 = torch.float32, torch.bfloat16
PER_ROW = LossSpec(reduction=Reduction.none)
EVERY_OPTION = LossSpec(reduction=Reduction.none, ignore_index=-100, label_smoothing=0.1, z_loss=0.1)
ROWS = 64  # as many as make their number, and the offsets between them, multiples of a vector
CLASSES = [10, 37, 100, 101, 1000, 1001, 4096, 8192, 16384, 32000, 50257, 128256, 262144]
# Of each result some lengths: of few classes, whole rows and tiles, with and without elements beside the vectors.
SOME_CLASSES = [10, 37, 1000, 1001, 8192, 50257]


def loss(kernels, z, targets):
    kernels.cross_entropy(z, targets, PER_ROW)


def loss_and_gradient(kernels, z, targets):
    kernels.cross_entropy(z, targets, PER_ROW, gradient=torch.empty_like(z))


def gradient_in_place(kernels, z, targets):
    kernels.write_cross_entropy_grad(z, torch.ones(()), targets, LossSpec(), torch.empty(len(z)))


def every_option(kernels, z, targets):
    weight = torch.ones(z.shape[1])
    targets = kernels.targets(targets.labels, weight, 1, z.shape[1], z.dtype)
    kernels.cross_entropy(z, targets, EVERY_OPTION, gradient=torch.empty_like(z))


def of_probabilities(kernels, z, targets):
    targets = kernels.targets(torch.empty_like(z), None, 1, z.shape[1], z.dtype)
    kernels.cross_entropy(z, targets, PER_ROW, gradient=torch.empty_like(z))


def hessian_vector_product(kernels, z, targets):
    kernels.cross_entropy_hvp(z, torch.ones(len(z)), torch.empty_like(z), targets, PER_ROW)


def softmax(kernels, z, targets):
    kernels.softmax(z, 1)


def log_softmax(kernels, z, targets):
    kernels.log_softmax(z, 1)


def logsumexp(kernels, z, targets):
    kernels.logsumexp(z, 1)


def softmax_vjp(kernels, z, targets):
    kernels.softmax_vjp(z, torch.empty_like(z), 1)


def log_softmax_vjp(kernels, z, targets):
    kernels.log_softmax_vjp(z, torch.empty_like(z), 1)


OTHERS = [
    gradient_in_place, every_option, of_probabilities, hessian_vector_product, softmax, log_softmax, logsumexp,
    softmax_vjp, log_softmax_vjp,
]  # fmt: skip


def compiled(kernels, function, classes, dtype, arch):
    """The kernels that a function launches for contiguous rows of so many classes."""
    z, labels = torch.empty(ROWS, classes, dtype=dtype), torch.zeros(ROWS, dtype=torch.int64)
    with compiling(arch) as launched:
        function(kernels, z, kernels.targets(labels, None, 1, classes, dtype))
    assert launched
    return launched


def elements(kernel):
    """The elements of a row, or of several, that each thread of a program has."""
    a = kernel.arguments
    return a["ROWS"] * a["GROUPS"] * a["V"] // (32 * kernel.warps)


def check(kernel, dtype):
    """What holds for all kernels: no spills, nothing inexact, no contraction."""
    ptx, rows = kernel.asm["ptx"], rows_of_a_thread(kernel)
    assert kernel.count("STL", "LDL") <= most_spilled(rows), f"spills: {kernel}"
    assert not re.search(r"\b(mul|add|sub)\.f(32|64)", ptx), "may be contracted; .rn may not"
    if dtype == F32 or kernel.name != "rows":
        assert kernel.count("MUFU.EX2") == 0
        assert "ex2.approx" not in ptx
    # Two numbers of a row are divided, in up to three layouts, and so are integers; no element is.
    if kernel.name == "rows":
        assert kernel.count("MUFU.RCP") <= 8 * rows, kernel
        assert ptx.count("div.full") <= 6 * rows, kernel
    assert not any(name in ptx for name in ("div.approx", "sqrt", "lg2.approx", "sin.approx", "rcp.approx.ftz.f32"))
    if kernel.name == "rows":
        assert kernel.resident_warps >= 8, kernel
        check_accesses(kernel, dtype)


def rows_of_a_thread(kernel):
    """At most so many rows of a program are those of one thread: its lanes divide groups first."""
    a = kernel.arguments
    return max(1, a["ROWS"] * min(a.get("GROUPS", 1), 32) // (32 * kernel.warps))


def most_spilled(rows):
    """Accesses of numbers that are kept in memory instead of registers, which were chosen with Triton 3.6.

    Newer compilers keep a few numbers of each row there; elements would make it twice as many instructions as a thread
    has elements, at least 32.
    """
    return 0 if triton.__version__.startswith("3.6.") else max(16, min(6 * rows, 31))


# By the bytes of a vector: what its accesses are called.
WIDTHS = {16: ".E.128", 8: ".E.64"}


def check_accesses(kernel, dtype):
    """Every element is loaded and stored as one of a vector."""
    arguments = kernel.arguments
    if arguments["V"] * dtype.itemsize not in WIDTHS:  # pairs of 16 bits, of few classes
        assert arguments["V"] * dtype.itemsize == 4
        return
    width = WIDTHS[arguments["V"] * dtype.itemsize]
    vectors = max(1, elements(kernel) // arguments["V"])
    operands = 1 + (arguments["X"] is not None)
    assert kernel.count("LDG" + width) >= operands * vectors, kernel
    if arguments["OUT"] is not None:
        assert kernel.count("STG" + width) >= vectors, kernel
    if arguments["WEIGHT"] is None:  # whose elements are beside those of rows that begin between vectors
        # The elements beside the vectors, the label and its logit, the scale and the statistics of the row.
        rows = rows_of_a_thread(kernel)
        assert kernel.count("LDG") - kernel.count("LDG" + width) <= 20 * rows, kernel
        assert kernel.count("STG") - kernel.count("STG" + width) <= 10 * rows, kernel


# Instructions for each element of loss and gradient, the part of the row included, and warps that fit on a
# multiprocessor: what the kernels take, rounded up. An NVIDIA H200 takes as long to copy an element as for 55
# instructions in float32, 28 in bfloat16.
SHORT, FULL, MASKED, TILED = "short", "full", "masked", "tiled"
CEILINGS = {
    F32: {SHORT: 92, FULL: 42, MASKED: 60, TILED: 58},
    BF16: {SHORT: 84, FULL: 30, MASKED: 31, TILED: 46},
}
LEAST_WARPS = 24


@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("function", [loss, loss_and_gradient], ids=lambda f: f.__name__)
def test_loss_and_gradient(triton_kernels, function, classes, dtype):
    for kernel in compiled(triton_kernels, function, classes, dtype, 90):
        check(kernel, dtype)
        arguments = kernel.arguments
        if kernel.name == "rows":
            kind = TILED if arguments["TILES"] > 1 else FULL if arguments["FULL"] else MASKED
            kind = kind if arguments["ROWS"] == 1 else SHORT
            instructions = sum(kernel.instructions.values()) / elements(kernel)
            assert instructions <= CEILINGS[dtype][kind], f"{instructions:.1f} an element: {kernel}"
            assert kind == SHORT or kernel.resident_warps >= LEAST_WARPS, kernel


@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("classes", SOME_CLASSES)
@pytest.mark.parametrize("function", OTHERS, ids=lambda f: f.__name__)
def test_other_results(triton_kernels, function, classes, dtype):
    for kernel in compiled(triton_kernels, function, classes, dtype, 90):
        check(kernel, dtype)


LAYOUTS = {
    "images": (torch.empty(2, 21, 64, 64), 1),
    "small images": (torch.empty(2, 37, 3, 5), 1),
    "rows along three dimensions": (torch.empty(3, 4, 80, 64)[:, ::2, ::2], 3),
    "few along the last": (torch.empty(3, 4, 6, 36)[:, ::2, ::2], 3),
    "long rows along three dimensions": (torch.empty(3, 4, 6, 1000)[:, ::2, ::2], 3),
}


@pytest.mark.parametrize("z, dim", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(triton_kernels, z, dim):
    labels = torch.zeros([size for i, size in enumerate(z.shape) if i != dim], dtype=torch.int64)
    targets = triton_kernels.targets(labels, None, dim, z.shape[dim], z.dtype)
    with compiling(90) as launched:
        triton_kernels.cross_entropy(z, targets, PER_ROW, gradient=torch.empty_like(z))
        triton_kernels.cross_entropy_hvp(z, torch.ones(()), torch.empty_like(z), targets, PER_ROW)
    assert launched
    for kernel in launched:
        check(kernel, F32)


@pytest.mark.parametrize(
    "arch, classes, dtype",
    [*itertools.product([80, 100], SOME_CLASSES, [F32, BF16]), (90, 1001, torch.float16)],
    ids=str,
)
def test_other_gpus_and_dtypes(triton_kernels, arch, classes, dtype):
    for kernel in compiled(triton_kernels, loss_and_gradient, classes, dtype, arch):
        check(kernel, dtype)
