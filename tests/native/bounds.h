// The largest error that each kernel is allowed, in ULP of the result or of the larger of its terms, and why.
#pragma once

#include "module/kernels.h"
#include "oracle.h"

namespace softgrad::native_tests {

enum class Quantity {
  exponential,  // exp(z)
  exponential_of_difference,
  log1p,
  softmax,
  log_softmax,
  logsumexp,  // of max(|lse|, max |z|)
  loss,
  gradient,
  hvp,               // of p·(|v - v_*| + Σ p |v - v_*|)
  operator_product,  // the same
};

struct Bound {
  Quantity quantity;
  const char* name;
  double float32, float64;
};

inline constexpr Bound bounds[] = {
    // Half a unit for the one rounding, the rest for the polynomial and the table; native/math/exp.h.
    {Quantity::exponential, "exp(z)", 0.68, 0.68},
    // The remainder of m is rounded too, and subtracted. Largest seen over 6 million pairs: 0.712.
    {Quantity::exponential_of_difference, "exp(z - m)", 0.75, 0.75},
    // Rounded once from a double-double; a subnormal result is off by one.
    {Quantity::log1p, "log1p", 0.53, 0.53},
    // The accuracy contract of docs/design.md. An exponential (0.68) counts double where the product falls into the
    // next binade; the scale has two parts, and the product adds half a unit.
    {Quantity::softmax, "softmax", 2, 2},
    {Quantity::log_softmax, "log_softmax", 2, 2},
    {Quantity::logsumexp, "logsumexp", 2, 2},
    {Quantity::loss, "loss", 2, 2},
    {Quantity::gradient, "gradient", 2, 2},
    {Quantity::hvp, "Hessian-vector product", 2, 3},
    {Quantity::operator_product, "operator product", 4, 4},
};

inline const Bound& bound_of(Quantity quantity) {
  for (const Bound& bound : bounds)
    if (bound.quantity == quantity) return bound;
  return bounds[0];
}

// Half precision: computed in float32, rounded once, so half a unit and what float32 leaves.
inline double allowed(Quantity quantity, DType result) {
  const Bound& bound = bound_of(quantity);
  if (result == DType::float64) return bound.float64 + oracle_slack;
  return result == DType::float32 ? bound.float32 : 0.51;
}

inline std::string title(Quantity quantity, DType dtype) {
  return std::string(bound_of(quantity).name) + ", " + format_of(dtype).name;
}

inline void check_error(Context& context, Quantity quantity, DType result, const Error& error,
                        const std::string& what) {
  context.report.within(error, allowed(quantity, result), title(quantity, result), what);
}

}  // namespace softgrad::native_tests
