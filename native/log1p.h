// log(1 + s) of a double-double s >= 0, to a relative error of about 2^-58: hi + lo.
//
// 1 + s = 2^e·(1 + w) with 1 + w in [1/√2, √2]; f = w/(2 + w), |f| <= 0.1716, and
//
//   log(1 + w) = 2 atanh f = 2f + 2f³(1/3 + f²/5 + f⁴/7 + ...)
//
// e = 0 takes w = s itself, so small s loses nothing.
#pragma once

#include "double_double.h"

namespace softgrad::SOFTGRAD_ISA {

inline DD log1p(DD s) {
  // 32 significant bits, so that a product with e is exact; the remainder follows.
  constexpr double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  constexpr double sqrt2 = 0x1.6a09e667f3bcdp0;

  DD u = add(s, F64(1));
  F64 e = exponent(u.hi);
  DD v = ldexp_floor(u, F64(0) - e);
  F64::Mask upper_half = less(F64(sqrt2), v.hi);
  e = e + select(upper_half, F64(1), F64(0));
  v = ldexp_floor(v, F64(0) - select(upper_half, F64(1), F64(0)));
  DD w = select(equal(e, F64(0)), s, fast_two_sum(v.hi - F64(1), v.lo));

  DD f = divide(w, add(w, F64(2)));
  F64 f2 = f.hi * f.hi;
  F64 series = F64(2.0 / 25);
  for (int denominator = 23; denominator >= 3; denominator -= 2)
    series = multiply_add(series, f2, F64(2.0 / denominator));

  DD leading = two_sum(e * F64(ln2_high), f.hi + f.hi);
  F64 trailing = e * F64(ln2_low) + multiply_add(f.hi * f2, series, f.lo + f.lo);
  return fast_two_sum(leading.hi, leading.lo + trailing);
}

}  // namespace softgrad::SOFTGRAD_ISA
