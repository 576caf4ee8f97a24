// The statistics of up to 16 rows, which are finished together, one row per lane.
#pragma once

#include "math/log1p.h"
#include "math/scale.h"

namespace softgrad::SOFTGRAD_ISA {

inline constexpr int batch_rows = 16;

struct BatchStatistics {
  // The maximum m, the sum of 2^headroom·exp(z - m) over the elements below it, and the number of elements equal to it.
  alignas(64) double maximum[batch_rows];
  alignas(64) double rest_hi[batch_rows];
  alignas(64) double rest_lo[batch_rows];
  alignas(64) double ties[batch_rows];
  // Exponentials carry 2^headroom, which the scale divides out.
  alignas(64) double headroom[batch_rows];
  alignas(64) double scale_hi[batch_rows];
  alignas(64) double scale_lo[batch_rows];
  alignas(64) double log_sum_hi[batch_rows];
  alignas(64) double log_sum_lo[batch_rows];
  bool skip[batch_rows];  // the result is 0, whatever the row holds

  BatchStatistics() { __builtin_memset(this, 0, sizeof *this); }

  void set_headroom(double value) {
    for (double& h : headroom) h = value;
  }
  void set_row(int i, double m, double hi, double lo, double count) {
    maximum[i] = m;
    rest_hi[i] = hi;
    rest_lo[i] = lo;
    ties[i] = count;
  }
};

// log(sum exp) = m + log1p(s'), s' = rest + (ties - 1): all exponentials but one maximal one.
template <class Number>
struct Normaliser {
  F64 maximum;
  Number excess;         // s'
  Number sum;            // 1 + s'
  Number scaled_excess;  // 2^headroom·s' if there is only one maximal element

  Normaliser(const BatchStatistics& batch, int row) {
    maximum = F64::load(batch.maximum + row);
    Number rest = number<Number>(F64::load(batch.rest_hi + row), F64::load(batch.rest_lo + row));
    scaled_excess = rest;
    rest = ldexp_floor(rest, F64(0) - F64::load(batch.headroom + row));
    // A row with an infinite maximum has no softmax: m - m is then NaN, and otherwise 0.
    excess = add(rest, (F64::load(batch.ties + row) - F64(1)) + (maximum - maximum));
    sum = add(excess, F64(1));
  }

  Number log_sum() const { return log1p(excess); }
};

// (z - m) - log1p(s'), two terms of one sign: of_lanes for one row in each lane, of_row for classes in the lanes.
template <class V>
struct LogSoftmax;

template <>
struct LogSoftmax<F32> {
  F64 maximum[2], log_sum[2];

  static LogSoftmax of_lanes(const BatchStatistics& b) {
    constexpr int half = F64::lanes;
    return {{F64::load(b.maximum), F64::load(b.maximum + half)},
            {F64::load(b.log_sum_hi), F64::load(b.log_sum_hi + half)}};
  }
  static LogSoftmax of_row(const BatchStatistics& b, int i) {
    return {{b.maximum[i], b.maximum[i]}, {b.log_sum_hi[i], b.log_sum_hi[i]}};
  }
  F32 operator()(F32 z) const {
    return join((lower(z) - maximum[0]) - log_sum[0], (upper(z) - maximum[1]) - log_sum[1]);
  }
};

template <>
struct LogSoftmax<F64> {
  F64 maximum;
  DD log_sum;

  static LogSoftmax of_lanes(const BatchStatistics& b) {
    return {F64::load(b.maximum), {F64::load(b.log_sum_hi), F64::load(b.log_sum_lo)}};
  }
  static LogSoftmax of_row(const BatchStatistics& b, int i) {
    return {b.maximum[i], {b.log_sum_hi[i], b.log_sum_lo[i]}};
  }
  F64 operator()(F64 z) const {
    DD difference = two_sum(z, F64(0) - maximum);
    DD sum = two_sum(difference.hi, F64(0) - log_sum.hi);
    F64 result = sum.hi + (sum.lo + (difference.lo - log_sum.lo));
    // The rounding error of an infinite difference is NaN.
    return select(equal(difference.hi, F64(-__builtin_inf())), difference.hi - log_sum.hi, result);
  }
};

}  // namespace softgrad::SOFTGRAD_ISA
