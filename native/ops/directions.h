// The statistics of a direction v in rows or in a block of their classes, and the merged statistics of blocks:
//
//   v_* = pivot of a block that contains a largest logit of the row
//   Σ e (v - v_*) = Σ_b (dot_b + sum_b (pivot_b - v_*))
//
// A dot and the shift of its pivot may cancel, up to the number of classes in the block. So the sums are double-double
// for logits of every type, and all are of the same rounded exponentials.
#pragma once

#include "ops/hvp.h"

namespace softgrad::SOFTGRAD_ISA {

template <class V>
struct DirectionSum;  // Σ e_i and Σ e_i (v_i - pivot)

template <>
struct DirectionSum<F64> {
  CurvatureSum<F64> dot;
  Sum<F64> sum;

  explicit DirectionSum(F64 pivot) : dot(pivot) {}
  void add(F64 e, F64 v) {
    sum.add(e, F64(0));
    dot.add(e, v);
  }
  void add_to(ScalarDD& all, ScalarDD& all_dots) const {
    all.add(total(sum));
    all_dots.add(dot.total());
  }
  // One row in each lane, to the rows from `out` on.
  void store_lanes(DirectionStatistics* out, int count) const {
    DD sums = fast_two_sum(sum.value, sum.error), dots = fast_two_sum(dot.sum.value, dot.sum.error);
    alignas(64) double values[4][F64::lanes];
    store(sums, values[0], values[1]);
    store(dots, values[2], values[3]);
    for (int i = 0; i < F64::lanes && i < count; ++i) {
      out[i].sum_hi = values[0][i], out[i].sum_lo = values[1][i];
      out[i].dot_hi = values[2][i], out[i].dot_lo = values[3][i];
    }
  }
};

template <>
struct DirectionSum<F32> {
  DirectionSum<F64> low, high;

  explicit DirectionSum(F32 pivot) : low(lower(pivot)), high(upper(pivot)) {}
  void add(F32 e, F32 v) {
    low.add(lower(e), lower(v));
    high.add(upper(e), upper(v));
  }
  void add_to(ScalarDD& all, ScalarDD& all_dots) const {
    low.add_to(all, all_dots);
    high.add_to(all, all_dots);
  }
  void store_lanes(DirectionStatistics* out, int count) const {
    low.store_lanes(out, count);
    high.store_lanes(out + F64::lanes, count - F64::lanes);
  }
};

// Σ e_i and Σ e_i (v_i - pivot) over a block of one row, with classes in the lanes; see curvature_dot.
template <class V, class S, class Source>
inline DirectionStatistics direction_about(double pivot, Source source, const S* v, int64_t n) {
  using T = typename V::Scalar;
  const T fill = static_cast<T>(pivot);
  DirectionSum<V> sums{V(fill)};
  for_vectors<V>(n, [&](int64_t i, auto lanes) { sums.add(source(i, lanes), lanes.load(v + i, fill)); });
  ScalarDD sum, dot;
  sums.add_to(sum, dot);
  return {pivot, 0, sum.hi, sum.lo, dot.hi, dot.lo};
}

// parts: those of the blocks of one row, `step` apart; top: the block whose pivot is that of the row.
inline DirectionStatistics merged(const DirectionStatistics* parts, int64_t count, int64_t step, int64_t top) {
  DirectionStatistics row = count ? parts[top * step] : DirectionStatistics();
  DD sum = broadcast(0, 0), dot = sum;
  for (int64_t b = 0; b < count; ++b) {
    const DirectionStatistics& part = parts[b * step];
    DD of_part = broadcast(part.sum_hi, part.sum_lo);
    DD shift = two_sum(F64(part.pivot), F64(-row.pivot));
    sum = add(sum, of_part);
    dot = add(dot, add(broadcast(part.dot_hi, part.dot_lo), multiply(of_part, shift)));
  }
  row.sum_hi = first_lane(sum.hi), row.sum_lo = first_lane(sum.lo);
  row.dot_hi = first_lane(dot.hi), row.dot_lo = first_lane(dot.lo);
  return row;
}

// parts: (blocks, rows), of all blocks of the rows. If no block contains the maximum, it is NaN, and so is the product.
inline void merge_directions(const DirectionStatistics* parts, int64_t blocks, int64_t rows, DirectionStatistics* out) {
  for (int64_t r = 0; r < rows; ++r) {
    int64_t top = 0;
    while (top + 1 < blocks && parts[top * rows + r].at_maximum == 0) ++top;
    out[r] = merged(parts + r, blocks, rows, top);
  }
}

template <class V, class S>
class DirectionPass {
 public:
  explicit DirectionPass(const DirectionArguments& args) : args_(args), rows_(args.logits) {}

  void run() const {
    if (!rows_.classes)
      for (int64_t r = 0; r < rows_.count; ++r) args_.out[r] = DirectionStatistics();
    else if (ColumnTile<V, S>::suits(rows_))
      lanes_along_rows();
    else if (rows_.classes <= block_classes<V>)
      lanes_along_classes();
    else
      for (int64_t r = 0; r < rows_.count; ++r) long_row(r);
  }

 private:
  using T = typename V::Scalar;

  template <Tile R>
  void start(int64_t first, int count, R& rows, BatchStatistics& batch) const {
    batch.set_headroom(hvp_headroom<T>);
    rows.load(first, count);
    rows.template statistics<true>(batch, args_.statistics + first);
  }

  void lanes_along_classes() const {
    int64_t n = rows_.classes;
    int capacity = RowTile<V, S>::capacity(n);
    int64_t tile_bytes = (RowTile<V, S>::scratch_bytes(n) + 63) / 64 * 64;
    auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
      BatchStatistics batch;
      RowTile<V, S> rows(rows_, scratch);
      S* buffer = reinterpret_cast<S*>(scratch + tile_bytes);
      for (; first < end; first += capacity) {
        int count = static_cast<int>(left_of(end, first, capacity));
        start(first, count, rows, batch);
        for (int i = 0; i < count; ++i) {
          const S* v = contiguous(args_.v, first + i, 0, n, buffer);
          T top = row_maximum<V>(rows.logits(i), n);
          DirectionStatistics& out = args_.out[first + i];
          out = of_block(top, rows.exponentials(i), rows.logits(i), v, n);
          out.at_maximum = top == batch.maximum[i];
        }
      }
    };
    for_groups(Groups(rows_, capacity), tile_bytes + n * int64_t(sizeof(S)), args_.threads, group);
  }

  // top: the largest of the n logits z.
  template <class Source>
  static DirectionStatistics of_block(T top, Source exponentials, const S* z, const S* v, int64_t n) {
    return direction_about<V>(widened<V>(v + first_equal<V>(z, n, top)), exponentials, v, n);
  }

  // For few classes.
  void lanes_along_rows() const {
    using Tile = ColumnTile<V, S>;
    int64_t bytes = Tile::scratch_bytes(rows_.classes);
    auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
      BatchStatistics batch;
      Tile rows(rows_, scratch), v(args_.v, scratch + bytes);
      for (; first < end; first += V::lanes) {
        int count = static_cast<int>(left_of(end, first, V::lanes));
        start(first, count, rows, batch);
        v.load(first, count);
        sum_tile(rows, v, batch, args_.out + first, count);
      }
    };
    for_groups(Groups(rows_, V::lanes), 2 * bytes, args_.threads, group);
  }

  void sum_tile(const ColumnTile<V, S>& rows, const ColumnTile<V, S>& v, const BatchStatistics& batch,
                DirectionStatistics* out, int count) const {
    V top(static_cast<T>(-__builtin_inf())), pivot = v.logits(0);
    for (int64_t c = 0; c < rows_.classes; ++c) top = maximum(rows.logits(c), top);
    for (int64_t c = 1; c < rows_.classes; ++c) pivot = select(equal(rows.logits(c), top), v.logits(c), pivot);
    DirectionSum<V> sum{pivot};
    for (int64_t c = 0; c < rows_.classes; ++c) sum.add(rows.exponentials(c), v.logits(c));
    alignas(64) double pivots[batch_rows], tops[batch_rows];
    store_wide(pivot, pivots);
    store_wide(top, tops);
    for (int i = 0; i < count; ++i) out[i].pivot = pivots[i], out[i].at_maximum = tops[i] == batch.maximum[i];
    sum.store_lanes(out, count);
  }

  void long_row(int64_t r) const {
    LongRow<V, S> row(rows_.row(r), rows_.class_stride, rows_.classes, args_.threads);
    Scratch buffers(row.threads() * block_classes<V> * int64_t(sizeof(S)));
    Scratch of_blocks(row.blocks() * int64_t(sizeof(DirectionStatistics))), maxima(row.blocks() * int64_t(sizeof(T)));
    DirectionStatistics* parts = new (of_blocks.data()) DirectionStatistics[row.blocks()];
    T* tops = reinterpret_cast<T*>(maxima.data());
    const T m = static_cast<T>(args_.statistics[r].maximum);
    const ReducedMaximum<V> reduced{V(m), V(hvp_headroom<T>)};
    row.for_blocks([&](int64_t b, const S* z, int64_t n, int thread) {
      S* buffer = reinterpret_cast<S*>(buffers.data()) + thread * block_classes<V>;
      const S* v = contiguous(args_.v, r, b * block_classes<V>, n, buffer);
      tops[b] = row_maximum<V>(z, n);
      parts[b] = of_block(tops[b], Exponentials<V, S>{z, reduced}, z, v, n);
    });
    int64_t top = 0;
    for (int64_t b = 1; b < row.blocks(); ++b)
      if (tops[b] > tops[top]) top = b;
    args_.out[r] = merged(parts, row.blocks(), 1, top);
    args_.out[r].at_maximum = tops[top] == m;
  }

  const DirectionArguments& args_;
  const Rows& rows_;
};

template <class V, class S>
inline void direction_rows(const DirectionArguments& args) {
  DirectionPass<V, S>(args).run();
}

}  // namespace softgrad::SOFTGRAD_ISA
