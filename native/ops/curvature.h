// (a·(Diag(p) - p pᵀ) + b·p pᵀ)·v for rows of probabilities p: the softmax Jacobian (a = 1, b = 0) and
// the Hessian of the cross-entropy (b ≠ 0 under a z-loss).
//
//   c = pᵀv,  result_j = p_j·(a·(v_j - c) + b·c)
//
// With v_* the value at a most probable class, v_j - c = (v_j - v_*) - Σ p_i (v_i - v_*). Constants lie in
// the null space of the Jacobian, and this way they do so exactly: a confident row, whose p_* is 1 to the
// last bit, does not lose its digits in v_* - p_* v_*.
//
// p comes as e·scale: probabilities, or exponentials that are still to be normalised. float rows are
// computed in double and rounded once; double rows carry the errors of differences and sums along.
#pragma once

#include "layout/batch_statistics.h"

namespace softgrad::SOFTGRAD_ISA {

// What a direction v adds to a batch: in, for each row,
struct Curvature {
  alignas(64) double pivot[Batch::rows];   // v_*
  alignas(64) double dot_hi[Batch::rows];  // Σ e_i (v_i - v_*)
  alignas(64) double dot_lo[Batch::rows];
  alignas(64) double jacobian[Batch::rows];  // a
  alignas(64) double outer[Batch::rows];     // b
  alignas(64) double row_scale[Batch::rows];
  // and out: result_j = e_j·(slope·((v_j - pivot) - mean) + offset)·scale, the scale in the batch.
  alignas(64) double mean_hi[Batch::rows];  // c - v_*
  alignas(64) double mean_lo[Batch::rows];
  alignas(64) double slope[Batch::rows];
  alignas(64) double offset[Batch::rows];

  Curvature() { __builtin_memset(this, 0, sizeof *this); }
};

// Without b, a goes into the scale, whose two parts round it away once; with b it multiplies first.
template <class Number>
inline void finish_curvature(Number sum, Number a, F64 headroom, int i, Batch& batch, Curvature& curvature) {
  const F64 zero(0), one(1), unit = zero - headroom;
  Number dot = number<Number>(F64::load(curvature.dot_hi + i), F64::load(curvature.dot_lo + i));
  Number mean = ldexp_floor(divide(dot, sum), unit);
  store(mean, curvature.mean_hi + i, curvature.mean_lo + i);
  F64 b = F64::load(curvature.outer + i);
  auto plain = equal(b, zero);
  F64 c = rounded(mean) + F64::load(curvature.pivot + i);
  select(plain, one, rounded(a)).store(curvature.slope + i);
  select(plain, zero, b * c).store(curvature.offset + i);
  Number scale = divide(select(plain, a, number<Number>(one)), sum);
  store(ldexp_floor(scale, unit), batch.scale_hi + i, batch.scale_lo + i);
}

// The same for the first `count` rows where the e are probabilities.
template <class Number>
inline void finish_normalised(int count, Batch& batch, Curvature& curvature) {
  const Number one = number<Number>(F64(1));
  for (int i = 0; i < count; i += F64::lanes)
    finish_curvature<Number>(one, number<Number>(F64::load(curvature.jacobian + i)), F64(0), i, batch, curvature);
}

template <class V>
struct CurvatureSum;  // Σ e_i (v_i - pivot)
template <class V>
struct CurvatureMap;  // e_j, v_j -> result_j

template <>
struct CurvatureSum<F32> {
  F64 pivot[2], low = 0, high = 0;

  explicit CurvatureSum(F32 v) : pivot{lower(v), upper(v)} {}
  void add(F32 e, F32 v) {
    low = low + lower(e) * (lower(v) - pivot[0]);
    high = high + upper(e) * (upper(v) - pivot[1]);
  }
  ScalarDD total() const { return {sum_of_lanes(low + high), 0}; }
  void store_lanes(Curvature& to) const {
    low.store(to.dot_hi);
    high.store(to.dot_hi + F64::lanes);
  }
};

template <>
struct CurvatureSum<F64> {
  F64 pivot;
  Sum<F64> sum;

  explicit CurvatureSum(F64 v) : pivot(v) {}
  void add(F64 e, F64 v) {
    DD difference = two_sum(v, F64(0) - pivot);
    DD product = two_product(e, difference.hi);
    sum.add(product.hi, product.lo + e * difference.lo);
  }
  ScalarDD total() const { return SOFTGRAD_ISA::total(sum); }
  void store_lanes(Curvature& to) const { store(fast_two_sum(sum.value, sum.error), to.dot_hi, to.dot_lo); }
};

template <>
struct CurvatureMap<F32> {
  struct Half {
    F64 pivot, mean, slope, offset, scale;
    F64 operator()(F64 e, F64 v) const { return e * (slope * ((v - pivot) - mean) + offset) * scale; }
  } low, high;

  static Half half_of_lanes(const Batch& b, const Curvature& c, int i) {
    return {F64::load(c.pivot + i), F64::load(c.mean_hi + i), F64::load(c.slope + i), F64::load(c.offset + i),
            F64::load(b.scale_hi + i)};
  }
  static CurvatureMap of_lanes(const Batch& b, const Curvature& c) {
    return {half_of_lanes(b, c, 0), half_of_lanes(b, c, F64::lanes)};
  }
  static CurvatureMap of_row(const Batch& b, const Curvature& c, int i) {
    Half half = {c.pivot[i], c.mean_hi[i], c.slope[i], c.offset[i], b.scale_hi[i]};
    return {half, half};
  }
  F32 operator()(F32 e, F32 v) const { return join(low(lower(e), lower(v)), high(upper(e), upper(v))); }
};

template <>
struct CurvatureMap<F64> {
  F64 pivot;
  DD mean;
  F64 slope, offset;
  Scale<F64> scale;

  static CurvatureMap of_lanes(const Batch& b, const Curvature& c) {
    return {F64::load(c.pivot),
            {F64::load(c.mean_hi), F64::load(c.mean_lo)},
            F64::load(c.slope),
            F64::load(c.offset),
            {F64::load(b.scale_hi), F64::load(b.scale_lo)}};
  }
  static CurvatureMap of_row(const Batch& b, const Curvature& c, int i) {
    return {c.pivot[i], {c.mean_hi[i], c.mean_lo[i]}, c.slope[i], c.offset[i], {b.scale_hi[i], b.scale_lo[i]}};
  }
  F64 operator()(F64 e, F64 v) const {
    DD difference = two_sum(v, F64(0) - pivot);
    DD centred = two_sum(difference.hi, F64(0) - mean.hi);
    centred.lo = centred.lo + (difference.lo - mean.lo);
    DD w = add(multiply(centred, slope), offset);
    DD product = two_product(e, w.hi);
    return scaled(product.hi, scale) + (product.lo + e * w.lo) * scale.hi;
  }
};

// Σ e_i (v_i - pivot) over a block of one row: lanes along the classes. source(i, lanes) holds e_i and the
// next ones; see for_vectors.
template <class V, class S, class Source>
inline ScalarDD curvature_dot(Source source, const S* v, int64_t n, double pivot) {
  using T = typename V::Scalar;
  CurvatureSum<V> sum{V(static_cast<T>(pivot))};
  for_vectors<V>(n,
                 [&](int64_t i, auto lanes) { sum.add(source(i, lanes), lanes.load(v + i, static_cast<T>(pivot))); });
  return sum.total();
}

template <class V, class S, class Source, class Map>
inline void curvature_write(Source source, const S* v, int64_t n, Map map, S* out) {
  for_vectors<V>(n, [&](int64_t i, auto lanes) { lanes.store(map(source(i, lanes), lanes.load(v + i, 0)), out + i); });
}

}  // namespace softgrad::SOFTGRAD_ISA
