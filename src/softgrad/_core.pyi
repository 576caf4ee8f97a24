"""
Compiled kernels of softgrad; use them through the functions of the package.
"""

import enum
from typing import Any

import softgrad._loss_spec
import softgrad._typing


class DType(enum.Enum):
    """Element types of the kernels' arrays."""

    float16 = 0

    bfloat16 = 1

    float32 = 2

    float64 = 3

class Reduction(enum.Enum):
    """How to combine the losses of the rows."""

    mean = 0

    sum = 1

    none = 2

class SoftmaxKind(enum.Enum):
    softmax = 0

    log_softmax = 1

    logsumexp = 2

class OperatorKind(enum.Enum):
    curvature = 0

    log_softmax = 1

    log_softmax_transposed = 2

def softmax(kind: SoftmaxKind, dtype: DType, logits: object, axis: int, out: object, statistics: object | None = None) -> None:
    """Write softmax, log_softmax or logsumexp of every row into out."""

def try_softmax(logits: object, axis: object, out: object) -> softgrad._typing.Array | None:
    """Return softmax of plain arguments, None for any others."""

def try_log_softmax(logits: object, axis: object, out: object) -> softgrad._typing.Array | None:
    """Return log_softmax of plain arguments, None for any others."""

def try_logsumexp(logits: object, axis: object) -> softgrad._typing.Array | None:
    """Return logsumexp of plain arguments, None for any others."""

def try_cross_entropy(logits: object, target: object, axis: object) -> Any | None:
    """Return the mean cross-entropy of plain arguments, None for any others."""

def try_cross_entropy_grad(logits: object, target: object, axis: object, out: object) -> softgrad._typing.Array | None:
    """
    Return the gradient of the mean cross-entropy of plain arguments, None for any others.
    """

def try_cross_entropy_value_and_grad(logits: object, target: object, axis: object, out: object) -> tuple[Any, softgrad._typing.Array] | None:
    """
    Return the mean cross-entropy of plain arguments and its gradient, None for any others.
    """

def row_statistics(spec: softgrad._loss_spec.LossSpec, dtype: DType, logits: object, axis: int, out: object, *, labels: object | None = None, probabilities: object | None = None, probabilities_dtype: DType = DType.float64, class_weight: object | None = None, first_class: int = 0, classes: int = 0) -> None:
    """
    Write the statistics of rows into float64 out of shape (rows, statistics_fields). The logits are the classes from first_class on.
    """

def merge_statistics(parts: object, out: object) -> None:
    """
    Write the statistics of rows from parts, those of blocks of their classes: (blocks, rows, statistics_fields).
    """

statistics_fields: int = 11

def cross_entropy(spec: softgrad._loss_spec.LossSpec, dtype: DType, logits: object, axis: int, *, labels: object | None = None, probabilities: object | None = None, probabilities_dtype: DType = DType.float64, class_weight: object | None = None, summed_weight: tuple[float, float] | None = None, row_scale: object | None = None, loss: object | None = None, gradient: object | None = None, statistics: object | None = None, first_class: int = 0, classes: int = 0) -> float:
    """
    Return the loss, or write the losses of rows into loss; write the gradient, times row_scale, into gradient. summed_weight is the denominator of a mean, in two parts; without it, sum the weight of the labels and raise IndexError for one out of range.
    """

def check_labels(spec: softgrad._loss_spec.LossSpec, labels: object, classes: int, class_weight: object | None) -> tuple[int, float, float]:
    """
    Return the first row whose label is out of range, or -1, and the summed weight of the labels that are not ignored, in two parts.
    """

def check_probabilities(probabilities: object, dtype: DType, axis: int) -> int:
    """Return the first row with a negative or infinite probability, or -1."""

def sum_probabilities(probabilities: object, dtype: DType, axis: int, class_weight: object | None, out: object) -> None:
    """
    Write the sum over the classes of probabilities times class weights into float64 out.
    """

def apply_operator(kind: OperatorKind, dtype: DType, probs: object, axis: int, v: object, out: object, columns: int, top: object, a: object | None, b: object | None, complement: object | None) -> None:
    """
    Write (a (Diag(p) - p p^T) + b p p^T) v (curvature; by default a = 1, b = 0), v - 1 p^T v (log_softmax) or v - p 1^T v (log_softmax_transposed) into out, for every row p of probs. top: the index of a largest p; complement: 1 - p there.
    """

def direction_statistics(dtype: DType, logits: object, axis: int, v: object, statistics: object, out: object) -> None:
    """
    Write the statistics of v in rows into float64 out of shape (rows, direction_fields). The logits may be a block of the classes; statistics are those of the whole rows.
    """

def merge_directions(parts: object, out: object) -> None:
    """
    Write the statistics of v in rows from parts, those of all blocks of their classes: (blocks, rows, direction_fields).
    """

direction_fields: int = 6

def hvp(spec: softgrad._loss_spec.LossSpec, dtype: DType, logits: object, axis: int, v: object, out: object, *, labels: object | None = None, mass: object | None = None, summed_weight: tuple[float, float] | None = None, row_scale: object | None = None, statistics: object | None = None, directions: object | None = None) -> None:
    """
    Write the Hessian of the cross-entropy, times v and row_scale, into out. With the statistics and directions of the whole rows, the logits may be a block of the classes.
    """

def softmax_vjp(dtype: DType, probs: object, axis: int, v: object, out: object) -> None:
    """Write the Jacobian of softmax at its result probs, times v, into out."""

def secular(classes: int, probs: object, a: object, b: object, origin: object, offset: object) -> None:
    """
    Write the eigenvalues of a (Diag(p) - p p^T) + b p p^T, times secular_unit, as origin + offset, for every row of ascending float64 probs.
    """

secular_unit: float = 1.6069380442589903e+60

def sum_rows(x: object, axis: int, out: object) -> None:
    """
    Write the sums of float64 x along an axis, computed in double-double, into out.
    """

def linear_head_gradient(spec: softgrad._loss_spec.LossSpec, dtype: DType, x: object | None, data: object | None, indices: object | None, starts: object | None, leaf_rows: int, W: object, bias: object, labels: object | None, probabilities: object | None, row_weight: object, probs: object | None, sum_W: object, sum_bias: object) -> float:
    """
    Write sum g x^T and sum g over the rows x into sum_W and sum_bias, g being the gradient of the weighted cross-entropy of the logits W x + bias, and their softmax into probs. Return the summed loss. Sums are those of a fixed binary tree whose leaves are leaf_rows consecutive rows each.
    """

def linear_head_hvp(dtype: DType, x: object | None, data: object | None, indices: object | None, starts: object | None, leaf_rows: int, W: object, bias: object, mass: object, probs: object, sum_W: object, sum_bias: object) -> None:
    """
    Write sum h x^T and sum h over the rows x into sum_W and sum_bias, h being the Hessian of the cross-entropy, from probs and the mass of the targets, times W x + bias.
    """

def class_weights(dtype: DType, x: object | None, data: object | None, indices: object | None, starts: object | None, index: object, W: object, bias: object, mass: object, weights: object) -> None:
    """
    Write the mass of rows of x times p (1 - p) into float64 weights, p being the softmax of W x + bias.
    """

def cholesky_solve(dtype: DType, factors: int, L: object, x: object, columns: int) -> None:
    """
    Solve with Cholesky factors in place. Row j of a factor is column j of L; row n of x belongs to factor n modulo their number.
    """

def weighted_grams(dtype: DType, x: object | None, data: object | None, indices: object | None, starts: object | None, index: object, weights: object, mean: object, inverse_scale: object, intercept: bool, grams: object) -> None:
    """
    Add the Gram matrices of standardised rows of x, with weights for each class, to the upper triangles of grams.
    """

def column_sums(dtype: DType, x: object, leaf_rows: int, weight: object, origin: object, sums: object) -> float:
    """
    Write the sums over the rows of weight (x - origin) and of weight (x - origin)^2, for every column of a dense matrix, into float64 sums of shape (2, columns); return the largest |x|. A column with NaN or infinity has no finite sums.
    """

def prefer_huge_pages(address: int, bytes: int) -> None:
    """
    Request huge pages for memory that has not been written yet, as long as they are quicker than small ones.
    """

def xla_handlers() -> dict[str, Any]:
    """
    Return capsules of the handlers of XLA's foreign function calls, by name, for jax.ffi.register_ffi_target.
    """

def exp_difference(dtype: DType, z: object, m: float, out: object) -> None:
    """Write exp(z - m), times 2^64 (float32) or 2^512 (float64), into out."""

def log1p(s: object, out: object) -> None:
    """Write log(1 + s) of float64 s >= 0 into out."""

def num_threads() -> int:
    """Return the largest number of threads that a call may use."""

def set_num_threads(n: int) -> None:
    """
    Set the largest number of threads that a call may use; 0 for the default: one for each CPU on which the calling thread may run, at most the CPU limit.
    """

def has_default_threads() -> bool:
    """Return whether the number of threads is the default."""

def set_cpu_limit(cpus: int) -> None:
    """Set the largest default number of threads."""

def share_always(always: bool) -> None:
    """
    Use several threads also where that has not paid lately, because other work takes the CPUs; for tests.
    """

def instruction_sets() -> list[str]:
    """Return the instruction sets that this machine can run, best first."""

def instruction_set() -> str:
    """Return the instruction set in use."""

def use_instruction_set(name: str) -> None:
    """Use another instruction set; for tests and measurements."""
