// H v for H = a·(Diag(p) - p pᵀ) + b·p pᵀ and rows of probabilities p: the softmax Jacobian (a = 1, b = 0) and the
// Hessian of the cross-entropy (b ≠ 0 with a z-loss).
//
//   c = pᵀv,  result_j = p_j·(a·(v_j - c) + b·c)
//
// The pivot v_* is the element of v at a most probable class: v_j - c = (v_j - v_*) - Σ p_i (v_i - v_*). So a constant
// v gives exactly 0, and a row whose p_* rounds to 1 keeps the digits that v_* - p_* v_* would lose.
//
// p = e·scale: the e are probabilities, or exponentials to be normalised. float rows are computed in double and rounded
// once; double rows keep the rounding errors of differences and sums.
#pragma once

#include "layout/batch_statistics.h"
#include "math/sums.h"
#include "simd/lanes.h"

namespace softgrad::SOFTGRAD_ISA {

// The product of each row of a batch with its v.
struct BatchProducts {
  // Input:
  alignas(64) double pivot[batch_rows];   // v_*
  alignas(64) double dot_hi[batch_rows];  // Σ e_i (v_i - v_*)
  alignas(64) double dot_lo[batch_rows];
  alignas(64) double a[batch_rows];
  alignas(64) double b[batch_rows];
  alignas(64) double row_scale[batch_rows];
  // Output, with the scale of the batch: result_j = e_j·(slope·((v_j - pivot) - mean) + offset)·scale.
  alignas(64) double mean_hi[batch_rows];  // c - v_*
  alignas(64) double mean_lo[batch_rows];
  alignas(64) double slope[batch_rows];
  alignas(64) double offset[batch_rows];

  BatchProducts() { __builtin_memset(this, 0, sizeof *this); }
};

// If b = 0, the scale contains a, which then adds no rounding error: the scale has two parts. Else the slope is a.
template <class Number>
inline void finish_curvature(Number sum, Number a, F64 headroom, int i, BatchStatistics& batch,
                             BatchProducts& products) {
  const F64 zero(0), one(1), unit = zero - headroom;
  Number dot = number<Number>(F64::load(products.dot_hi + i), F64::load(products.dot_lo + i));
  Number mean = ldexp_floor(divide(dot, sum), unit);
  store(mean, products.mean_hi + i, products.mean_lo + i);
  F64 b = F64::load(products.b + i);
  auto plain = equal(b, zero);
  F64 c = rounded(mean) + F64::load(products.pivot + i);
  select(plain, one, rounded(a)).store(products.slope + i);
  select(plain, zero, b * c).store(products.offset + i);
  Number scale = divide(select(plain, a, number<Number>(one)), sum);
  store(ldexp_floor(scale, unit), batch.scale_hi + i, batch.scale_lo + i);
}

// The same for the first `count` rows, if the e are probabilities.
template <class Number>
inline void finish_normalised(int count, BatchStatistics& batch, BatchProducts& products) {
  const Number one = number<Number>(F64(1));
  for (int i = 0; i < count; i += F64::lanes)
    finish_curvature<Number>(one, number<Number>(F64::load(products.a + i)), F64(0), i, batch, products);
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
  void store_lanes(BatchProducts& to) const {
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
  void store_lanes(BatchProducts& to) const { store(fast_two_sum(sum.value, sum.error), to.dot_hi, to.dot_lo); }
};

template <>
struct CurvatureMap<F32> {
  struct Half {
    F64 pivot, mean, slope, offset, scale;
    F64 operator()(F64 e, F64 v) const { return e * (slope * ((v - pivot) - mean) + offset) * scale; }
  } low, high;

  static Half half_of_lanes(const BatchStatistics& b, const BatchProducts& c, int i) {
    return {F64::load(c.pivot + i), F64::load(c.mean_hi + i), F64::load(c.slope + i), F64::load(c.offset + i),
            F64::load(b.scale_hi + i)};
  }
  static CurvatureMap of_lanes(const BatchStatistics& b, const BatchProducts& c) {
    return {half_of_lanes(b, c, 0), half_of_lanes(b, c, F64::lanes)};
  }
  static CurvatureMap of_row(const BatchStatistics& b, const BatchProducts& c, int i) {
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

  static CurvatureMap of_lanes(const BatchStatistics& b, const BatchProducts& c) {
    return {F64::load(c.pivot),
            {F64::load(c.mean_hi), F64::load(c.mean_lo)},
            F64::load(c.slope),
            F64::load(c.offset),
            {F64::load(b.scale_hi), F64::load(b.scale_lo)}};
  }
  static CurvatureMap of_row(const BatchStatistics& b, const BatchProducts& c, int i) {
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

// Σ e_i (v_i - pivot) over a block of one row, with classes in the lanes. source(i, lanes): e_i and the next ones; see
// for_vectors.
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
