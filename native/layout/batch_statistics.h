// A few rows whose statistics are finished together, one row per lane, whichever way the passes ran:
// RowBatch (row_batch.h) has its lanes along the classes, ColumnTile (column_tile.h) one row per lane.
// Both are a Family (family.h): load(first, count), statistics<keep>(batch), write_scaled or write_log_softmax.
#pragma once

#include <new>

#include "math/log1p.h"
#include "layout/row_passes.h"

namespace softgrad::SOFTGRAD_ISA {

struct Batch {
  static constexpr int rows = 16;

  // Statistics: the maximum m, the sum of 2^headroom·exp(z - m) over the elements below it, how many
  // equal it.
  alignas(64) double maximum[rows];
  alignas(64) double rest_hi[rows];
  alignas(64) double rest_lo[rows];
  alignas(64) double ties[rows];
  // Kept exponentials carry 2^headroom; scale takes it out again.
  alignas(64) double headroom[rows];
  alignas(64) double scale_hi[rows];
  alignas(64) double scale_lo[rows];
  alignas(64) double log_sum_hi[rows];
  alignas(64) double log_sum_lo[rows];
  bool skip[rows];  // write zeros, whatever the row holds

  Batch() { __builtin_memset(this, 0, sizeof *this); }

  void set_headroom(double value) {
    for (double& h : headroom) h = value;
  }
};

// log(sum exp) = m + log1p(s'), s' = rest + (ties - 1): all exponentials but one maximal one.
template <class Number>
struct Normalizer {
  F64 maximum;
  Number excess;         // s'
  Number sum;            // 1 + s'
  Number scaled_excess;  // 2^headroom·s', where there is only one maximal element

  Normalizer(const Batch& batch, int row) {
    maximum = F64::load(batch.maximum + row);
    Number rest = number<Number>(F64::load(batch.rest_hi + row), F64::load(batch.rest_lo + row));
    scaled_excess = rest;
    rest = ldexp_floor(rest, F64(0) - F64::load(batch.headroom + row));
    // No row with an infinite maximum has a softmax: m - m is not a number there, else nothing.
    excess = add(rest, (F64::load(batch.ties + row) - F64(1)) + (maximum - maximum));
    sum = add(excess, F64(1));
  }

  Number log_sum() const { return log1p(excess); }
};

// A value that may be absent; std::optional is a template of the standard library, see vec.h.
template <class T>
class Maybe {
 public:
  template <class... Arguments>
  void emplace(Arguments... arguments) {
    new (memory_) T(arguments...);
    present_ = true;
  }
  void reset() { present_ = false; }
  explicit operator bool() const { return present_; }
  T& operator*() { return *reinterpret_cast<T*>(memory_); }
  T* operator->() { return reinterpret_cast<T*>(memory_); }

 private:
  alignas(T) char memory_[sizeof(T)];
  bool present_ = false;
};

inline int exponent_of(double positive) {
  uint64_t bits;
  __builtin_memcpy(&bits, &positive, sizeof bits);
  return static_cast<int>(bits >> 52) - 1023;
}

// Headroom that leaves a row's scale near 2^-64 (2^-512 for double): far from overflow and underflow.
template <class Scalar>
inline double headroom_for(double scale) {
  constexpr double usual = sizeof(Scalar) == 4 ? 64 : 512;
  constexpr double least = sizeof(Scalar) == 4 ? -60 : -480, most = sizeof(Scalar) == 4 ? 120 : 1000;
  if (!(scale > 0) || scale == __builtin_inf()) return usual;
  double headroom = usual + exponent_of(scale);
  return headroom < least ? least : headroom > most ? most : headroom;
}

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

// The two parts of a double-double as two parts of the lanes' type.
template <class V>
inline Scale<V> narrow_scale(double hi, double lo) {
  using T = typename V::Scalar;
  T leading = static_cast<T>(hi);
  return {V(leading), V(static_cast<T>((hi - leading) + lo))};
}

// log softmax: (z - m) - log1p(s'), two terms of one sign, for rows whose m and log1p(s') are given
// per lane (lanes = rows) or once (lanes = classes).
template <class V>
struct LogSoftmax;

template <>
struct LogSoftmax<F32> {
  F64 maximum[2], log_sum[2];

  static LogSoftmax of_lanes(const Batch& b) {
    constexpr int half = F64::lanes;
    return {{F64::load(b.maximum), F64::load(b.maximum + half)},
            {F64::load(b.log_sum_hi), F64::load(b.log_sum_hi + half)}};
  }
  static LogSoftmax of_row(const Batch& b, int i) {
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

  static LogSoftmax of_lanes(const Batch& b) {
    return {F64::load(b.maximum), {F64::load(b.log_sum_hi), F64::load(b.log_sum_lo)}};
  }
  static LogSoftmax of_row(const Batch& b, int i) { return {b.maximum[i], {b.log_sum_hi[i], b.log_sum_lo[i]}}; }
  F64 operator()(F64 z) const {
    DD difference = two_sum(z, F64(0) - maximum);
    DD sum = two_sum(difference.hi, F64(0) - log_sum.hi);
    F64 result = sum.hi + (sum.lo + (difference.lo - log_sum.lo));
    // The errors of an infinite difference are not numbers.
    return select(equal(difference.hi, F64(-__builtin_inf())), difference.hi - log_sum.hi, result);
  }
};

// One element as a double.
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

template <class S>
inline void gather(const char* from, int64_t stride, int64_t n, S* to, int64_t to_step = 1) {
  for (int64_t i = 0; i < n; ++i) __builtin_memcpy(to + i * to_step, from + i * stride, sizeof(S));
}
template <class S>
inline void scatter(const S* from, int64_t n, char* to, int64_t stride, int64_t from_step = 1) {
  for (int64_t i = 0; i < n; ++i) __builtin_memcpy(to + i * stride, from + i * from_step, sizeof(S));
}

// The contiguous elements of a row: in place, or gathered into buffer.
template <class S>
inline const S* contiguous(const char* row, int64_t stride, int64_t n, S* buffer) {
  if (stride == static_cast<int64_t>(sizeof(S))) return reinterpret_cast<const S*>(row);
  gather(row, stride, n, buffer);
  return buffer;
}

}  // namespace softgrad::SOFTGRAD_ISA
