// Vectors and single elements as doubles, and back.
#pragma once

#include "simd/vec.h"

namespace softgrad::SOFTGRAD_ISA {

inline void store_wide(F32 v, double* out) {
  lower(v).store(out);
  upper(v).store(out + F64::lanes);
}
inline void store_wide(F64 v, double* out) { v.store(out); }

template <class V>
inline V load_narrow(const double* p) {
  if constexpr (sizeof(typename V::Scalar) == 4) {
    return join(F64::load(p), F64::load(p + F64::lanes));
  } else {
    return F64::load(p);
  }
}

// One element.
template <class V, class S>
inline double widened(const S* p) {
  if constexpr (sizeof(S) >= 4) {
    return *p;
  } else {
    typename V::Scalar values[V::lanes];
    V::load_first(p, 1, 0).store(values);
    return values[0];
  }
}

inline double first_lane(F64 v) {
  double lanes[F64::lanes];
  v.store(lanes);
  return lanes[0];
}

}  // namespace softgrad::SOFTGRAD_ISA
