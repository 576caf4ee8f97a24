"""Cross-entropy: check the arguments, then call one operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.overrides import handle_torch_function, has_torch_function_variadic

from softgrad.torch import _arguments, _autograd

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from softgrad._loss_spec import ReductionName


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: ReductionName = "mean",
    label_smoothing: float = 0.0,
    *,
    z_loss: float = 0.0,
) -> Tensor:
    r"""Cross-entropy between targets and the softmax of logits; a replacement for torch.nn.functional.cross_entropy.

    .. math:: \ell = -\sum_j y_j \log p_j + \zeta \operatorname{lse}(z)^2, \quad p = \operatorname{softmax}(z)

    with :math:`y_j = w_j\,((1 - \varepsilon)\,q_j + \varepsilon / C)` for a target distribution q (one-hot for a class
    index), class weights w, label smoothing ε and z-loss ζ.

    Parameters
    ----------
    input : Tensor of shape (C,), (N, C) or (N, C, d1, …), float16, bfloat16, float32 or float64
        Logits, in any layout.
    target : Tensor
        Class indices: int64 or uint8, of the shape of `input` without C. Or class probabilities: floating, of the shape
        of `input`; rows need not sum to one.
    weight : Tensor of shape (C,), optional
        Factor of every class, of the dtype of `input`: 0, or from 1e-15 to 1e15 in magnitude.
    ignore_index : int
        Rows with this label are ignored: their loss and gradient are 0, whatever their logits.
    reduction : {"mean", "sum", "none"}
        "mean" divides the sum by the summed weights of the labels that are not ignored, or, for class probabilities,
        by the number of rows.
    label_smoothing : float
        ε, from 0 to 1.
    z_loss : float
        ζ: 0, or from 1e-15 to 1e15. Keyword only; torch has no z-loss.

    Returns
    -------
    Tensor
        Loss in nats: a scalar, or for "none" of the shape of `input` without C; of the dtype of `input` (float32 for
        16-bit types under autocast). Differentiable to any order with respect to `input`, class probabilities and
        `weight`.

    Raises
    ------
    TypeError
        If an argument is not a tensor, or an option has the wrong type.
    ValueError
        If `target` has another batch size, `reduction` is unknown, or a weight or `z_loss` is out of range.
    IndexError
        If a label is not a class, for every reduction; the message names the first such row. On devices other than the
        CPU such a row is NaN instead, unless `set_check_labels` asks for the error.
    RuntimeError
        If shapes, dtypes or devices do not match, or `label_smoothing` is out of range.

    Notes
    -----
    Accuracy on the CPU as for `softgrad.cross_entropy` and its gradient: at most 2 ULP for class indices, confident
    rows included, where torch returns 0. 16-bit logits are computed in float32 and rounded once. CUDA: the same bounds;
    16-bit logits: gradients 0.51 ULP of their type, losses 3 ULP of float32. On other devices the same formulas run as
    torch operations, as accurate as the device's arithmetic; see docs/torch.md.

    The loss reads the logits once; its gradient reads and writes once. Only the logits and targets are saved for the
    derivatives; in eager mode, a reduced loss of at most 2²⁰ logits (with the kernels for CUDA, of any size) also
    computes and saves its gradient. Second derivatives are Hessian-vector products in one pass
    (`softgrad.cross_entropy_hvp`).

    A DTensor as `input` may be sharded by classes along one dimension of its mesh, and by rows along others; `target`
    and `weight` are then whole plain tensors, equal on all ranks, or DTensors of the same mesh. The results are
    DTensors: a reduced loss is replicated, losses per row are sharded as the rows are, and gradients have the
    placements of their tensors. See docs/torch.md.

    References
    ----------
    Goodfellow, Bengio & Courville, *Deep Learning*, 2016, §6.2.2.3. Label smoothing: Szegedy et al., CVPR 2016, §7.
    z-loss: Chowdhery et al., "PaLM", JMLR 24, 2023, §5.

    Examples
    --------
    >>> import torch
    >>> from softgrad.torch import cross_entropy
    >>> logits = torch.tensor([[0.0, 40.0]], requires_grad=True)
    >>> loss = cross_entropy(logits, torch.tensor([1]))
    >>> loss.item()  # confident, and not zero
    4.24835413113866e-18
    >>> loss.backward()
    >>> logits.grad
    tensor([[ 4.2484e-18, -4.2484e-18]])
    """
    if has_torch_function_variadic(input, target, weight):
        return handle_torch_function(
            cross_entropy, (input, target, weight), input, target, weight, ignore_index, reduction, label_smoothing,
            z_loss=z_loss,
        )  # fmt: skip
    spec = _arguments.loss_spec(
        ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing, z_loss=z_loss
    )
    logits, target, weight, dim = _arguments.cross_entropy(input, target, weight, spec)
    if _arguments.are_distributed(logits, target, weight):
        from softgrad.torch.parallel import _dtensor  # noqa: PLC0415, which needs torch.distributed

        loss = _dtensor.loss(logits, target, weight, dim, spec)
    else:
        loss = _autograd.loss(logits, target, weight, dim, spec)
    return in_dtype(loss, logits.dtype)


def in_dtype(loss: Tensor, dtype: torch.dtype) -> Tensor:
    """The loss in the dtype of the logits; under autocast that of 16-bit logits stays in float32."""
    if loss.dtype is dtype or (dtype.itemsize < 4 and _arguments.under_autocast(loss.device)):
        return loss
    return loss.to(dtype)
