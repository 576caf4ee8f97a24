"""
Compiled kernels of softgrad; use them through the functions of the package.
"""

import enum

import softgrad._loss_spec


class DType(enum.Enum):
    """Element types of the kernels' arrays."""

    float16 = 0

    bfloat16 = 1

    float32 = 2

    float64 = 3

class Reduction(enum.Enum):
    """How the losses of the rows become one."""

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

def row_statistics(spec: softgrad._loss_spec.LossSpec, dtype: DType, logits: object, axis: int, out: object, *, labels: object | None = None, probabilities: object | None = None, probabilities_dtype: DType = DType.float64, class_weight: object | None = None, first_class: int = 0, classes: int = 0) -> None:
    """
    Write the statistics of the rows, of which the logits are the classes from first_class on, into float64 out of shape (rows, statistics_fields).
    """

def merge_statistics(parts: object, out: object) -> None:
    """
    Write the statistics of rows from those of blocks of their classes, (blocks, rows, statistics_fields).
    """

statistics_fields: int = 11

def cross_entropy(spec: softgrad._loss_spec.LossSpec, dtype: DType, logits: object, axis: int, *, labels: object | None = None, probabilities: object | None = None, probabilities_dtype: DType = DType.float64, class_weight: object | None = None, summed_weight: tuple[float, float] | None = None, row_scale: object | None = None, loss: object | None = None, gradient: object | None = None, statistics: object | None = None, first_class: int = 0, classes: int = 0) -> float:
    """
    The loss, or the rows' losses into loss; the gradient, times row_scale, into gradient. A mean is divided by summed_weight, a number in two parts. Without it labels are checked, IndexError where one is no class, and their weight is summed.
    """

def check_labels(spec: softgrad._loss_spec.LossSpec, labels: object, classes: int, class_weight: object | None) -> tuple[int, float, float]:
    """
    The first row whose label is out of range, or -1; the summed weight of the labels that count, in two parts.
    """

def check_probabilities(probabilities: object, dtype: DType, axis: int) -> int:
    """The first row that holds a negative or infinite probability, or -1."""

def sum_probabilities(probabilities: object, dtype: DType, axis: int, class_weight: object | None, out: object) -> None:
    """
    Write the sum of every row's class probabilities, times the class weights, into float64 out.
    """

def apply_operator(kind: OperatorKind, dtype: DType, probs: object, axis: int, v: object, out: object, columns: int, pivot: object, jacobian: object | None, outer: object | None, rest: object | None) -> None:
    """
    Write (a (Diag(p) - p p^T) + b p p^T) v (curvature; a is jacobian or 1, b outer or 0), v - 1 p^T v (log_softmax) or v - p 1^T v (log_softmax_transposed) into out, for every row of probs.
    """

def hvp(spec: softgrad._loss_spec.LossSpec, dtype: DType, logits: object, axis: int, v: object, out: object, *, labels: object | None = None, mass: object | None = None, summed_weight: tuple[float, float] | None = None, row_scale: object | None = None, statistics: object | None = None) -> None:
    """
    Write the Hessian of the cross-entropy, times v and row_scale, into out.
    """

def softmax_vjp(dtype: DType, probs: object, axis: int, v: object, out: object) -> None:
    """
    Write the Jacobian of softmax, times v, into out, for every row of softmax's result probs.
    """

def secular(classes: int, probs: object, jacobian: object, outer: object, origin: object, offset: object) -> None:
    """
    Write the eigenvalues of a (Diag(p) - p p^T) + b p p^T of every row of ascending float64 probs, times secular_unit, each as a pole and an offset from it.
    """

secular_unit: float = 1.6069380442589903e+60

def sum_rows(x: object, axis: int, out: object) -> None:
    """
    Write the sums of float64 x along an axis, as if in twice the precision, into out.
    """

def linear_head_gradient(spec: softgrad._loss_spec.LossSpec, dtype: DType, x: object | None, data: object | None, indices: object | None, starts: object | None, W: object, bias: object, labels: object | None, probabilities: object | None, row_weight: object, probs: object | None, sum_W: object, sum_bias: object) -> float:
    """
    Write sum g x^T and sum g over the rows x, with g the gradient of the weighted cross-entropy of logits W x + bias, whose sum is returned; their softmax into probs.
    """

def linear_head_hvp(dtype: DType, x: object | None, data: object | None, indices: object | None, starts: object | None, W: object, bias: object, mass: object, probs: object, sum_W: object, sum_bias: object) -> None:
    """
    Write sum h x^T and sum h over the rows x, with h the Hessian of the cross-entropy at the rows of probs, of targets of that mass, times W x + bias.
    """

def weighted_grams(dtype: DType, x: object | None, data: object | None, indices: object | None, starts: object | None, index: object, weights: object, mean: object, inverse_scale: object, intercept: bool, grams: object) -> None:
    """
    Add the Gram matrices of standardised rows of x, weighted for each class, to the upper triangles of grams.
    """

def column_moments(dtype: DType, x: object, weight: object, mean: object, variance: object) -> float:
    """
    Write the weighted mean and variance of every column of a dense matrix; return the largest |x|. A column with NaN or infinity has no finite mean.
    """

def prefer_huge_pages(address: int, bytes: int) -> None:
    """
    Ask the system to back memory that has not been touched yet by huge pages.
    """

def exp_difference(dtype: DType, z: object, m: float, out: object) -> None:
    """Write exp(z - m), times 2^64 (float32) or 2^512 (float64), into out."""

def log1p(s: object, out: object) -> None:
    """Write log(1 + s) of float64 s >= 0 into out."""

def num_threads() -> int:
    """The largest number of threads that a call may use."""

def set_num_threads(n: int) -> None:
    """Set the largest number of threads that a call may use."""

def instruction_sets() -> list[str]:
    """The instruction sets that this machine can run, best first."""

def instruction_set() -> str:
    """The instruction set in use."""

def use_instruction_set(name: str) -> None:
    """Switch to another instruction set; for tests and measuring."""

def has_openmp() -> bool:
    """Whether calls can use several threads."""
