// Double-doubles, unevaluated sums hi + lo of about 106 bits: |lo| <= ulp(hi)/2.
//
// Error-free transformations: Knuth's TwoSum, Dekker's FastTwoSum and TwoProduct (T. J. Dekker,
// "A floating-point technique for extending the available precision", Numer. Math. 18, 1971).
// V is F64 or F32; every function works lane by lane.
#pragma once

#include <type_traits>

#include "simd/convert.h"

namespace softgrad::SOFTGRAD_ISA {

template <class V>
struct Twofold {
  V hi, lo;
};

// a + b exactly.
template <class V>
inline Twofold<V> two_sum(V a, V b) {
  V s = a + b;
  V t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

// a + b exactly, where |a| >= |b| or a == 0.
template <class V>
inline Twofold<V> fast_two_sum(V a, V b) {
  V s = a + b;
  return {s, b - (s - a)};
}

// a * b exactly, unless it overflows or underflows.
template <class V>
inline Twofold<V> two_product(V a, V b) {
  V p = a * b;
  if constexpr (fused_multiply_add) {
    return {p, multiply_add(a, b, V(0) - p)};
  } else {
    return {p, fused_by_lane(a, b, V(0) - p)};
  }
}

using DD = Twofold<F64>;

inline DD negative(DD a) { return {F64(0) - a.hi, F64(0) - a.lo}; }

inline DD add(DD a, F64 b) {
  DD s = two_sum(a.hi, b);
  return fast_two_sum(s.hi, s.lo + a.lo);
}

// Accurate also where the leading parts cancel.
inline DD add(DD a, DD b) {
  DD s = two_sum(a.hi, b.hi);
  DD t = two_sum(a.lo, b.lo);
  s = fast_two_sum(s.hi, s.lo + t.hi);
  return fast_two_sum(s.hi, s.lo + t.lo);
}

inline DD multiply(DD a, F64 b) {
  DD p = two_product(a.hi, b);
  return fast_two_sum(p.hi, p.lo + a.lo * b);
}

inline DD multiply(DD a, DD b) {
  DD p = two_product(a.hi, b.hi);
  return fast_two_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

inline DD divide(DD a, DD b) {
  F64 q = a.hi / b.hi;
  DD p = two_product(q, b.hi);
  F64 remainder = ((a.hi - p.hi) - p.lo) + (a.lo - q * b.lo);
  return fast_two_sum(q, remainder / b.hi);
}

inline DD select(F64::Mask m, DD a, DD b) { return {select(m, a.hi, b.hi), select(m, a.lo, b.lo)}; }

inline DD ldexp_floor(DD a, F64 y) { return {ldexp_floor(a.hi, y), ldexp_floor(a.lo, y)}; }

// The same operations on plain doubles: formulas are templates over Number, which is DD for double rows, and F64,
// with bits to spare, for float rows.
inline F64 negative(F64 a) { return F64(0) - a; }
inline F64 add(F64 a, F64 b) { return a + b; }
inline F64 multiply(F64 a, F64 b) { return a * b; }
inline F64 divide(F64 a, F64 b) { return a / b; }

template <class Number>
inline Number number(F64 hi, F64 lo = F64(0)) {
  if constexpr (sizeof(Number) == sizeof(F64)) {
    return hi + lo;
  } else {
    return {hi, lo};
  }
}

template <class Number>
inline Number difference(F64 a, F64 b) {
  if constexpr (sizeof(Number) == sizeof(F64)) {
    return a - b;
  } else {
    return two_sum(a, F64(0) - b);
  }
}

inline DD broadcast(double hi, double lo) { return {F64(hi), F64(lo)}; }
inline DD broadcast_first(DD x) { return broadcast(first_lane(x.hi), first_lane(x.lo)); }

inline F64 rounded(F64 a) { return a; }
inline F64 rounded(DD a) { return a.hi + a.lo; }

inline void store(F64 a, double* hi, double* lo) {
  a.store(hi);
  F64(0).store(lo);
}
inline void store(DD a, double* hi, double* lo) {
  a.hi.store(hi);
  a.lo.store(lo);
}

template <class V>
using NumberOf = std::conditional_t<sizeof(typename V::Scalar) == 4, F64, DD>;

}  // namespace softgrad::SOFTGRAD_ISA
