// log(1 + s) of a double-double s >= 0, to a relative error of 1.4·2^-58: hi + lo.
//
// 1 + s = 2^e·(1 + w) with 1 + w in [1/√2, √2]; f = w/(2 + w), |f| <= 0.1716, and
//
//   log(1 + w) = 2 atanh f = 2f + 2f³(1/3 + f²/5 + f⁴/7 + ...)
//
// If e = 0, w is s itself, so that small s keep all digits (a subnormal s is off by one unit).
//
// The version for plain doubles has fewer terms and a relative error of 2^-47, enough for float rows.
#pragma once

#include "math/double_double.h"

namespace softgrad::SOFTGRAD_ISA {

// 1 + s = 2^e·v with v in [1/√2, √2].
template <class Number>
struct BinaryParts {
  F64 e;
  Number v;

  explicit BinaryParts(Number u) {
    constexpr double sqrt2 = 0x1.6a09e667f3bcdp0;
    e = exponent(rounded(u));
    v = ldexp_floor(u, F64(0) - e);
    F64 one_more = select(less(F64(sqrt2), rounded(v)), F64(1), F64(0));
    e = e + one_more;
    v = ldexp_floor(v, F64(0) - one_more);
  }
};

// 1/3 + x/5 + x²/7 + ..., twice, x = f².
template <int last_denominator>
inline F64 twice_atanh_series(F64 x) {
  F64 series = F64(2.0 / last_denominator);
  for (int denominator = last_denominator - 2; denominator >= 3; denominator -= 2)
    series = multiply_add(series, x, F64(2.0 / denominator));
  return series;
}

inline DD log1p(DD s) {
  // ln2_high has 32 significant bits, so that its product with e is exact.
  constexpr double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  BinaryParts<DD> u(add(s, F64(1)));
  DD w = select(equal(u.e, F64(0)), s, fast_two_sum(u.v.hi - F64(1), u.v.lo));
  DD f = divide(w, add(w, F64(2)));
  F64 f2 = f.hi * f.hi;
  DD leading = two_sum(u.e * F64(ln2_high), f.hi + f.hi);
  F64 trailing = u.e * F64(ln2_low) + multiply_add(f.hi * f2, twice_atanh_series<25>(f2), f.lo + f.lo);
  return fast_two_sum(leading.hi, leading.lo + trailing);
}

inline F64 log1p(F64 s) {
  constexpr double ln2 = 0x1.62e42fefa39efp-1;
  BinaryParts<F64> u(s + F64(1));
  F64 w = select(equal(u.e, F64(0)), s, u.v - F64(1));
  F64 f = w / (w + F64(2));
  F64 f2 = f * f;
  return multiply_add(u.e, F64(ln2), multiply_add(f * f2, twice_atanh_series<17>(f2), f + f));
}

}  // namespace softgrad::SOFTGRAD_ISA
