// exp(z - m) for the logits z of a row and their maximum m, to 0.72 ULP of the exact result (0.68 if m = 0).
//
// z = shift + n·s + r with s = log(2)/8 and |r| <= s/2, and the same for m; then
//
//   exp(z - m) = 2^((n - n_m)/8) · exp(r - r_m)
//
// so the difference z - m is never rounded. shift is 0 for small |m|, and m for |m| so large that z - m is exact by
// Sterbenz' lemma for every z whose exponential does not vanish.
//
// exp(r - r_m) = 1 + q, where q is a polynomial; 2^(k/8) = 2^⌊k/8⌋ · T[k mod 8], k = n - n_m, where the table T has two
// parts: T_hi + (T_hi·q + T_lo) rounds once. Adding 1.5·2^23 (double: 1.5·2^52) to x/s rounds it to n and leaves n in
// the low bits, from where k indexes the table and is shifted into the exponent.
//
//   lanes  range of z - m                max error (tests/test_exp.py, tests/native/test_exp.cc)
//   F32    [-104, 0], every float32      0.68 ULP if m = 0, else 0.72
//   F64    [-745, 0], sampled            0.68 ULP if m = 0, else 0.71
#pragma once

#include "math/double_double.h"
#include "math/exp_constants.h"

namespace softgrad::SOFTGRAD_ISA {

// For |m| > exact_shift, z - m is exact for every z that ReducedMaximum::floor does not set to 0.
template <class Scalar>
struct FloatFormat;

template <>
struct FloatFormat<float> {
  static constexpr float integer_magic = 0x1.8p23f, exact_shift = 512, exponent_bias = 127;
};
template <>
struct FloatFormat<double> {
  static constexpr double integer_magic = 0x1.8p52, exact_shift = 4096, exponent_bias = 1023;
};

template <class V>
struct ReducedArgument {
  V n_bits, r;  // x = n·s + r, n in the low bits of n_bits
};

template <class V>
[[gnu::always_inline]] inline ReducedArgument<V> reduce(V x) {
  using K = ExpConstants<typename V::Scalar>;
  const V magic = FloatFormat<typename V::Scalar>::integer_magic;
  V n_bits = multiply_add(x, V(K::inverse_step), magic);
  V n = n_bits - magic;
  if constexpr (fused_multiply_add) {
    V r = multiply_add(n, V(-K::step[0]), x);
    return {n_bits, multiply_add(n, V(-K::step[1]), r)};
  } else {
    V r = (x - n * V(K::short_step[0])) - n * V(K::short_step[1]);
    return {n_bits, r - n * V(K::short_step[2])};
  }
}

// Without fused multiply-add, float arithmetic cannot reach 0.68 ULP: floats are computed in double.
template <class V>
inline constexpr bool through_double = sizeof(typename V::Scalar) == 4 && !fused_multiply_add;

// The maximum m of a row, reduced like z. Exponentials carry a factor 2^headroom, which keeps the tails out of the
// subnormal range until the row's scale multiplies them. A result that would be subnormal nevertheless is 0.
template <class V, bool = through_double<V>>
struct ReducedMaximum {
  V shift, floor, n_bits, r;

  ReducedMaximum(V m, V headroom) {
    using Format = FloatFormat<typename V::Scalar>;
    constexpr typename V::Scalar log2 = 0.693147180559945309;
    const V magic = Format::integer_magic, bias = Format::exponent_bias;
    shift = select(less(V(Format::exact_shift), maximum(m, V(0) - m)), m, V(0));
    V shifted = m - shift;
    floor = shifted - (headroom + bias - V(2)) * V(log2);
    ReducedArgument<V> a = reduce(shifted);
    V exponent = subtract_bits(magic + V(8) * (headroom + bias), magic);
    n_bits = subtract_bits(a.n_bits, exponent);
    r = a.r;
  }
};

template <class V>
struct ReducedMaximum<V, true> {
  ReducedMaximum<F64> low, high;

  ReducedMaximum(V m, V headroom) : low(lower(m), lower(headroom)), high(upper(m), upper(headroom)) {}
};

template <class V>
struct Exponential {
  V value;
  V residual;  // the rounding error of value
};

template <class V>
[[gnu::always_inline]] inline Exponential<V> exp_difference(V z, const ReducedMaximum<V, false>& reduced) {
  using K = ExpConstants<typename V::Scalar>;
  V x = z - reduced.shift;
  ReducedArgument<V> a = reduce(x);
  V k_bits = subtract_bits(a.n_bits, reduced.n_bits);
  V r = a.r - reduced.r;

  V polynomial = V(K::polynomial[0]);
  for (int i = 1; i <= K::degree; ++i) polynomial = multiply_add(polynomial, r, V(K::polynomial[i]));
  V q = multiply_add(r * r, polynomial, r);
  V high = lookup8(K::table_high, k_bits);
  V rest = multiply_add(high, q, lookup8(K::table_low, k_bits));
  V value = high + rest;
  V residual = rest - (value - high);

  V power = exponent_field(k_bits);
  auto vanishes = less(x, reduced.floor);
  return {select(vanishes, V(0), value * power), select(vanishes, V(0), residual * power)};
}

template <class V>
[[gnu::always_inline]] inline Exponential<V> exp_difference(V z, const ReducedMaximum<V, true>& reduced) {
  F64 low = exp_difference(lower(z), reduced.low).value, high = exp_difference(upper(z), reduced.high).value;
  return {join(low, high), V(0)};
}

}  // namespace softgrad::SOFTGRAD_ISA
