// The kernels as handlers of XLA's foreign function calls, for softgrad.jax. The classes are the last axis of every
// array; the other axes are rows. XLA calls them from its own threads, so they never use Python.
//
//   softgrad_softmax   (logits) -> out; kind (int32): 0 softmax, 1 log_softmax, 2 logsumexp
//   softgrad_loss      (logits, target, weight) -> the loss of every row
//   softgrad_gradient  (logits, target, weight, s) -> s times the gradient
//   softgrad_hvp       (logits, target, weight, s, v) -> s times the Hessian, times v
//
// target: a label (int32 or int64) for each row, or probabilities of the shape of the logits; weight: float32 or
// float64, of shape (classes,), or (0,) for none; s: float32 or float64, for each row. Attributes of a loss:
// has_ignore_index (bool), ignore_index (int64), label_smoothing and z_loss (float64). Labels are checked. The values
// of probabilities and weights are not, because they may be tangents: the loss is linear in both.
#pragma once

#include <span>

#include "module/xla_ffi.h"

namespace softgrad {

struct NamedHandler {
  const char* name;
  xla::Handler* handler;
};

std::span<const NamedHandler> jax_handlers();

}  // namespace softgrad
