// The z-loss ζ·lse² and its derivatives by lse. A term of the loss that is a function of lse alone adds
//
//   value                                       to the loss
//   slope·p                                     to the gradient
//   slope·(Diag(p) - p pᵀ) + curvature·p pᵀ     to the Hessian
#pragma once

#include "math/double_double.h"
#include "ops/loss_spec.h"

namespace softgrad::SOFTGRAD_ISA {

struct ZLoss {
  double factor;  // ζ

  explicit ZLoss(const LossSpec& spec, double unit = 1) : factor(spec.z_loss * unit) {}

  explicit operator bool() const { return factor != 0; }

  template <class Number>
  Number value(Number lse) const {
    return multiply(multiply(lse, lse), F64(factor));
  }
  template <class Number>
  Number slope(Number lse) const {
    return multiply(lse, F64(2 * factor));
  }
  double curvature() const { return 2 * factor; }
};

}  // namespace softgrad::SOFTGRAD_ISA
