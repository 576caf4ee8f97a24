// A tile with neighbouring classes in the lanes: as many rows as stay in the first-level cache.
//
// If a tile is a single row and its result bypasses the caches, the result is written during the exponentials of the
// next row, so that arithmetic and memory work at the same time.
#pragma once

#include "layout/gather.h"
#include "layout/merge_statistics.h"
#include "layout/row_passes.h"
#include "layout/tuning.h"

namespace softgrad::SOFTGRAD_ISA {

template <class V, class S>
class RowTile {
 public:
  using T = typename V::Scalar;

  static int capacity(int64_t classes) {
    int64_t rows = classes ? row_tile_elements / classes : batch_rows;
    return static_cast<int>(rows < 1 ? 1 : rows > batch_rows ? batch_rows : rows);
  }
  static int64_t scratch_bytes(int64_t classes) {
    return padded(classes) * (buffers(classes) * int64_t(sizeof(T)) + capacity(classes) * int64_t(sizeof(S)));
  }

  RowTile(const Rows& logits, char* scratch)
      : logits_(logits),
        n_(logits.classes),
        exponentials_(reinterpret_cast<T*>(scratch)),
        packed_(reinterpret_cast<S*>(scratch + padded(n_) * buffers(n_) * int64_t(sizeof(T)))) {}

  void load(int64_t first, int count) {
    first_ = first;
    count_ = count;
    for (int i = 0; i < count; ++i)
      rows_[i] = contiguous(logits_.row(first + i), logits_.class_stride, n_, packed_ + i * padded(n_));
  }

  // From the logits or, if they are a block of the classes, from the given statistics.
  template <bool keep>
  void statistics(BatchStatistics& batch, const RowStatistics* given = nullptr) {
    for (int i = 0; i < count_; ++i) {
      if (batch.skip[i]) continue;
      V headroom(static_cast<T>(batch.headroom[i]));
      if (given) {
        set_statistics(given[i], i, batch);
        if constexpr (keep) exponentials_of_row<keep>(i, V(static_cast<T>(given[i].maximum)), headroom);
        continue;
      }
      T m = row_maximum<V>(rows_[i], n_);
      ExpSum sum = exponentials_of_row<keep>(i, V(m), headroom);
      batch.set_row(i, m, sum.rest.hi, sum.rest.lo, static_cast<double>(sum.ties));
    }
  }

  // Keeps the elements themselves instead of exponentials, and the largest of each row.
  void keep_as_is(BatchStatistics& batch) {
    for (int i = 0; i < count_; ++i) {
      row_map<V>(rows_[i], n_, kept(i), false, [](V p) { return p; });
      batch.maximum[i] = row_maximum<V>(rows_[i], n_);
    }
  }

  double logit(int i, int64_t c) const { return widened<V>(rows_[i] + c); }
  double exponential(int i, int64_t c) const { return kept(i)[c]; }
  const S* logits(int i) const { return rows_[i]; }
  Stored<V, T> exponentials(int i) const { return {kept(i)}; }

  // out = e·scale, then out[column] = value in rows whose column is not negative.
  void write_scaled(const BatchStatistics& batch, const Rows& out, bool stream, const int64_t* column,
                    const double* value) {
    if (stream && capacity(n_) == 1 && out.class_stride == static_cast<int64_t>(sizeof(S)) && !batch.skip[0]) {
      S* to = reinterpret_cast<S*>(out.row(first_));
      pending_ = Writer(kept(0), n_, to, true, {narrow_scale<V>(batch.scale_hi[0], batch.scale_lo[0])});
      is_pending_ = true;
      if (column && column[0] >= 0) pending_target_ = to + column[0], pending_value_ = value[0];
      spare_ = !spare_;
      return;
    }
    for (int i = 0; i < count_; ++i) {
      MultiplyBy<V> multiply{narrow_scale<V>(batch.scale_hi[i], batch.scale_lo[i])};
      write(batch, i, out, stream, kept(i), multiply);
      if (!column || column[i] < 0) continue;
      if (stream) store_fence();  // the next store overwrites a streamed one
      store_element(out.row(first_ + i) + column[i] * out.class_stride, value[i]);
    }
  }

  // Finishes a pending write.
  void flush() {
    if (!is_pending_) return;
    pending_.finish();
    is_pending_ = false;
    if (!pending_target_) return;
    store_fence();
    store_element(reinterpret_cast<char*>(pending_target_), pending_value_);
    pending_target_ = nullptr;
  }

  void write_log_softmax(const BatchStatistics& batch, const Rows& out, bool stream) {
    for (int i = 0; i < count_; ++i) write(batch, i, out, stream, rows_[i], LogSoftmax<V>::of_row(batch, i));
  }

 private:
  static int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }
  static int buffers(int64_t classes) { return capacity(classes) == 1 ? 2 : capacity(classes); }
  T* kept(int i) const { return exponentials_ + (i + (spare_ ? 1 : 0)) * padded(n_); }

  static void store_element(char* p, double value) { V(static_cast<T>(value)).store_first(reinterpret_cast<S*>(p), 1); }

  template <bool keep>
  ExpSum exponentials_of_row(int i, V m, V headroom) {
    const S* next = next_row(i);
    auto fetch = [=](int64_t c) {
      if (next) __builtin_prefetch(next + c, 0, 2);
    };
    if (!is_pending_) return row_exponentials<keep>(rows_[i], n_, m, headroom, kept(i), fetch);
    Writer writer = pending_;  // in registers for the loop
    ExpSum sum = row_exponentials<keep>(rows_[i], n_, m, headroom, kept(i), [&](int64_t c) {
      fetch(c);
      writer.step();
    });
    pending_ = writer;
    flush();
    return sum;
  }

  const S* next_row(int i) const {
    bool direct = logits_.class_stride == static_cast<int64_t>(sizeof(S));
    if (!direct || first_ + i + 1 >= logits_.count) return nullptr;
    return i + 1 < count_ ? rows_[i + 1] : reinterpret_cast<const S*>(logits_.row(first_ + i + 1));
  }

  template <class E, class F>
  void write(const BatchStatistics& batch, int i, const Rows& out, bool stream, const E* from, F f) {
    char* row = out.row(first_ + i);
    bool direct = out.class_stride == static_cast<int64_t>(sizeof(S));
    S* to = direct ? reinterpret_cast<S*>(row) : packed_ + i * padded(n_);
    if (batch.skip[i])
      __builtin_memset(to, 0, n_ * sizeof(S));
    else
      row_map<V>(from, n_, to, stream && direct, f);
    if (!direct) scatter(to, n_, row, out.class_stride);
  }

  using Writer = RowWriter<V, T, S, MultiplyBy<V>>;

  const Rows& logits_;
  int64_t n_;
  T* exponentials_;
  S* packed_;
  int64_t first_ = 0;
  int count_ = 0;
  const S* rows_[batch_rows];
  Writer pending_;
  bool is_pending_ = false;
  bool spare_ = false;  // which of the two buffers takes the exponentials of a single row
  S* pending_target_ = nullptr;
  double pending_value_ = 0;
};

}  // namespace softgrad::SOFTGRAD_ISA
