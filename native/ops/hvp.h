// (a·(Diag(p) - p pᵀ) + b·p pᵀ)·v with one vector v for each row, in one read of rows and vectors if a row fits in the
// cache:
//
//   CrossEntropyHessian   from logits: a = (M + 2ζ·lse)/denominator, b = 2ζ/denominator; of the targets the Hessian
//                         depends on M = Σ y alone
//   SoftmaxJacobian       from the probabilities p: a = 1, b = 0
#pragma once

#include "layout/column_tile.h"
#include "layout/long_row.h"
#include "layout/row_tile.h"
#include "layout/tile.h"
#include "ops/arguments.h"
#include "ops/curvature.h"
#include "ops/loss_sum.h"
#include "ops/z_loss.h"

namespace softgrad::SOFTGRAD_ISA {

// The headroom that keeps exponentials normal numbers. Products with v are doubles, so float rows can have more of it,
// for tails that a large v multiplies. Probabilities below 2^-1086 (float: 2^-246) count as 0.
template <class Scalar>
inline constexpr double hvp_headroom = sizeof(Scalar) == 4 ? 120 : 64;

// Exponentials that are computed again from the logits.
template <class V, class S>
struct Exponentials {
  const S* z;
  ReducedMaximum<V> reduced;

  template <class Lanes>
  V operator()(int64_t i, Lanes lanes) const {
    return exp_difference(lanes.load(z + i, -__builtin_inf()), reduced).value;
  }
};

template <class V, class S>
struct CrossEntropyHessian {
  const HvpArguments& args;

  const Rows& rows() const { return args.logits; }
  bool skips(int64_t row) const { return args.targets.labels && args.spec.ignores(args.targets.label(row)); }

  // The statistics of the rows from `first` on, and exponentials, which the tile keeps.
  template <Tile R>
  void start(int64_t first, R& rows, BatchStatistics& batch) const {
    batch.set_headroom(hvp_headroom<typename V::Scalar>);
    rows.template statistics<true>(batch, given(first));
  }
  void start(int64_t row, LongRow<V, S>& logits, BatchStatistics& batch) const {
    batch.headroom[0] = hvp_headroom<typename V::Scalar>;
    logits.statistics(batch, given(row));
  }
  const RowStatistics* given(int64_t row) const { return args.statistics ? args.statistics + row : nullptr; }
  const DirectionStatistics* direction(int64_t row) const { return args.directions ? args.directions + row : nullptr; }
  // The exponentials of a block of a long row.
  Exponentials<V, S> exponentials(const S* z, const BatchStatistics& batch) const {
    using T = typename V::Scalar;
    return {z, ReducedMaximum<V>(V(static_cast<T>(batch.maximum[0])), V(T(hvp_headroom<T>)))};
  }

  void finish(int64_t first, int count, BatchStatistics& batch, BatchProducts& products) const {
    using Number = NumberOf<V>;
    const ZLoss z_loss(args.spec);
    for (int i = 0; i < count; ++i) {
      double row_scale = args.row_scale ? args.row_scale[first + i] : 1;
      products.a[i] = args.mass ? args.mass[first + i] : 1;
      products.b[i] = z_loss.curvature() * row_scale / args.targets.denominator;
      products.row_scale[i] = row_scale;
    }
    const Number denominator = denominator_of<Number>(args.targets);
    for (int i = 0; i < count; i += F64::lanes) {
      Normaliser<Number> normaliser(batch, i);
      Number a = number<Number>(F64::load(products.a + i));
      if (z_loss) a = add(a, z_loss.slope(add(normaliser.log_sum(), normaliser.maximum)));
      a = multiply(a, F64::load(products.row_scale + i));
      F64 headroom = F64::load(batch.headroom + i);
      finish_curvature<Number>(normaliser.sum, divide(a, denominator), headroom, i, batch, products);
    }
  }
};

template <class V, class S>
struct SoftmaxJacobian {
  const SoftmaxVjpArguments& args;

  const Rows& rows() const { return args.probs; }
  bool skips(int64_t) const { return false; }

  template <Tile R>
  void start(int64_t, R& rows, BatchStatistics& batch) const {
    rows.keep_as_is(batch);
  }
  void start(int64_t, LongRow<V, S>& row, BatchStatistics& batch) const { batch.maximum[0] = row.maximum(); }
  const DirectionStatistics* direction(int64_t) const { return nullptr; }
  Stored<V, S> exponentials(const S* p, const BatchStatistics&) const { return {p}; }

  void finish(int64_t, int count, BatchStatistics& batch, BatchProducts& products) const {
    for (int i = 0; i < count; ++i) products.a[i] = 1;
    finish_normalised<NumberOf<V>>(count, batch, products);
  }
};

template <class V, class S>
inline int64_t first_equal(const S* z, int64_t n, typename V::Scalar m) {
  int64_t i = 0;
  while (i + V::lanes <= n && !any(equal(V::load(z + i), V(m)))) i += V::lanes;
  for (; i < n; ++i)
    if (widened<V>(z + i) == m) return i;
  return 0;  // m is NaN, and so is the result
}

// Task: CrossEntropyHessian or SoftmaxJacobian.
template <class V, class S, class Task>
class HvpPass {
 public:
  explicit HvpPass(const Task& task) : task_(task), rows_(task.rows()), v_(task.args.v), out_(task.args.out) {}

  void run() const {
    if (ColumnTile<V, S>::suits(rows_))
      lanes_along_rows();
    else if (rows_.classes <= block_classes<V>)
      lanes_along_classes();
    else
      for (int64_t r = 0; r < rows_.count; ++r) long_row(r);
  }

 private:
  using T = typename V::Scalar;

  // Writes elements begin to begin + n - 1 of the result of a row; buffer: memory for them if they are strided.
  template <class Source>
  void write(int64_t row, int64_t begin, int64_t n, Source exponentials, const S* v, const CurvatureMap<V>& map,
             S* buffer) const {
    char* to = out_.row(row) + begin * out_.class_stride;
    bool direct = out_.class_stride == int64_t(sizeof(S));
    S* result = direct ? reinterpret_cast<S*>(to) : buffer;
    curvature_write<V>(exponentials, v, n, map, result);
    if (!direct) scatter(result, n, to, out_.class_stride);
  }

  static void set_dot(ScalarDD dot, int i, BatchProducts& products) {
    products.dot_hi[i] = dot.hi;
    products.dot_lo[i] = dot.lo;
  }

  static void set_direction(const DirectionStatistics& given, int i, BatchProducts& products) {
    products.pivot[i] = given.pivot;
    set_dot({given.dot_hi, given.dot_lo}, i, products);
  }

  int set_skips(int64_t first, int64_t end, int capacity, BatchStatistics& batch) const {
    int count = static_cast<int>(left_of(end, first, capacity));
    for (int i = 0; i < count; ++i) batch.skip[i] = task_.skips(first + i);
    return count;
  }

  void lanes_along_classes() const {
    int64_t n = rows_.classes, step = (n + 15) / 16 * 16;
    int capacity = RowTile<V, S>::capacity(n);
    int64_t tile_bytes = (RowTile<V, S>::scratch_bytes(n) + 63) / 64 * 64;
    auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
      BatchStatistics batch;
      BatchProducts products;
      RowTile<V, S> rows(rows_, scratch);
      S* packed = reinterpret_cast<S*>(scratch + tile_bytes);
      for (; first < end; first += capacity) {
        int count = set_skips(first, end, capacity, batch);
        rows.load(first, count);
        task_.start(first, rows, batch);
        for (int i = 0; i < count; ++i)
          if (!batch.skip[i]) sum_row(rows, first + i, i, packed, batch, products);
        task_.finish(first, count, batch, products);
        for (int i = 0; i < count; ++i) write_row(rows, first + i, i, packed, packed + step, batch, products);
      }
    };
    for_groups(Groups(rows_, capacity), tile_bytes + 2 * step * int64_t(sizeof(S)), task_.args.threads, group);
  }

  void sum_row(const RowTile<V, S>& rows, int64_t row, int i, S* buffer, const BatchStatistics& batch,
               BatchProducts& products) const {
    if (const DirectionStatistics* given = task_.direction(row)) return set_direction(*given, i, products);
    int64_t n = rows_.classes;
    const S* v = contiguous(v_, row, 0, n, buffer);
    products.pivot[i] = widened<V>(v + first_equal<V>(rows.logits(i), n, static_cast<T>(batch.maximum[i])));
    set_dot(curvature_dot<V>(rows.exponentials(i), v, n, products.pivot[i]), i, products);
  }

  void write_row(const RowTile<V, S>& rows, int64_t row, int i, S* v_buffer, S* out_buffer,
                 const BatchStatistics& batch, const BatchProducts& products) const {
    if (batch.skip[i]) return zero_row(out_, row, sizeof(S));
    int64_t n = rows_.classes;
    auto map = CurvatureMap<V>::of_row(batch, products, i);
    write(row, 0, n, rows.exponentials(i), contiguous(v_, row, 0, n, v_buffer), map, out_buffer);
  }

  // For few classes.
  void lanes_along_rows() const {
    using Tile = ColumnTile<V, S>;
    int64_t bytes = Tile::scratch_bytes(rows_.classes);
    auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
      BatchStatistics batch;
      BatchProducts products;
      Tile rows(rows_, scratch), v(v_, scratch + bytes);
      for (; first < end; first += V::lanes) {
        int count = set_skips(first, end, V::lanes, batch);
        rows.load(first, count);
        v.load(first, count);
        task_.start(first, rows, batch);
        if (const DirectionStatistics* given = task_.direction(first))
          for (int i = 0; i < count; ++i) set_direction(given[i], i, products);
        else
          sum_tile(rows, v, batch, products);
        task_.finish(first, count, batch, products);
        auto map = CurvatureMap<V>::of_lanes(batch, products);
        for (int64_t c = 0; c < rows_.classes; ++c) v.replace(c, map(rows.exponentials(c), v.logits(c)));
        v.write(batch, out_);
      }
    };
    for_groups(Groups(rows_, V::lanes), 2 * bytes, task_.args.threads, group);
  }

  void sum_tile(const ColumnTile<V, S>& rows, const ColumnTile<V, S>& v, const BatchStatistics& batch,
                BatchProducts& products) const {
    V m = load_narrow<V>(batch.maximum), pivot = v.logits(0);
    for (int64_t c = 1; c < rows_.classes; ++c) pivot = select(equal(rows.logits(c), m), v.logits(c), pivot);
    CurvatureSum<V> sum{pivot};
    for (int64_t c = 0; c < rows_.classes; ++c) sum.add(rows.exponentials(c), v.logits(c));
    store_wide(pivot, products.pivot);
    sum.store_lanes(products);
  }

  void long_row(int64_t r) const {
    if (task_.skips(r)) return zero_row(out_, r, sizeof(S));
    BatchStatistics batch;
    BatchProducts products;
    LongRow<V, S> row(rows_.row(r), rows_.class_stride, rows_.classes, task_.args.threads);
    task_.start(r, row, batch);
    Scratch buffers(2 * row.threads() * block_classes<V> * int64_t(sizeof(S)));  // for v and out, for each thread
    auto buffer = [&](int thread) { return reinterpret_cast<S*>(buffers.data()) + 2 * thread * block_classes<V>; };
    if (const DirectionStatistics* given = task_.direction(r))
      set_direction(*given, 0, products);
    else
      sum_long_row(r, row, batch, buffer, products);
    task_.finish(r, 1, batch, products);

    auto map = CurvatureMap<V>::of_row(batch, products, 0);
    row.for_blocks([&](int64_t b, const S* z, int64_t n, int thread) {
      int64_t begin = b * block_classes<V>;
      const S* v = contiguous(v_, r, begin, n, buffer(thread));
      write(r, begin, n, task_.exponentials(z, batch), v, map, buffer(thread) + block_classes<V>);
    });
  }

  template <class Buffer>
  void sum_long_row(int64_t r, LongRow<V, S>& row, const BatchStatistics& batch, Buffer buffer,
                    BatchProducts& products) const {
    S at_maximum;
    gather(v_.row(r) + first_maximum(row, batch) * v_.class_stride, 0, 1, &at_maximum);
    double pivot = products.pivot[0] = widened<V>(&at_maximum);
    Scratch memory(row.blocks() * int64_t(sizeof(ScalarDD)));
    ScalarDD* partial = new (memory.data()) ScalarDD[row.blocks()];
    row.for_blocks([&](int64_t b, const S* z, int64_t n, int thread) {
      const S* v = contiguous(v_, r, b * block_classes<V>, n, buffer(thread));
      partial[b] = curvature_dot<V>(task_.exponentials(z, batch), v, n, pivot);
    });
    ScalarDD dot;
    for (int64_t b = 0; b < row.blocks(); ++b) dot.add(partial[b]);
    set_dot(dot, 0, products);
  }

  // The first class with the largest probability.
  static int64_t first_maximum(LongRow<V, S>& row, const BatchStatistics& batch) {
    Scratch memory(row.blocks() * int64_t(sizeof(int64_t)));
    int64_t* found = reinterpret_cast<int64_t*>(memory.data());
    row.for_blocks([&](int64_t b, const S* z, int64_t n, int) {
      int64_t at = first_equal<V>(z, n, static_cast<T>(batch.maximum[0]));
      found[b] = widened<V>(z + at) == batch.maximum[0] ? b * block_classes<V> + at : -1;
    });
    for (int64_t b = 0; b < row.blocks(); ++b)
      if (found[b] >= 0) return found[b];
    return 0;
  }

  Task task_;
  const Rows& rows_;
  const Rows& v_;
  const Rows& out_;
};

template <class V, class S>
inline void hvp_rows(const HvpArguments& args) {
  HvpPass<V, S, CrossEntropyHessian<V, S>>({args}).run();
}

template <class V, class S>
inline void softmax_vjp_rows(const SoftmaxVjpArguments& args) {
  HvpPass<V, S, SoftmaxJacobian<V, S>>({args}).run();
}

}  // namespace softgrad::SOFTGRAD_ISA
