// Passes over one row, or over one block of a long row, with neighbouring classes in the lanes.
#pragma once

#include "layout/rows.h"
#include "layout/tuning.h"
#include "math/exp.h"
#include "math/scale.h"
#include "math/sums.h"
#include "simd/lanes.h"

namespace softgrad::SOFTGRAD_ISA {

// The sum of the exponentials of the elements below the maximum, and the number of elements equal to it.
struct ExpSum {
  ScalarDD rest;
  int64_t ties = 0;
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

// Ignores NaN, since it makes the sum of exponentials NaN; except beside an infinite maximum, where it would be lost.
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

// The elements of a row as vectors; see for_vectors.
template <class V, class E>
struct Stored {
  const E* e;

  template <class Lanes>
  V operator()(int64_t i, Lanes lanes) const {
    return lanes.load(e + i, 0);
  }
};

// Whether stores that bypass the caches pay: for results larger than the last-level cache, in rows of many cache
// lines, of which the first and the last are shared. Not in place, since the lines have just been read.
inline bool should_stream(const Rows& from, const Rows& to, int64_t element_bytes) {
  int64_t row_bytes = to.classes * element_bytes;
  return from.data != to.data && row_bytes >= streamed_row_bytes && to.count * row_bytes >= last_level_cache;
}

// Writes out = f(e), one vector in each step, which another loop can interleave with its own. stream: with stores that
// bypass the caches.
template <class V, class E, class S, class F>
class RowWriter {
 public:
  RowWriter() = default;
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

// Sums 2^headroom·exp(z - m) over the elements below m. keep: also stores every exponential in e. Calls alongside(i)
// before the vector at i, so that memory traffic goes on during the arithmetic.
template <bool keep, class V, class S, class Alongside>
inline ExpSum row_exponentials(const S* z, int64_t n, V m, V headroom, typename V::Scalar* e, Alongside alongside) {
  ReducedMaximum<V> reduced(m, headroom);
  Sum<V> sum;
  ExpSum result;
  for_vectors<V>(n, [&](int64_t i, auto lanes) {
    alongside(i);
    V v = lanes.load(z + i, -__builtin_inf());
    Exponential<V> x = exp_difference(v, reduced);
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
