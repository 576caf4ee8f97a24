// A tile with one row in each lane: for few classes, and for class axes whose neighbouring rows are contiguous (softmax
// along axis 0 of a C-ordered matrix).
#pragma once

#include "layout/gather.h"
#include "layout/merge_statistics.h"
#include "layout/row_passes.h"
#include "layout/tuning.h"

namespace softgrad::SOFTGRAD_ISA {

template <class V, class S>
class ColumnTile {
 public:
  using T = typename V::Scalar;
  static constexpr int W = V::lanes;

  static bool suits(const Rows& logits) {
    bool rows_adjacent = logits.neighbour_stride() == static_cast<int64_t>(sizeof(S));
    bool classes_adjacent = logits.class_stride == static_cast<int64_t>(sizeof(S));
    return logits.classes <= few_classes || (rows_adjacent && !classes_adjacent && logits.classes <= most_tile_classes);
  }

  static int capacity(int64_t) { return W; }
  static int64_t scratch_bytes(int64_t classes) { return 2 * padded(classes) * W * int64_t(sizeof(T)); }

  ColumnTile(const Rows& logits, char* scratch)
      : logits_(logits),
        n_(logits.classes),
        exponentials_(reinterpret_cast<T*>(scratch)),
        tile_(exponentials_ + padded(n_) * W) {}

  void load(int64_t first, int count) {
    first_ = first;
    count_ = count;
    const char* rows[W];
    for (int i = 0; i < W; ++i)
      rows[i] = logits_.row(first + (i < count ? i : count - 1));  // spare lanes repeat the last row
    if (adjacent(logits_))
      for (int64_t c = 0; c < n_; ++c)
        V::load(reinterpret_cast<const S*>(rows[0] + c * logits_.class_stride)).store(tile_ + c * W);
    else if (logits_.class_stride == static_cast<int64_t>(sizeof(S)))
      load_transposed(rows);
    else
      for (int64_t c = 0; c < n_; ++c) {
        S lanes[W];
        for (int i = 0; i < W; ++i) gather(rows[i] + c * logits_.class_stride, 0, 1, lanes + i);
        V::load(lanes).store(tile_ + c * W);
      }
  }

  // From the logits or, if they are a block of the classes, from the given statistics.
  template <bool keep>
  void statistics(BatchStatistics& batch, const RowStatistics* given = nullptr) {
    if (given) {
      for (int i = 0; i < W; ++i) set_statistics(given[i < count_ ? i : count_ - 1], i, batch);
      if constexpr (keep) keep_exponentials(batch);
      return;
    }
    V m(T(-__builtin_inf()));
    for (int64_t c = 0; c < n_; ++c) m = maximum(V::load(tile_ + c * W), m);
    if (any(equal(maximum(m, V(0) - m), V(T(__builtin_inf())))))  // it could hide NaN
      for (int64_t c = 0; c < n_; ++c) {
        V z = V::load(tile_ + c * W);
        m = select(equal(z, z), m, z);
      }
    V headroom = load_narrow<V>(batch.headroom);
    ReducedMaximum<V> reduced(m, headroom);
    Sum<V> sum;
    V ties = 0;
    for (int64_t c = 0; c < n_; ++c) {
      V z = V::load(tile_ + c * W);
      Exponential<V> x = exp_difference(z, reduced);
      if constexpr (keep) x.value.store(exponentials_ + c * W);
      auto at_maximum = equal(z, m);
      ties = ties + select(at_maximum, V(1), V(0));
      sum.add(select(at_maximum, V(0), x.value), select(at_maximum, V(0), x.residual));
    }
    store_wide(m, batch.maximum);
    store_wide(ties, batch.ties);
    store_rest(sum, batch);
  }

  // Keeps the elements themselves instead of exponentials, and the largest of each row.
  void keep_as_is(BatchStatistics& batch) {
    V m = V::load(tile_);
    for (int64_t c = 0; c < n_; ++c) {
      V p = V::load(tile_ + c * W);
      p.store(exponentials_ + c * W);
      m = maximum(p, m);
    }
    store_wide(m, batch.maximum);
  }

  double logit(int i, int64_t c) const { return tile_[c * W + i]; }
  double exponential(int i, int64_t c) const { return exponentials_[c * W + i]; }
  V logits(int64_t c) const { return V::load(tile_ + c * W); }
  V exponentials(int64_t c) const { return V::load(exponentials_ + c * W); }
  void replace(int64_t c, V value) { value.store(tile_ + c * W); }

  // out = e·scale, then out[column] = value in rows whose column is not negative.
  void write_scaled(const BatchStatistics& batch, const Rows& out, bool, const int64_t* column, const double* value) {
    V leading = load_narrow<V>(batch.scale_hi);
    V trailing = scale_remainder(batch, leading);
    for (int64_t c = 0; c < n_; ++c) scaled(V::load(exponentials_ + c * W), {leading, trailing}).store(tile_ + c * W);
    if (column)
      for (int i = 0; i < count_; ++i)
        if (column[i] >= 0) tile_[column[i] * W + i] = static_cast<T>(value[i]);
    write(batch, out);
  }

  void flush() {}

  // Writes the tile, and zeros for the rows that the batch skips.
  void write(const BatchStatistics& batch, const Rows& out) {
    if (adjacent(out) && !any_skipped(batch)) {
      char* p = out.row(first_);
      for (int64_t c = 0; c < n_; ++c) V::load(tile_ + c * W).store(reinterpret_cast<S*>(p + c * out.class_stride));
    } else if (out.class_stride == static_cast<int64_t>(sizeof(S))) {
      write_transposed(batch, out);
    } else {
      for (int64_t c = 0; c < n_; ++c) {
        S lanes[W];
        V::load(tile_ + c * W).store(lanes);
        for (int i = 0; i < count_; ++i)
          if (!batch.skip[i]) scatter(lanes + i, 1, out.row(first_ + i) + c * out.class_stride, 0);
      }
    }
    for (int i = 0; i < count_; ++i)
      if (batch.skip[i]) zero_row(out, first_ + i, sizeof(S));
  }

  void write_log_softmax(const BatchStatistics& batch, const Rows& out, bool) {
    LogSoftmax<V> log_softmax = LogSoftmax<V>::of_lanes(batch);
    for (int64_t c = 0; c < n_; ++c) log_softmax(V::load(tile_ + c * W)).store(tile_ + c * W);
    write(batch, out);
  }

 private:
  void keep_exponentials(const BatchStatistics& batch) {
    ReducedMaximum<V> reduced(load_narrow<V>(batch.maximum), load_narrow<V>(batch.headroom));
    for (int64_t c = 0; c < n_; ++c) exp_difference(V::load(tile_ + c * W), reduced).value.store(exponentials_ + c * W);
  }

  // Whether all lanes have rows that are adjacent in memory.
  bool adjacent(const Rows& rows) const {
    if (count_ < W || rows.neighbour_stride() != static_cast<int64_t>(sizeof(S))) return false;
    int64_t inner = rows.outer_shape[rows.outer_axes - 1];
    return first_ % inner + W <= inner;
  }

  static void store_rest(const Sum<F32>& sum, BatchStatistics& batch) {
    sum.low.store(batch.rest_hi);
    sum.high.store(batch.rest_hi + F64::lanes);
  }
  static void store_rest(const Sum<F64>& sum, BatchStatistics& batch) {
    store(fast_two_sum(sum.value, sum.error), batch.rest_hi, batch.rest_lo);
  }

  static V scale_remainder(const BatchStatistics& batch, V leading) {
    alignas(64) double wide[batch_rows];
    store_wide(leading, wide);
    for (int i = 0; i < W; i += F64::lanes) {
      F64 rest = (F64::load(batch.scale_hi + i) - F64::load(wide + i)) + F64::load(batch.scale_lo + i);
      rest.store(wide + i);
    }
    return load_narrow<V>(wide);
  }

  void load_transposed(const char* const* rows) {
    for_vectors<V>(n_, [&](int64_t c, auto lanes) {
      V square[W];
#pragma GCC unroll 16
      for (int i = 0; i < W; ++i) square[i] = lanes.load(reinterpret_cast<const S*>(rows[i]) + c, 0);
      transpose(square);
#pragma GCC unroll 16
      for (int i = 0; i < W; ++i) square[i].store(tile_ + (c + i) * W);
    });
  }

  void write_transposed(const BatchStatistics& batch, const Rows& out) {
    for_vectors<V>(n_, [&](int64_t c, auto lanes) {
      V square[W];
#pragma GCC unroll 16
      for (int i = 0; i < W; ++i) square[i] = V::load(tile_ + (c + i) * W);
      transpose(square);
#pragma GCC unroll 16
      for (int i = 0; i < W; ++i)
        if (i < count_ && !batch.skip[i]) lanes.store(square[i], reinterpret_cast<S*>(out.row(first_ + i)) + c);
    });
  }

  bool any_skipped(const BatchStatistics& batch) const {
    bool skipped = false;
    for (int i = 0; i < count_; ++i) skipped |= batch.skip[i];
    return skipped;
  }

  static int64_t padded(int64_t classes) { return (classes + W - 1) / W * W; }

  const Rows& logits_;
  int64_t n_;
  T* exponentials_;
  T* tile_;  // logits, then results
  int64_t first_ = 0;
  int count_ = 0;
};

}  // namespace softgrad::SOFTGRAD_ISA
