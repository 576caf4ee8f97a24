"""
Compiled kernels of softgrad; use them through the functions of the package.
"""



def softmax(kind: int, dtype: int, logits: object, axis: int, out: object) -> None:
    """
    Write softmax (kind 0), log_softmax (1) or logsumexp (2) of every row into out.
    """

def cross_entropy(dtype: int, logits: object, axis: int, gradient: object | None, row_scale: object | None, loss: object | None, target: object | None, target_probs: object | None, target_dtype: int, weight: object | None, ignore_index: object | None, label_smoothing: float, z_loss: float, denominator: float, denominator_rest: float) -> float:
    """
    Summed loss / denominator, or the rows' losses into loss; the gradient, times row_scale, into gradient.
    """

def check_labels(target: object, classes: int, ignore_index: object | None, weight: object | None) -> tuple[int, float, float]:
    """
    The first row whose label is out of range, or -1; the summed weight of the labels that count, in two parts.
    """

def check_probabilities(target_probs: object, dtype: int, axis: int) -> int:
    """The first row that holds a negative or infinite probability, or -1."""

def target_mass(target_probs: object, dtype: int, axis: int, weight: object | None, mass: object) -> None:
    """
    Write the sum of every row's class probabilities, times their weights, into float64 mass.
    """

def apply_operator(kind: int, dtype: int, probs: object, axis: int, v: object, out: object, columns: int, pivot: object, jacobian: object | None, outer: object | None, rest: object | None) -> None:
    """
    Write (a (Diag(p) - p p^T) + b p p^T) v (kind 0; a is jacobian or 1, b outer or 0), v - 1 p^T v (1) or v - p 1^T v (2) into out, for every row of probs.
    """

def hvp(dtype: int, logits: object, axis: int, v: object, out: object, mass: object | None, row_scale: object | None, skip: object | None, z_loss: float, denominator: float, denominator_rest: float) -> None:
    """
    Write the Hessian of the cross-entropy, times v and row_scale, into out.
    """

def softmax_vjp(dtype: int, probs: object, axis: int, v: object, out: object) -> None:
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

def linear_head_gradient(dtype: int, x: object | None, data: object | None, indices: object | None, starts: object | None, W: object, bias: object, probs: object | None, target: object | None, target_probs: object | None, weight: object, label_smoothing: float, sum_W: object, sum_bias: object) -> float:
    """
    Write sum g x^T and sum g over the rows x, with g the gradient of the weighted cross-entropy of logits W x + bias, whose sum is returned; their softmax into probs.
    """

def linear_head_hvp(dtype: int, x: object | None, data: object | None, indices: object | None, starts: object | None, W: object, bias: object, probs: object, weight: object, sum_W: object, sum_bias: object) -> None:
    """
    Write sum h x^T and sum h over the rows x, with h the weighted Hessian of the cross-entropy at the rows of probs, times W x + bias.
    """

def weighted_grams(dtype: int, x: object | None, data: object | None, indices: object | None, starts: object | None, index: object, weights: object, mean: object, inverse_scale: object, intercept: bool, grams: object) -> None:
    """
    Add the Gram matrices of standardised rows of x, weighted for each class, to the upper triangles of grams.
    """

def column_moments(dtype: int, x: object, weight: object, mean: object, variance: object) -> float:
    """
    Write the weighted mean and variance of every column of a dense matrix; return the largest |x|. A column with NaN or infinity has no finite mean.
    """

def prefer_huge_pages(address: int, bytes: int) -> None:
    """
    Ask the system to back memory that has not been touched yet by huge pages.
    """

def exp_difference(dtype: int, z: object, m: float, out: object) -> None:
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
