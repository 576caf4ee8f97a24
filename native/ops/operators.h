// Products of the Jacobian and the Hessian operators, which hold their probabilities, with one vector
// for each row or with a block of vectors.
#pragma once

#include "layout/groups.h"
#include "layout/column_tile.h"
#include "ops/curvature.h"
#include "module/kernels.h"
#include "module/threads.h"

namespace softgrad::SOFTGRAD_ISA {

// v - (1ᵀv) p: the pivot's entry, v_* (1 - p_*) - p_* Σ_{i≠*} v_i without a cancellation, is written afterwards.
template <class V>
struct LogSoftmaxTransposedMap;

template <>
struct LogSoftmaxTransposedMap<F32> {
  F64 sum[2];

  static LogSoftmaxTransposedMap of_lanes(const Curvature& c) {
    return {{F64::load(c.dot_hi), F64::load(c.dot_hi + F64::lanes)}};
  }
  static LogSoftmaxTransposedMap of_row(const Curvature& c, int i) { return {{c.dot_hi[i], c.dot_hi[i]}}; }
  F32 operator()(F32 p, F32 v) const { return join(lower(v) - lower(p) * sum[0], upper(v) - upper(p) * sum[1]); }
};

template <>
struct LogSoftmaxTransposedMap<F64> {
  DD sum;

  static LogSoftmaxTransposedMap of_lanes(const Curvature& c) { return {{F64::load(c.dot_hi), F64::load(c.dot_lo)}}; }
  static LogSoftmaxTransposedMap of_row(const Curvature& c, int i) { return {{c.dot_hi[i], c.dot_lo[i]}}; }
  F64 operator()(F64 p, F64 v) const {
    DD result = add(negative(multiply(sum, p)), v);
    return result.hi + result.lo;
  }
};

// Σ v_i as a double-double, for float rows too: without v_* it may be far smaller than v_*.
template <class V>
struct PlainSum;

template <>
struct PlainSum<F32> {
  Sum<F64> low, high;

  void add(F32 v) {
    low.add(lower(v), F64(0));
    high.add(upper(v), F64(0));
  }
  ScalarDD total() const {
    ScalarDD sum = SOFTGRAD_ISA::total(low);
    sum.add(SOFTGRAD_ISA::total(high));
    return sum;
  }
  void store_lanes(Curvature& to) const {
    store(fast_two_sum(low.value, low.error), to.dot_hi, to.dot_lo);
    store(fast_two_sum(high.value, high.error), to.dot_hi + F64::lanes, to.dot_lo + F64::lanes);
  }
};

template <>
struct PlainSum<F64> {
  Sum<F64> sum;

  void add(F64 v) { sum.add(v, F64(0)); }
  ScalarDD total() const { return SOFTGRAD_ISA::total(sum); }
  void store_lanes(Curvature& to) const { store(fast_two_sum(sum.value, sum.error), to.dot_hi, to.dot_lo); }
};

template <class V>
inline ScalarDD plain_sum(const typename V::Scalar* v, int64_t n) {
  PlainSum<V> sum;
  for_vectors<V>(n, [&](int64_t i, auto lanes) { sum.add(lanes.load(v + i, 0)); });
  return sum.total();
}

template <class V>
struct Ones {
  template <class Lanes>
  V operator()(int64_t, Lanes) const {
    return V(1);
  }
};

template <class V, OperatorKind kind>
class OperatorProduct {
 public:
  using T = typename V::Scalar;

  explicit OperatorProduct(const OperatorArguments& a) : a_(a) {}

  void run() const {
    if (vectors_adjacent() && (a_.columns > 1 || probs_adjacent()))
      lanes_along_vectors();
    else if (a_.columns == 1 && a_.v.classes <= few_classes)
      lanes_along_rows();
    else
      lanes_along_classes();
  }

 private:
  static constexpr int W = V::lanes;
  static constexpr bool transposed = kind == OperatorKind::log_softmax_transposed;
  static constexpr int64_t block = operator_block;

  static bool adjacent(const Rows& rows) {
    return rows.neighbour_stride() == int64_t(sizeof(T)) && rows.class_stride != int64_t(sizeof(T));
  }
  bool vectors_adjacent() const { return adjacent(a_.v) && adjacent(a_.out); }
  bool probs_adjacent() const {
    return adjacent(a_.probs) && inner(a_.probs) == inner(a_.v) && inner(a_.out) == inner(a_.v);
  }
  static int64_t inner(const Rows& rows) { return rows.outer_axes ? rows.outer_shape[rows.outer_axes - 1] : 1; }

  T at_pivot(int64_t vector) const {
    const char* v = a_.v.row(vector) + a_.pivot[vector / a_.columns] * a_.v.class_stride;
    T value;
    gather(v, 0, 1, &value);
    return value;
  }

  // Fills lane i for a vector whose dot is known, or will be.
  void start(int64_t vector, int i, double pivot, Curvature& curvature) const {
    int64_t row = vector / a_.columns;
    curvature.pivot[i] = pivot;
    curvature.jacobian[i] = a_.jacobian ? a_.jacobian[row] : 1;
    curvature.outer[i] = a_.outer ? a_.outer[row] : 0;
  }

  static void finish(Batch& batch, Curvature& curvature, int lanes) {
    if (!transposed) finish_normalised<typename NumberOf<V>::type>(lanes, batch, curvature);
  }

  static auto map_of_row(const Batch& batch, const Curvature& curvature) {
    if constexpr (transposed)
      return LogSoftmaxTransposedMap<V>::of_row(curvature, 0);
    else
      return CurvatureMap<V>::of_row(batch, curvature, 0);
  }
  static auto map_of_lanes(const Batch& batch, const Curvature& curvature) {
    if constexpr (transposed)
      return LogSoftmaxTransposedMap<V>::of_lanes(curvature);
    else
      return CurvatureMap<V>::of_lanes(batch, curvature);
  }

  void write_pivot(int64_t vector, double sum_hi, double sum_lo) const {
    int64_t row = vector / a_.columns, pivot = a_.pivot[row];
    double v = at_pivot(vector);
    ScalarDD others = {sum_hi, sum_lo};
    others.add(-v);
    T p;
    gather(a_.probs.row(row) + pivot * a_.probs.class_stride, 0, 1, &p);
    T value = static_cast<T>(v * a_.rest[row] - p * (others.hi + others.lo));
    scatter(&value, 1, a_.out.row(vector) + pivot * a_.out.class_stride, 0);
  }

  // Block after block, partial sums merged in order: the same for every number of threads.
  void lanes_along_classes() const {
    int64_t n = a_.v.classes, blocks = (n + block - 1) / block;
    bool within_rows = a_.v.count < a_.threads && blocks > 1;
    Groups groups(a_.v, 1);
    Scratch buffers(within_rows ? a_.threads * 3 * block * int64_t(sizeof(T)) : 0);
    int64_t partial_bytes = (blocks * int64_t(sizeof(ScalarDD)) + 63) / 64 * 64;
    int64_t buffer_bytes = 3 * (blocks > 1 ? block : (n + 15) / 16 * 16) * int64_t(sizeof(T));
    auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
      BlockLoop loop = {blocks, within_rows ? a_.threads : 1, within_rows ? buffers.data() : scratch + partial_bytes};
      ScalarDD* partial = new (scratch) ScalarDD[blocks];
      Batch batch;
      Curvature curvature;
      for (int64_t vector = first; vector < end; ++vector) multiply_vector(vector, loop, partial, batch, curvature);
    };
    for_groups(groups, partial_bytes + buffer_bytes, within_rows ? 1 : a_.threads, group);
  }

  // The blocks of one vector, on one thread or several, each of which has memory for one block.
  struct BlockLoop {
    int64_t blocks;
    int threads;
    char* memory;

    template <class Body>
    void run(Body body) const {
      if (threads == 1) {
        for (int64_t b = 0; b < blocks; ++b) body(b, memory);
        return;
      }
#pragma omp parallel for num_threads(threads) schedule(static)
      for (int64_t b = 0; b < blocks; ++b) body(b, memory + thread_index() * 3 * block * int64_t(sizeof(T)));
    }
  };

  void multiply_vector(int64_t vector, const BlockLoop& loop, ScalarDD* partial, Batch& batch,
                       Curvature& curvature) const {
    start(vector, 0, at_pivot(vector), curvature);
    double pivot = curvature.pivot[0];
    loop.run([&](int64_t b, char* memory) { partial[b] = Block(a_, vector, b, memory).dot(pivot); });
    ScalarDD sum;
    for (int64_t b = 0; b < loop.blocks; ++b) sum.add(partial[b]);
    curvature.dot_hi[0] = sum.hi;
    curvature.dot_lo[0] = sum.lo;
    finish(batch, curvature, 1);
    auto map = map_of_row(batch, curvature);
    loop.run([&](int64_t b, char* memory) { Block(a_, vector, b, memory).write(map); });
    if (transposed) write_pivot(vector, sum.hi, sum.lo);
  }

  // One block of one vector: in place, or gathered into memory.
  struct Block {
    int64_t n;
    Stored<V, T> probs;
    const T* v;
    T* out;
    char* to;
    int64_t stride;

    Block(const OperatorArguments& a, int64_t vector, int64_t b, char* memory) {
      int64_t begin = b * block;
      n = left_of(a.v.classes, begin, block);
      int64_t step = a.v.classes < block ? (a.v.classes + 15) / 16 * 16 : block;
      T* buffer = reinterpret_cast<T*>(memory);
      const char* p = a.probs.row(vector / a.columns) + begin * a.probs.class_stride;
      probs.e = contiguous(p, a.probs.class_stride, n, buffer);
      v = contiguous(a.v.row(vector) + begin * a.v.class_stride, a.v.class_stride, n, buffer + step);
      to = a.out.row(vector) + begin * a.out.class_stride;
      stride = a.out.class_stride;
      out = stride == int64_t(sizeof(T)) ? reinterpret_cast<T*>(to) : buffer + 2 * step;
    }

    ScalarDD dot(double pivot) const {
      if constexpr (transposed)
        return plain_sum<V>(v, n);
      else
        return curvature_dot<V>(probs, v, n, pivot);
    }

    template <class Map>
    void write(const Map& map) const {
      if constexpr (kind == OperatorKind::log_softmax)
        curvature_write<V>(Ones<V>(), v, n, map, out);
      else
        curvature_write<V>(probs, v, n, map, out);
      if (stride != int64_t(sizeof(T))) scatter(out, n, to, stride);
    }
  };

  // Few classes: as many rows as there are lanes, turned into columns.
  void lanes_along_rows() const {
    using Tile = ColumnTile<V, T>;
    int64_t n = a_.v.classes, bytes = Tile::scratch_bytes(n);
    auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
      Batch batch;
      Curvature curvature;
      Tile probs(a_.probs, scratch), v(a_.v, scratch + bytes);
      for (; first < end; first += W) {
        int count = lanes_left<V>(end, first);
        probs.load(first, count);
        v.load(first, count);
        for (int i = 0; i < count; ++i) start(first + i, i, v.logit(i, a_.pivot[first + i]), curvature);
        auto map = sum_and_map(
            n, [&](int64_t c) { return probs.logits(c); }, [&](int64_t c) { return v.logits(c); }, batch, curvature);
        for (int64_t c = 0; c < n; ++c) v.replace(c, map(factor(probs.logits(c)), v.logits(c)));
        v.write(batch, a_.out);
        write_pivots(first, count, curvature);
      }
    };
    for_groups(Groups(a_.v, W), 2 * bytes, a_.threads, group);
  }

  // As many vectors as there are lanes, class after class: a block of vectors that share a row of
  // probabilities, or neighbouring rows of a class axis that is not the last.
  void lanes_along_vectors() const {
    int64_t run = a_.columns > 1 ? a_.columns : inner(a_.v), tiles_in_run = (run + W - 1) / W;
    int64_t tiles = a_.v.count / run * tiles_in_run;
#pragma omp parallel for num_threads(a_.threads) schedule(static) if (a_.threads > 1)
    for (int64_t tile = 0; tile < tiles; ++tile) {
      int64_t within = tile % tiles_in_run * W, first = tile / tiles_in_run * run + within;
      with_lanes<V>(lanes_left<V>(run, within), [&](auto lanes) {
        if (a_.columns > 1)
          vector_tile<true>(first, lanes);
        else
          vector_tile<false>(first, lanes);
      });
    }
  }

  template <bool shared, class Lanes>  // shared: all vectors have the same row of probabilities
  void vector_tile(int64_t first, Lanes lanes) const {
    Batch batch;
    Curvature curvature;
    for (int i = 0; i < lanes.count; ++i) start(first + i, i, at_pivot(first + i), curvature);
    const char* v = a_.v.row(first);
    const char* p = a_.probs.row(first / a_.columns);
    char* out = a_.out.row(first);
    const int64_t p_stride = a_.probs.class_stride, v_stride = a_.v.class_stride, out_stride = a_.out.class_stride;
    auto probability = [=](int64_t c) {
      const T* e = reinterpret_cast<const T*>(p + c * p_stride);
      if constexpr (shared)
        return V(*e);
      else
        return lanes.load(e, 0);
    };
    auto direction = [=](int64_t c) { return lanes.load(reinterpret_cast<const T*>(v + c * v_stride), 0); };
    auto map = sum_and_map(a_.v.classes, probability, direction, batch, curvature);
    for (int64_t c = 0; c < a_.v.classes; ++c)
      lanes.store(map(factor(probability(c)), direction(c)), reinterpret_cast<T*>(out + c * out_stride));
    write_pivots(first, lanes.count, curvature);
  }

  // Of the vectors in the lanes: their sums over all classes, and what these make of each class.
  template <class Probability, class Direction>
  static auto sum_and_map(int64_t classes, Probability probability, Direction direction, Batch& batch,
                          Curvature& curvature) {
    if constexpr (transposed) {
      PlainSum<V> sum;
      for (int64_t c = 0; c < classes; ++c) sum.add(direction(c));
      sum.store_lanes(curvature);
    } else {
      CurvatureSum<V> sum{load_narrow<V>(curvature.pivot)};
      for (int64_t c = 0; c < classes; ++c) sum.add(probability(c), direction(c));
      sum.store_lanes(curvature);
    }
    finish(batch, curvature, W);
    return map_of_lanes(batch, curvature);
  }

  static V factor(V probability) { return kind == OperatorKind::log_softmax ? V(1) : probability; }

  void write_pivots(int64_t first, int count, const Curvature& curvature) const {
    if (!transposed) return;
    for (int i = 0; i < count; ++i) write_pivot(first + i, curvature.dot_hi[i], curvature.dot_lo[i]);
  }

  const OperatorArguments& a_;
};

}  // namespace softgrad::SOFTGRAD_ISA
