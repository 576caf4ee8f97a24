// a·exp(-distance) of double-doubles, distance >= 0, to a relative error of about 2^-95:
// exp(r) = (1 + expm1(r/2^8))^(2^8), r what is left after multiples of log(2).
#pragma once

#include "math/double_double.h"
#include "math/exp.h"

namespace softgrad::SOFTGRAD_ISA {

inline DD multiply_exp(DD a, DD distance) {
  constexpr double inverse_ln2 = 0x1.71547652b82fep0, ln2_hi = 0x1.62e42fefa39efp-1, ln2_lo = 0x1.abc9e3b39803fp-56;
  constexpr double vanishes = 1416;  // the product is below 2^-1023 even for a of 2^1020
  constexpr int halvings = 8, degree = 9;
  double rough = first_lane(distance.hi);
  if (rough >= vanishes) return broadcast(0, 0);
  const F64 magic = FloatFormat<double>::integer_magic;
  F64 n = (magic - distance.hi * F64(inverse_ln2)) - magic;
  DD r = add(negative(distance), negative(multiply(broadcast(ln2_hi, ln2_lo), n)));
  r = ldexp_floor(r, F64(-halvings));
  DD series = broadcast(1, 0);
  for (int k = degree; k > 1; --k) series = add(divide(multiply(series, r), broadcast(k, 0)), F64(1));
  DD e = multiply(series, r);
  for (int i = 0; i < halvings; ++i) e = add(add(e, e), multiply(e, e));
  double power = first_lane(n), half = __builtin_floor(power / 2);  // 2^n itself may be out of range
  return ldexp_floor(ldexp_floor(multiply(a, add(e, F64(1))), F64(half)), F64(power - half));
}

}  // namespace softgrad::SOFTGRAD_ISA
