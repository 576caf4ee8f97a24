// The scale of a row: the factor, in two parts, that turns exponentials into probabilities or gradients; and the
// headroom 2^h that exponentials carry until then.
#pragma once

#include "math/double_double.h"

namespace softgrad::SOFTGRAD_ISA {

// e·hi + e·lo rounds once.
template <class V>
struct Scale {
  V hi, lo;
};

template <class V>
inline V scaled(V e, Scale<V> scale) {
  if constexpr (fused_multiply_add) {
    return multiply_add(e, scale.hi, e * scale.lo);
  } else if constexpr (sizeof(typename V::Scalar) == 4) {
    return join(lower(e) * (lower(scale.hi) + lower(scale.lo)), upper(e) * (upper(scale.hi) + upper(scale.lo)));
  } else {
    return fused_by_lane(e, scale.hi, e * scale.lo);
  }
}

// A double-double, rounded to two parts of the lanes' type.
template <class V>
inline Scale<V> narrow_scale(double hi, double lo) {
  using T = typename V::Scalar;
  T leading = static_cast<T>(hi);
  return {V(leading), V(static_cast<T>((hi - leading) + lo))};
}

inline int exponent_of(double positive) {
  uint64_t bits;
  __builtin_memcpy(&bits, &positive, sizeof bits);
  return static_cast<int>(bits >> 52) - 1023;
}

// The headroom for rows that `scale` multiplies in the end: it leaves scale·2^-h near 2^-64 (double: 2^-512), far from
// overflow and underflow.
template <class Scalar>
inline double headroom_for(double scale) {
  constexpr double usual = sizeof(Scalar) == 4 ? 64 : 512;
  constexpr double least = sizeof(Scalar) == 4 ? -60 : -480, most = sizeof(Scalar) == 4 ? 120 : 1000;
  if (!(scale > 0) || scale == __builtin_inf()) return usual;
  double headroom = usual + exponent_of(scale);
  return headroom < least ? least : headroom > most ? most : headroom;
}

}  // namespace softgrad::SOFTGRAD_ISA
