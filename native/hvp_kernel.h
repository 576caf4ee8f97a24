// The Hessian of the cross-entropy with respect to the logits, times one vector for each row:
//
//   H = a·(Diag(p) - p pᵀ) + b·p pᵀ,  a = (M + 2ζ·lse)/denominator,  b = 2ζ/denominator
//
// straight from the logits, in one read of them and of the vectors while a row fits in the cache. M = Σ y
// is all that the Hessian sees of the targets. Or, with a = 1 and b = 0, the Jacobian of softmax from its
// result p: exponentials that are normalised already.
#pragma once

#include "column_tile.h"
#include "curvature.h"
#include "kernels.h"
#include "long_row.h"
#include "loss_sum.h"
#include "row_batch.h"
#include "z_loss.h"

namespace softgrad::SOFTGRAD_ISA {

// Keeps every probability that is not zero itself normal, and leaves the products with v the rest of
// the range.
inline constexpr double hvp_headroom = 64;

template <class V, class S>
inline int64_t first_equal(const S* z, int64_t n, typename V::Scalar m) {
  int64_t i = 0;
  while (i + V::lanes <= n && !any(equal(V::load(z + i), V(m)))) i += V::lanes;
  for (; i < n; ++i)
    if (widened<V>(z + i) == m) return i;
  return 0;  // NaN: so will be the result
}

// Lane i of a batch for a row of probabilities.
inline void set_normalised(Batch& batch, int i, double maximum) {
  batch.maximum[i] = maximum;
  batch.rest_hi[i] = batch.rest_lo[i] = batch.headroom[i] = 0;
  batch.ties[i] = 1;
}

template <class Number>
inline void finish_hvp(const HvpArguments& a, int64_t first, int count, Batch& batch, Curvature& curvature) {
  const ZLoss z_loss(a.spec);
  for (int i = 0; i < count; ++i) {
    double row_scale = a.row_scale ? a.row_scale[first + i] : 1;
    curvature.jacobian[i] = a.mass ? a.mass[first + i] : 1;
    curvature.outer[i] = z_loss.curvature() * row_scale / a.targets.denominator;
    curvature.row_scale[i] = row_scale;
  }
  const Number denominator = denominator_of<Number>(a.targets);
  for (int i = 0; i < count; i += F64::lanes) {
    Normalizer<Number> normalizer(batch, i);
    Number slope = number<Number>(F64::load(curvature.jacobian + i));
    if (z_loss) slope = add(slope, z_loss.slope(add(normalizer.log_sum(), normalizer.maximum)));
    slope = multiply(slope, F64::load(curvature.row_scale + i));
    F64 headroom = F64::load(batch.headroom + i);
    finish_curvature<Number>(normalizer.sum, divide(slope, denominator), headroom, i, batch, curvature);
  }
}

template <class V, class S>
inline void hvp_batches(const HvpArguments& a) {
  using Number = typename NumberOf<V>::type;
  using Family = RowBatch<V, S>;
  int64_t n = a.logits.classes, step = (n + 15) / 16 * 16;
  int capacity = Family::capacity(n);
  int64_t family_bytes = (Family::scratch_bytes(n) + 63) / 64 * 64;
  auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
    Batch batch;
    Curvature curvature;
    Family rows(a.logits, scratch);
    S* packed = reinterpret_cast<S*>(scratch + family_bytes);
    auto direction = [&](int64_t row) { return contiguous(a.v.row(row), a.v.class_stride, n, packed); };
    for (; first < end; first += capacity) {
      int count = static_cast<int>(left_of(end, first, capacity));
      batch.set_headroom(hvp_headroom);
      for (int i = 0; i < count; ++i) batch.skip[i] = a.ignores(first + i);
      rows.load(first, count);
      if (a.probabilities)
        for (int i = 0; i < count; ++i) set_normalised(batch, i, rows.keep_as_is(i));
      else
        rows.template statistics<true>(batch, a.statistics ? a.statistics + first : nullptr);
      for (int i = 0; i < count; ++i) {
        if (batch.skip[i]) continue;
        const S* v = direction(first + i);
        int64_t pivot = first_equal<V>(rows.logits(i), n, static_cast<typename V::Scalar>(batch.maximum[i]));
        curvature.pivot[i] = widened<V>(v + pivot);
        ScalarDD dot = curvature_dot<V>(rows.exponentials(i), v, n, curvature.pivot[i]);
        curvature.dot_hi[i] = dot.hi;
        curvature.dot_lo[i] = dot.lo;
      }
      finish_hvp<Number>(a, first, count, batch, curvature);
      for (int i = 0; i < count; ++i) {
        if (batch.skip[i]) {
          zero_row(a.out, first + i, sizeof(S));
          continue;
        }
        char* to = a.out.row(first + i);
        bool direct = a.out.class_stride == int64_t(sizeof(S));
        S* out = direct ? reinterpret_cast<S*>(to) : packed + step;
        auto map = CurvatureMap<V>::of_row(batch, curvature, i);
        curvature_write<V>(rows.exponentials(i), direction(first + i), n, map, out);
        if (!direct) scatter(out, n, to, a.out.class_stride);
      }
    }
  };
  int64_t bytes = family_bytes + 2 * step * int64_t(sizeof(S));
  for_groups(Groups(a.logits, capacity), bytes, a.threads, group);
}

template <class V, class S>
inline void keep_as_is(ColumnTile<V, S>& probabilities, Batch& batch) {
  alignas(64) double top[Batch::rows] = {};
  store_wide(probabilities.keep_as_is(), top);
  for (int i = 0; i < V::lanes; ++i) set_normalised(batch, i, top[i]);
}

// One row per lane, for few classes.
template <class V, class S>
inline void hvp_tiles(const HvpArguments& a) {
  using Tile = ColumnTile<V, S>;
  int64_t n = a.logits.classes, bytes = Tile::scratch_bytes(n);
  auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
    Batch batch;
    Curvature curvature;
    Tile logits(a.logits, scratch), v(a.v, scratch + bytes);
    batch.set_headroom(hvp_headroom);
    for (; first < end; first += V::lanes) {
      int count = lanes_left<V>(end, first);
      for (int i = 0; i < count; ++i) batch.skip[i] = a.ignores(first + i);
      logits.load(first, count);
      v.load(first, count);
      if (a.probabilities)
        keep_as_is(logits, batch);
      else
        logits.template statistics<true>(batch, a.statistics ? a.statistics + first : nullptr);
      V top = load_narrow<V>(batch.maximum), pivot = v.logits(0);
      for (int64_t c = 1; c < n; ++c) pivot = select(equal(logits.logits(c), top), v.logits(c), pivot);
      CurvatureSum<V> sum{pivot};
      for (int64_t c = 0; c < n; ++c) sum.add(logits.exponentials(c), v.logits(c));
      store_wide(pivot, curvature.pivot);
      sum.store_lanes(curvature);
      finish_hvp<typename NumberOf<V>::type>(a, first, count, batch, curvature);
      auto map = CurvatureMap<V>::of_lanes(batch, curvature);
      for (int64_t c = 0; c < n; ++c) v.replace(c, map(logits.exponentials(c), v.logits(c)));
      v.write(batch, a.out);
    }
  };
  for_groups(Groups(a.logits, V::lanes), 2 * bytes, a.threads, group);
}

// Exponentials taken anew where they are needed.
template <class V, class S>
struct Exponentials {
  const S* z;
  Pivot<V> pivot;

  template <class Lanes>
  V operator()(int64_t i, Lanes lanes) const {
    return exp_difference(lanes.load(z + i, -__builtin_inf()), pivot).value;
  }
};

// exponentials(z): those of a block, as a source of vectors.
template <class V, class S, class Source>
inline void hvp_long_row(const HvpArguments& a, int64_t r, LongRow<V, S>& row, Batch& batch, Source exponentials) {
  using T = typename V::Scalar;
  Curvature curvature;
  T top = static_cast<T>(batch.maximum[0]);
  const char* v = a.v.row(r);
  char* out = a.out.row(r);
  int64_t block_bytes = block_classes<V> * int64_t(sizeof(S));
  Scratch packed(2 * row.threads() * block_bytes);
  auto direction = [&](int64_t begin, int64_t n, int thread) {
    S* buffer = reinterpret_cast<S*>(packed.data() + 2 * thread * block_bytes);
    return contiguous(v + begin * a.v.class_stride, a.v.class_stride, n, buffer);
  };

  int64_t blocks = row.blocks();
  Scratch memory(blocks * int64_t(sizeof(ScalarDD) + sizeof(int64_t)));
  ScalarDD* partial = new (memory.data()) ScalarDD[blocks];
  int64_t* found = reinterpret_cast<int64_t*>(partial + blocks);
  row.for_blocks([&](int64_t b, const S* z, int64_t n, int) {
    int64_t at = first_equal<V>(z, n, top);
    found[b] = widened<V>(z + at) == batch.maximum[0] ? b * block_classes<V> + at : -1;
  });
  int64_t at_maximum = 0;
  for (int64_t b = blocks - 1; b >= 0; --b)
    if (found[b] >= 0) at_maximum = found[b];
  S element;
  gather(v + at_maximum * a.v.class_stride, 0, 1, &element);
  curvature.pivot[0] = widened<V>(&element);

  row.for_blocks([&](int64_t b, const S* z, int64_t n, int thread) {
    const S* part = direction(b * block_classes<V>, n, thread);
    partial[b] = curvature_dot<V>(exponentials(z), part, n, curvature.pivot[0]);
  });
  ScalarDD dot;
  for (int64_t b = 0; b < blocks; ++b) dot.add(partial[b]);
  curvature.dot_hi[0] = dot.hi;
  curvature.dot_lo[0] = dot.lo;
  finish_hvp<typename NumberOf<V>::type>(a, r, 1, batch, curvature);

  auto map = CurvatureMap<V>::of_row(batch, curvature, 0);
  row.for_blocks([&](int64_t b, const S* z, int64_t n, int thread) {
    int64_t begin = b * block_classes<V>;
    const S* part = direction(begin, n, thread);
    char* to = out + begin * a.out.class_stride;
    bool direct = a.out.class_stride == int64_t(sizeof(S));
    S* result = reinterpret_cast<S*>(direct ? to : packed.data() + (2 * thread + 1) * block_bytes);
    curvature_write<V>(exponentials(z), part, n, map, result);
    if (!direct) scatter(result, n, to, a.out.class_stride);
  });
}

template <class V, class S>
inline void hvp_long_row(const HvpArguments& a, int64_t r) {
  using T = typename V::Scalar;
  Batch batch;
  batch.headroom[0] = hvp_headroom;
  LongRow<V, S> row(a.logits.row(r), a.logits.class_stride, a.logits.classes, a.threads);
  if (a.probabilities) {
    set_normalised(batch, 0, row.maximum());
    return hvp_long_row<V, S>(a, r, row, batch, [](const S* p) { return Stored<V, S>{p}; });
  }
  row.statistics(batch, a.statistics ? a.statistics + r : nullptr);
  Pivot<V> pivot{V(static_cast<T>(batch.maximum[0])), V(T(hvp_headroom))};
  hvp_long_row<V, S>(a, r, row, batch, [=](const S* z) { return Exponentials<V, S>{z, pivot}; });
}

template <class V, class S>
inline void hvp_rows(const HvpArguments& a) {
  if (ColumnTile<V, S>::suits(a.logits)) return hvp_tiles<V, S>(a);
  if (a.logits.classes <= block_classes<V>) return hvp_batches<V, S>(a);
  for (int64_t r = 0; r < a.logits.count; ++r)
    if (a.ignores(r))
      zero_row(a.out, r, sizeof(S));
    else
      hvp_long_row<V, S>(a, r);
}

}  // namespace softgrad::SOFTGRAD_ISA
