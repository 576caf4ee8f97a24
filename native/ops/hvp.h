// One symmetric product with a vector v for each row,
//
//   (a·(Diag(p) - p pᵀ) + b·p pᵀ)·v
//
// in one read of the rows and the vectors while a row fits in the cache:
//
//   CrossEntropyHessian   from logits: a = (M + 2ζ·lse)/denominator, b = 2ζ/denominator; M = Σ y is all that the
//                         Hessian sees of the targets
//   SoftmaxJacobian       from softmax's result p: a = 1, b = 0
#pragma once

#include "layout/column_tile.h"
#include "ops/curvature.h"
#include "layout/tile.h"
#include "module/kernels.h"
#include "layout/long_row.h"
#include "ops/loss_sum.h"
#include "layout/row_tile.h"
#include "ops/z_loss.h"

namespace softgrad::SOFTGRAD_ISA {

// Keeps every probability that is not zero itself normal. Products with v are doubles: those of float rows leave more
// of the range, for the tails that a large v brings back. Probabilities below 2^-1086 (float: 2^-246) count as 0.
template <class Scalar>
inline constexpr double hvp_headroom = sizeof(Scalar) == 4 ? 120 : 64;

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

template <class V, class S>
struct CrossEntropyHessian {
  const HvpArguments& a;

  const Rows& rows() const { return a.logits; }
  bool skips(int64_t row) const { return a.ignores(row); }

  // The statistics of the rows from `first` on, and exponentials that the family keeps.
  template <Family F>
  void start(int64_t first, F& rows, Batch& batch) const {
    batch.set_headroom(hvp_headroom<typename V::Scalar>);
    rows.template statistics<true>(batch, given(first));
  }
  void start(int64_t row, LongRow<V, S>& logits, Batch& batch) const {
    batch.headroom[0] = hvp_headroom<typename V::Scalar>;
    logits.statistics(batch, given(row));
  }
  const RowStatistics* given(int64_t row) const { return a.statistics ? a.statistics + row : nullptr; }
  // Those of a block of a long row.
  Exponentials<V, S> exponentials(const S* z, const Batch& batch) const {
    using T = typename V::Scalar;
    return {z, Pivot<V>(V(static_cast<T>(batch.maximum[0])), V(T(hvp_headroom<T>)))};
  }

  void finish(int64_t first, int count, Batch& batch, Curvature& curvature) const {
    using Number = typename NumberOf<V>::type;
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
};

template <class V, class S>
struct SoftmaxJacobian {
  const SoftmaxVjpArguments& a;

  const Rows& rows() const { return a.probs; }
  bool skips(int64_t) const { return false; }

  template <Family F>
  void start(int64_t, F& rows, Batch& batch) const {
    rows.keep_as_is(batch);
  }
  void start(int64_t, LongRow<V, S>& row, Batch& batch) const { batch.maximum[0] = row.maximum(); }
  Stored<V, S> exponentials(const S* p, const Batch&) const { return {p}; }

  void finish(int64_t, int count, Batch& batch, Curvature& curvature) const {
    for (int i = 0; i < count; ++i) curvature.jacobian[i] = 1;
    finish_normalised<typename NumberOf<V>::type>(count, batch, curvature);
  }
};

template <class V, class S>
inline int64_t first_equal(const S* z, int64_t n, typename V::Scalar m) {
  int64_t i = 0;
  while (i + V::lanes <= n && !any(equal(V::load(z + i), V(m)))) i += V::lanes;
  for (; i < n; ++i)
    if (widened<V>(z + i) == m) return i;
  return 0;  // NaN: so will be the result
}

// Task: CrossEntropyHessian or SoftmaxJacobian.
template <class V, class S, class Task>
class HvpPass {
 public:
  explicit HvpPass(const Task& task) : task_(task), rows_(task.rows()), v_(task.a.v), out_(task.a.out) {}

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

  const S* direction(int64_t row, int64_t begin, int64_t n, S* buffer) const {
    return contiguous(v_.row(row) + begin * v_.class_stride, v_.class_stride, n, buffer);
  }

  // Elements begin to begin + n - 1 of a row's result; buffer has room for them where they are strided.
  template <class Source>
  void write(int64_t row, int64_t begin, int64_t n, Source exponentials, const S* v, const CurvatureMap<V>& map,
             S* buffer) const {
    char* to = out_.row(row) + begin * out_.class_stride;
    bool direct = out_.class_stride == int64_t(sizeof(S));
    S* result = direct ? reinterpret_cast<S*>(to) : buffer;
    curvature_write<V>(exponentials, v, n, map, result);
    if (!direct) scatter(result, n, to, out_.class_stride);
  }

  static void set_dot(ScalarDD dot, int i, Curvature& curvature) {
    curvature.dot_hi[i] = dot.hi;
    curvature.dot_lo[i] = dot.lo;
  }

  int set_skips(int64_t first, int64_t end, int capacity, Batch& batch) const {
    int count = static_cast<int>(left_of(end, first, capacity));
    for (int i = 0; i < count; ++i) batch.skip[i] = task_.skips(first + i);
    return count;
  }

  void lanes_along_classes() const {
    int64_t n = rows_.classes, step = (n + 15) / 16 * 16;
    int capacity = RowBatch<V, S>::capacity(n);
    int64_t family_bytes = (RowBatch<V, S>::scratch_bytes(n) + 63) / 64 * 64;
    auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
      Batch batch;
      Curvature curvature;
      RowBatch<V, S> rows(rows_, scratch);
      S* packed = reinterpret_cast<S*>(scratch + family_bytes);
      for (; first < end; first += capacity) {
        int count = set_skips(first, end, capacity, batch);
        rows.load(first, count);
        task_.start(first, rows, batch);
        for (int i = 0; i < count; ++i)
          if (!batch.skip[i]) sum_row(rows, first + i, i, packed, batch, curvature);
        task_.finish(first, count, batch, curvature);
        for (int i = 0; i < count; ++i) write_row(rows, first + i, i, packed, packed + step, batch, curvature);
      }
    };
    for_groups(Groups(rows_, capacity), family_bytes + 2 * step * int64_t(sizeof(S)), task_.a.threads, group);
  }

  void sum_row(const RowBatch<V, S>& rows, int64_t row, int i, S* buffer, const Batch& batch,
               Curvature& curvature) const {
    int64_t n = rows_.classes;
    const S* v = direction(row, 0, n, buffer);
    curvature.pivot[i] = widened<V>(v + first_equal<V>(rows.logits(i), n, static_cast<T>(batch.maximum[i])));
    set_dot(curvature_dot<V>(rows.exponentials(i), v, n, curvature.pivot[i]), i, curvature);
  }

  void write_row(const RowBatch<V, S>& rows, int64_t row, int i, S* v_buffer, S* out_buffer, const Batch& batch,
                 const Curvature& curvature) const {
    if (batch.skip[i]) return zero_row(out_, row, sizeof(S));
    int64_t n = rows_.classes;
    auto map = CurvatureMap<V>::of_row(batch, curvature, i);
    write(row, 0, n, rows.exponentials(i), direction(row, 0, n, v_buffer), map, out_buffer);
  }

  // For few classes.
  void lanes_along_rows() const {
    using Tile = ColumnTile<V, S>;
    int64_t bytes = Tile::scratch_bytes(rows_.classes);
    auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
      Batch batch;
      Curvature curvature;
      Tile rows(rows_, scratch), v(v_, scratch + bytes);
      for (; first < end; first += V::lanes) {
        int count = set_skips(first, end, V::lanes, batch);
        rows.load(first, count);
        v.load(first, count);
        task_.start(first, rows, batch);
        sum_tile(rows, v, batch, curvature);
        task_.finish(first, count, batch, curvature);
        auto map = CurvatureMap<V>::of_lanes(batch, curvature);
        for (int64_t c = 0; c < rows_.classes; ++c) v.replace(c, map(rows.exponentials(c), v.logits(c)));
        v.write(batch, out_);
      }
    };
    for_groups(Groups(rows_, V::lanes), 2 * bytes, task_.a.threads, group);
  }

  void sum_tile(const ColumnTile<V, S>& rows, const ColumnTile<V, S>& v, const Batch& batch,
                Curvature& curvature) const {
    V top = load_narrow<V>(batch.maximum), pivot = v.logits(0);
    for (int64_t c = 1; c < rows_.classes; ++c) pivot = select(equal(rows.logits(c), top), v.logits(c), pivot);
    CurvatureSum<V> sum{pivot};
    for (int64_t c = 0; c < rows_.classes; ++c) sum.add(rows.exponentials(c), v.logits(c));
    store_wide(pivot, curvature.pivot);
    sum.store_lanes(curvature);
  }

  void long_row(int64_t r) const {
    if (task_.skips(r)) return zero_row(out_, r, sizeof(S));
    Batch batch;
    Curvature curvature;
    LongRow<V, S> row(rows_.row(r), rows_.class_stride, rows_.classes, task_.a.threads);
    task_.start(r, row, batch);
    Scratch buffers(2 * row.threads() * block_classes<V> * int64_t(sizeof(S)));  // of v and of out for each thread
    auto buffer = [&](int thread) { return reinterpret_cast<S*>(buffers.data()) + 2 * thread * block_classes<V>; };
    S at_maximum;
    gather(v_.row(r) + first_maximum(row, batch) * v_.class_stride, 0, 1, &at_maximum);
    double pivot = curvature.pivot[0] = widened<V>(&at_maximum);

    Scratch memory(row.blocks() * int64_t(sizeof(ScalarDD)));
    ScalarDD* partial = new (memory.data()) ScalarDD[row.blocks()];
    row.for_blocks([&](int64_t b, const S* z, int64_t n, int thread) {
      const S* v = direction(r, b * block_classes<V>, n, buffer(thread));
      partial[b] = curvature_dot<V>(task_.exponentials(z, batch), v, n, pivot);
    });
    ScalarDD dot;
    for (int64_t b = 0; b < row.blocks(); ++b) dot.add(partial[b]);
    set_dot(dot, 0, curvature);
    task_.finish(r, 1, batch, curvature);

    auto map = CurvatureMap<V>::of_row(batch, curvature, 0);
    row.for_blocks([&](int64_t b, const S* z, int64_t n, int thread) {
      int64_t begin = b * block_classes<V>;
      const S* v = direction(r, begin, n, buffer(thread));
      write(r, begin, n, task_.exponentials(z, batch), v, map, buffer(thread) + block_classes<V>);
    });
  }

  // The first most probable class of a long row.
  static int64_t first_maximum(LongRow<V, S>& row, const Batch& batch) {
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
inline void hvp_rows(const HvpArguments& a) {
  HvpPass<V, S, CrossEntropyHessian<V, S>>({a}).run();
}

template <class V, class S>
inline void softmax_vjp_rows(const SoftmaxVjpArguments& a) {
  HvpPass<V, S, SoftmaxJacobian<V, S>>({a}).run();
}

}  // namespace softgrad::SOFTGRAD_ISA
