// Rows with their lanes along the classes, as many at a time as stay in the nearest cache.
#pragma once

#include "batch.h"

namespace softgrad::SOFTGRAD_ISA {

template <class V, class S>
class RowBatch {
 public:
  using T = typename V::Scalar;

  static int capacity(int64_t classes) {
    constexpr int64_t cached_elements = 8192;
    int64_t rows = classes ? cached_elements / classes : Batch::rows;
    return static_cast<int>(rows < 1 ? 1 : rows > Batch::rows ? Batch::rows : rows);
  }
  static int64_t scratch_bytes(int64_t classes) {
    return capacity(classes) * (padded(classes) * int64_t(sizeof(T)) + padded(classes) * int64_t(sizeof(S)));
  }

  RowBatch(const Rows& logits, char* scratch)
      : logits_(logits),
        n_(logits.classes),
        exponentials_(reinterpret_cast<T*>(scratch)),
        packed_(reinterpret_cast<S*>(scratch + capacity(n_) * padded(n_) * int64_t(sizeof(T)))) {}

  void load(int64_t first, int count) {
    first_ = first;
    count_ = count;
    for (int i = 0; i < count; ++i)
      rows_[i] = contiguous(logits_.row(first + i), logits_.class_stride, n_, packed_ + i * padded(n_));
  }

  template <bool keep>
  void statistics(Batch& batch) {
    for (int i = 0; i < count_; ++i) {
      if (batch.skip[i]) continue;
      T m = row_maximum<V>(rows_[i], n_);
      ExpSum sum = row_exponentials<keep>(rows_[i], n_, V(m), V(static_cast<T>(batch.headroom[i])),
                                          exponentials_ + i * padded(n_), next_row(i));
      double unit = __builtin_ldexp(1, -static_cast<int>(batch.headroom[i]));
      batch.maximum[i] = m;
      batch.rest_hi[i] = sum.rest.hi * unit;
      batch.rest_lo[i] = sum.rest.lo * unit;
      batch.ties[i] = static_cast<double>(sum.ties);
    }
  }

  double logit(int i, int64_t c) const { return widened<V>(rows_[i] + c); }
  double exponential(int i, int64_t c) const { return exponentials_[i * padded(n_) + c]; }

  // out = e·scale
  void write_scaled(const Batch& batch, const Rows& out, bool stream) {
    for (int i = 0; i < count_; ++i) {
      Scale<V> scale = narrow_scale<V>(batch.scale_hi[i], batch.scale_lo[i]);
      write(batch, i, out, stream, exponentials_ + i * padded(n_), [=](V e) { return scaled(e, scale); });
    }
  }

  void write_log_softmax(const Batch& batch, const Rows& out, bool stream) {
    for (int i = 0; i < count_; ++i) write(batch, i, out, stream, rows_[i], LogSoftmax<V>::of_row(batch, i));
  }

 private:
  static int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

  const S* next_row(int i) const {
    bool direct = logits_.class_stride == static_cast<int64_t>(sizeof(S));
    if (!direct || first_ + i + 1 >= logits_.count) return nullptr;
    return i + 1 < count_ ? rows_[i + 1] : reinterpret_cast<const S*>(logits_.row(first_ + i + 1));
  }

  template <class E, class F>
  void write(const Batch& batch, int i, const Rows& out, bool stream, const E* from, F f) {
    char* row = out.row(first_ + i);
    bool direct = out.class_stride == static_cast<int64_t>(sizeof(S));
    S* to = direct ? reinterpret_cast<S*>(row) : packed_ + i * padded(n_);
    if (batch.skip[i])
      __builtin_memset(to, 0, n_ * sizeof(S));
    else
      row_map<V>(from, n_, to, stream && direct, f);
    if (!direct) scatter(to, n_, row, out.class_stride);
  }

  const Rows& logits_;
  int64_t n_;
  T* exponentials_;
  S* packed_;
  int64_t first_ = 0;
  int count_ = 0;
  const S* rows_[Batch::rows];
};

}  // namespace softgrad::SOFTGRAD_ISA
