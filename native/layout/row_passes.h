// Passes over one row, or one block of a long row: its lanes are neighbouring classes.
#pragma once

#include "math/exp.h"
#include "simd/lanes.h"

namespace softgrad::SOFTGRAD_ISA {

// A wide sum of positive vectors: of float in double, of double with the rounding errors kept.
template <class V>
struct Sum;

template <>
struct Sum<F32> {
  F64 low = 0, high = 0;

  void add(F32 value, F32) {
    low = low + lower(value);
    high = high + upper(value);
  }
};

template <>
struct Sum<F64> {
  F64 value = 0, error = 0;

  void add(F64 x, F64 residual) {
    Twofold<F64> s = two_sum(value, x);
    value = s.hi;
    error = error + (s.lo + residual);
  }
};

struct ScalarDD {
  double hi = 0, lo = 0;

  void add(double x) {
    Twofold<double> s = two_sum(hi, x);
    s = fast_two_sum(s.hi, s.lo + lo);
    hi = s.hi;
    lo = s.lo;
  }
  void add(ScalarDD x) {
    add(x.hi);
    lo += x.lo;
  }
};

[[gnu::always_inline]] inline ScalarDD total_of_lanes(F64 value, F64 error) {
  double values[F64::lanes], errors[F64::lanes];
  value.store(values);
  error.store(errors);
  ScalarDD total;
  for (int i = 0; i < F64::lanes; ++i) total.add(ScalarDD{values[i], errors[i]});
  return total;
}
inline ScalarDD total(const Sum<F64>& sum) { return total_of_lanes(sum.value, sum.error); }
inline double sum_of_lanes(F64 v) {
  double lanes[F64::lanes];
  v.store(lanes);
  for (int half = F64::lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}
inline ScalarDD total(const Sum<F32>& sum) { return {sum_of_lanes(sum.low + sum.high), 0}; }

// The exponentials below the maximum, summed, and the number of elements equal to it.
struct ExpSum {
  ScalarDD rest;
  int64_t ties = 0;

  void add(const ExpSum& other) {
    rest.add(other.rest);
    ties += other.ties;
  }
};

template <class V, class S>
inline bool holds_nan(const S* z, int64_t n) {
  bool nan = false;
  for_vectors<V>(n, [&](int64_t i, auto lanes) {
    V v = lanes.load(z + i, 0);
    nan |= count(equal(v, v)) != V::lanes;
  });
  return nan;
}

// Passes over NaN, which turns up again in the exponentials; only an infinite maximum could hide it.
template <class V, class S>
inline typename V::Scalar row_maximum(const S* z, int64_t n) {
  constexpr int L = V::lanes;
  const typename V::Scalar lowest = -__builtin_inf();
  V a(lowest), b(lowest), c(lowest), d(lowest);
  int64_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L) {
    a = maximum(V::load(z + i), a);
    b = maximum(V::load(z + i + L), b);
    c = maximum(V::load(z + i + 2 * L), c);
    d = maximum(V::load(z + i + 3 * L), d);
  }
  for_vectors<V>(n - i, [&](int64_t j, auto lanes) { a = maximum(lanes.load(z + i + j, lowest), a); });
  typename V::Scalar m = largest(maximum(maximum(a, b), maximum(c, d)));
  bool infinite = m == lowest || m == -lowest;
  return infinite && holds_nan<V>(z, n) ? static_cast<typename V::Scalar>(__builtin_nan("")) : m;
}

// The elements of a row, a vector at a time; see for_vectors.
template <class V, class E>
struct Stored {
  const E* e;

  template <class Lanes>
  V operator()(int64_t i, Lanes lanes) const {
    return lanes.load(e + i, 0);
  }
};

// A factor in two parts: e·hi + e·lo rounds once.
template <class V>
struct Scale {
  V hi, lo;
};

template <class V>
inline V scaled(V e, Scale<V> scale) {
  if constexpr (fused_multiply_add) {
    return multiply_add(e, scale.hi, e * scale.lo);
  } else if constexpr (sizeof(typename V::Scalar) == 4) {
    return join(lower(e) * (lower(scale.hi) + lower(scale.lo)), upper(e) * (upper(scale.hi) + upper(scale.lo)));
  } else {
    return fused_by_lane(e, scale.hi, e * scale.lo);
  }
}

// out = f(e), a vector at a time, so that the work can be spread over another loop.
// stream: with stores that bypass the caches.
template <class V, class E, class S, class F>
class RowWriter {
 public:
  RowWriter(const E* e, int64_t n, S* out, bool stream, F f) : e_(e), n_(n), out_(out), stream_(stream), f_(f) {
    uintptr_t past = reinterpret_cast<uintptr_t>(out) % vector_bytes;
    if (stream && past) {
      int64_t head = static_cast<int64_t>((vector_bytes - past) / sizeof(S));
      write_first(static_cast<int>(head < n ? head : n));
    }
  }

  [[gnu::always_inline]] void step() {
    if (at_ + V::lanes > n_) return;
    V v = f_(V::load(e_ + at_));
    if (stream_)
      v.stream(out_ + at_);
    else
      v.store(out_ + at_);
    at_ += V::lanes;
  }

  void finish() {
    while (at_ + V::lanes <= n_) step();
    write_first(static_cast<int>(n_ - at_));
  }

 private:
  static constexpr uintptr_t vector_bytes = V::lanes * sizeof(S);

  void write_first(int count) {
    if (count <= 0) return;
    f_(V::load_first(e_ + at_, count, 0)).store_first(out_ + at_, count);
    at_ += count;
  }

  const E* e_;
  int64_t n_;
  S* out_;
  bool stream_;
  F f_;
  int64_t at_ = 0;
};

template <class V, class E, class S, class F>
inline void row_map(const E* e, int64_t n, S* out, bool stream, F f) {
  RowWriter<V, E, S, F>(e, n, out, stream, f).finish();
}

template <class V>
struct MultiplyBy {
  Scale<V> scale;
  V operator()(V e) const { return scaled(e, scale); }
};

// Sums 2^headroom·exp(z - m) over the elements below m. keep: also stores every exponential.
// alongside(i) is called before the vector at i: for memory traffic to go on during the arithmetic.
template <bool keep, class V, class S, class Alongside>
inline ExpSum row_exponentials(const S* z, int64_t n, V m, V headroom, typename V::Scalar* e, Alongside alongside) {
  Pivot<V> pivot(m, headroom);
  Sum<V> sum;
  ExpSum result;
  for_vectors<V>(n, [&](int64_t i, auto lanes) {
    alongside(i);
    V v = lanes.load(z + i, -__builtin_inf());
    Exponential<V> x = exp_difference(v, pivot);
    if constexpr (keep) lanes.store(x.value, e + i);
    auto at_maximum = equal(v, m);
    if (__builtin_expect(any(at_maximum), 0)) {
      result.ties += count(at_maximum);
      x = {select(at_maximum, V(0), x.value), select(at_maximum, V(0), x.residual)};
    }
    sum.add(x.value, x.residual);
  });
  result.rest = total(sum);
  return result;
}

}  // namespace softgrad::SOFTGRAD_ISA
