// A row too long for the second-level cache: blocks of fixed size, which threads share and whose statistics are merged
// in order. Exponentials are not kept but computed a second time: two reads and one write.
#pragma once

#include "layout/gather.h"
#include "layout/groups.h"
#include "layout/merge_statistics.h"
#include "layout/row_passes.h"

namespace softgrad::SOFTGRAD_ISA {

template <class V>
inline constexpr int64_t block_classes = long_row_block_bytes / sizeof(typename V::Scalar);

template <class V, class S>
class LongRow {
 public:
  using T = typename V::Scalar;

  LongRow(char* row, int64_t stride, int64_t classes, int threads)
      : row_(row),
        stride_(stride),
        n_(classes),
        blocks_((classes + block_classes<V> - 1) / block_classes<V>),
        threads_(threads < blocks_ ? threads : static_cast<int>(blocks_)),
        packed_(direct() ? 0 : threads_ * block_classes<V> * int64_t(sizeof(S))),
        partial_(blocks_ * int64_t(sizeof(RowStatistics))) {}

  T maximum() {
    RowStatistics* partial = reinterpret_cast<RowStatistics*>(partial_.data());
    for_blocks([&](int64_t b, const S* z, int64_t n, int) { partial[b].maximum = row_maximum<V>(z, n); });
    T top = static_cast<T>(largest_of(partial));
    if (top - top == 0) return top;
    // An infinity in one block could hide NaN in another.
    for_blocks([&](int64_t b, const S* z, int64_t n, int) {
      if (holds_nan<V>(z, n)) partial[b].maximum = __builtin_nan("");
    });
    return static_cast<T>(largest_of(partial));
  }

  // Fills row 0 of the batch, from the logits or from the given statistics.
  void statistics(BatchStatistics& batch, const RowStatistics* given = nullptr) {
    if (given) return set_statistics(*given, 0, batch);
    RowStatistics* partial = reinterpret_cast<RowStatistics*>(partial_.data());
    T headroom = static_cast<T>(batch.headroom[0]);
    for_blocks([&](int64_t b, const S* z, int64_t n, int) {
      T m = row_maximum<V>(z, n);
      ExpSum sum = row_exponentials<false>(z, n, V(m), V(headroom), static_cast<T*>(nullptr), [](int64_t) {});
      partial[b] = {m, sum.rest.hi, sum.rest.lo, static_cast<double>(sum.ties)};
    });
    RowStatistics row = merged(partial, blocks_, 1, headroom);
    batch.set_row(0, row.maximum, row.rest_hi, row.rest_lo, row.ties);
  }

  void write_scaled(const BatchStatistics& batch, char* out, int64_t out_stride, bool stream) {
    Scale<V> scale = narrow_scale<V>(batch.scale_hi[0], batch.scale_lo[0]);
    ReducedMaximum<V> reduced(V(static_cast<T>(batch.maximum[0])), V(static_cast<T>(batch.headroom[0])));
    write(out, out_stride, stream, [=](V z) { return scaled(exp_difference(z, reduced).value, scale); });
  }

  void write_log_softmax(const BatchStatistics& batch, char* out, int64_t out_stride, bool stream) {
    write(out, out_stride, stream, LogSoftmax<V>::of_row(batch, 0));
  }

  static void write_element(char* p, double value) { V(static_cast<T>(value)).store_first(reinterpret_cast<S*>(p), 1); }

  double logit(int64_t c) const {
    S element;
    gather(row_ + c * stride_, 0, 1, &element);
    return widened<V>(&element);
  }

  int64_t blocks() const { return blocks_; }
  int threads() const { return threads_; }

  // Calls body(b, z, n, thread) for every block of n logits.
  template <class Body>
  void for_blocks(Body body) {
    for_shared(blocks_, threads_, [&](int64_t b, int thread) {
      int64_t begin = b * block_classes<V>;
      int64_t n = left_of(n_, begin, block_classes<V>);
      S* buffer = reinterpret_cast<S*>(packed_.data()) + (direct() ? 0 : thread * block_classes<V>);
      body(b, contiguous(row_ + begin * stride_, stride_, n, buffer), n, thread);
    });
  }

 private:
  double largest_of(const RowStatistics* partial) const {
    double top = partial[0].maximum;
    for (int64_t b = 1; b < blocks_; ++b) {
      double m = partial[b].maximum;
      if (m > top || m != m) top = m;
    }
    return top;
  }

  bool direct() const { return stride_ == static_cast<int64_t>(sizeof(S)); }

  template <class F>
  void write(char* out, int64_t out_stride, bool stream, F f) {
    for_blocks([&](int64_t b, const S* z, int64_t n, int) {
      char* to = out + b * block_classes<V> * out_stride;
      if (out_stride == static_cast<int64_t>(sizeof(S))) {
        row_map<V>(z, n, reinterpret_cast<S*>(to), stream, f);
        return;
      }
      S values[V::lanes];
      for_vectors<V>(n, [&](int64_t i, auto lanes) {
        lanes.store(f(lanes.load(z + i, 0)), values);
        scatter(values, lanes.count, to + i * out_stride, out_stride);
      });
    });
  }

  char* row_;
  int64_t stride_, n_, blocks_;
  int threads_;
  Scratch packed_, partial_;
};

}  // namespace softgrad::SOFTGRAD_ISA
