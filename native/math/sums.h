// Sums in a wider format than their terms: double for float, double-double for double.
#pragma once

#include "math/double_double.h"

namespace softgrad::SOFTGRAD_ISA {

// Adds up positive vectors lane by lane; residual: the rounding error of each term.
template <class V>
struct Sum;

template <>
struct Sum<F32> {
  F64 low = 0, high = 0;

  void add(F32 value, F32) {
    low = low + lower(value);
    high = high + upper(value);
  }
};

template <>
struct Sum<F64> {
  F64 value = 0, error = 0;

  void add(F64 x, F64 residual) {
    Twofold<F64> s = two_sum(value, x);
    value = s.hi;
    error = error + (s.lo + residual);
  }
};

struct ScalarDD {
  double hi = 0, lo = 0;

  void add(double x) {
    Twofold<double> s = two_sum(hi, x);
    s = fast_two_sum(s.hi, s.lo + lo);
    hi = s.hi;
    lo = s.lo;
  }
  void add(ScalarDD x) {
    add(x.hi);
    lo += x.lo;
  }
};

inline DD broadcast(ScalarDD x) { return broadcast(x.hi, x.lo); }

[[gnu::always_inline]] inline ScalarDD total_of_lanes(F64 value, F64 error) {
  double values[F64::lanes], errors[F64::lanes];
  value.store(values);
  error.store(errors);
  ScalarDD total;
  for (int i = 0; i < F64::lanes; ++i) total.add(ScalarDD{values[i], errors[i]});
  return total;
}
inline double sum_of_lanes(F64 v) {
  double lanes[F64::lanes];
  v.store(lanes);
  for (int half = F64::lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}
inline ScalarDD total(const Sum<F64>& sum) { return total_of_lanes(sum.value, sum.error); }
inline ScalarDD total(const Sum<F32>& sum) { return {sum_of_lanes(sum.low + sum.high), 0}; }

}  // namespace softgrad::SOFTGRAD_ISA
