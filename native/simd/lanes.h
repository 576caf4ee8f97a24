// n elements of a row as vectors: whole ones, without masks, and at the end one with the lanes that are left.
#pragma once

#include "simd/vec.h"

namespace softgrad::SOFTGRAD_ISA {

// How many of n elements from i on are taken at once: `most`, or what is left of them.
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

// body(i, lanes) for the vectors that begin at i = 0, lanes, 2 lanes, …: lanes.load(p + i, fill) and
// lanes.store(v, p + i) touch the lanes.count elements that exist. The body is compiled for either case.
template <class V, class Body>
[[gnu::always_inline]] inline void for_vectors(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + V::lanes <= n; i += V::lanes) body(i, AllLanes<V>());
  if (i < n) body(i, FirstLanes<V>{static_cast<int>(n - i)});
}

// The same for one vector of which `count` elements exist.
template <class V, class Body>
inline void with_lanes(int count, Body body) {
  if (count == V::lanes)
    body(AllLanes<V>());
  else
    body(FirstLanes<V>{count});
}

}  // namespace softgrad::SOFTGRAD_ISA
