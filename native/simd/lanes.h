// The n elements of a row as vectors: full ones without masks, and a last one for the elements that are left.
#pragma once

#include "simd/vec.h"

namespace softgrad::SOFTGRAD_ISA {

// The number of elements to take at once from element i of n on: at most `most`.
inline int64_t left_of(int64_t n, int64_t i, int64_t most) { return n - i < most ? n - i : most; }
template <class V>
inline int lanes_left(int64_t n, int64_t i) {
  return static_cast<int>(left_of(n, i, V::lanes));
}

template <class V>
struct AllLanes {
  static constexpr int count = V::lanes;

  template <class S>
  V load(const S* p, typename V::Scalar) const {
    return V::load(p);
  }
  template <class S>
  void store(V v, S* p) const {
    v.store(p);
  }
};

template <class V>
struct FirstLanes {
  int count;

  template <class S>
  V load(const S* p, typename V::Scalar fill) const {
    return V::load_first(p, count, fill);
  }
  template <class S>
  void store(V v, S* p) const {
    v.store_first(p, count);
  }
};

// Calls body(i, lanes) for the vector that begins at i = 0, V::lanes, 2·V::lanes, …: lanes.load(p + i, fill) and
// lanes.store(v, p + i) touch the lanes.count elements that exist. The body is compiled twice: for AllLanes and for
// FirstLanes.
template <class V, class Body>
[[gnu::always_inline]] inline void for_vectors(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + V::lanes <= n; i += V::lanes) body(i, AllLanes<V>());
  if (i < n) body(i, FirstLanes<V>{static_cast<int>(n - i)});
}

// Calls body(lanes) for one vector of which `count` elements exist.
template <class V, class Body>
inline void with_lanes(int count, Body body) {
  if (count == V::lanes)
    body(AllLanes<V>());
  else
    body(FirstLanes<V>{count});
}

}  // namespace softgrad::SOFTGRAD_ISA
