// Products of the Jacobian and Hessian operators, which hold probabilities, with one vector or a block of vectors for
// each row.
#pragma once

#include <new>

#include "layout/column_tile.h"
#include "layout/groups.h"
#include "ops/arguments.h"
#include "ops/curvature.h"

namespace softgrad::SOFTGRAD_ISA {

// v - (1ᵀv) p. At the top class this cancels: write_top replaces it by v_* (1 - p_*) - p_* Σ_{i≠*} v_i.
template <class V>
struct LogSoftmaxTransposedMap;

template <>
struct LogSoftmaxTransposedMap<F32> {
  F64 sum[2];

  static LogSoftmaxTransposedMap of_lanes(const BatchProducts& c) {
    return {{F64::load(c.dot_hi), F64::load(c.dot_hi + F64::lanes)}};
  }
  static LogSoftmaxTransposedMap of_row(const BatchProducts& c, int i) { return {{c.dot_hi[i], c.dot_hi[i]}}; }
  F32 operator()(F32 p, F32 v) const { return join(lower(v) - lower(p) * sum[0], upper(v) - upper(p) * sum[1]); }
};

template <>
struct LogSoftmaxTransposedMap<F64> {
  DD sum;

  static LogSoftmaxTransposedMap of_lanes(const BatchProducts& c) {
    return {{F64::load(c.dot_hi), F64::load(c.dot_lo)}};
  }
  static LogSoftmaxTransposedMap of_row(const BatchProducts& c, int i) { return {{c.dot_hi[i], c.dot_lo[i]}}; }
  F64 operator()(F64 p, F64 v) const {
    DD result = add(negative(multiply(sum, p)), v);
    return result.hi + result.lo;
  }
};

// Σ v_i as a double-double for float rows too, because write_top subtracts v_*, and the difference may be small.
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
  void store_lanes(BatchProducts& to) const {
    store(fast_two_sum(low.value, low.error), to.dot_hi, to.dot_lo);
    store(fast_two_sum(high.value, high.error), to.dot_hi + F64::lanes, to.dot_lo + F64::lanes);
  }
};

template <>
struct PlainSum<F64> {
  Sum<F64> sum;

  void add(F64 v) { sum.add(v, F64(0)); }
  ScalarDD total() const { return SOFTGRAD_ISA::total(sum); }
  void store_lanes(BatchProducts& to) const { store(fast_two_sum(sum.value, sum.error), to.dot_hi, to.dot_lo); }
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

  explicit OperatorProduct(const OperatorArguments& args) : args_(args) {}

  void run() const {
    if (vectors_adjacent() && (args_.columns > 1 || probs_adjacent()))
      lanes_along_vectors();
    else if (args_.columns == 1 && args_.v.classes <= few_classes)
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
  bool vectors_adjacent() const { return adjacent(args_.v) && adjacent(args_.out); }
  bool probs_adjacent() const {
    return adjacent(args_.probs) && inner(args_.probs) == inner(args_.v) && inner(args_.out) == inner(args_.v);
  }
  static int64_t inner(const Rows& rows) { return rows.outer_axes ? rows.outer_shape[rows.outer_axes - 1] : 1; }

  // v_*
  T pivot_of(int64_t vector) const {
    const char* v = args_.v.row(vector) + args_.top[vector / args_.columns] * args_.v.class_stride;
    T value;
    gather(v, 0, 1, &value);
    return value;
  }

  // Fills row i of the products, except for the dot.
  void start(int64_t vector, int i, double pivot, BatchProducts& products) const {
    int64_t row = vector / args_.columns;
    products.pivot[i] = pivot;
    products.a[i] = args_.a ? args_.a[row] : 1;
    products.b[i] = args_.b ? args_.b[row] : 0;
  }

  static void finish(BatchStatistics& batch, BatchProducts& products, int lanes) {
    if (!transposed) finish_normalised<NumberOf<V>>(lanes, batch, products);
  }

  static auto map_of_row(const BatchStatistics& batch, const BatchProducts& products) {
    if constexpr (transposed)
      return LogSoftmaxTransposedMap<V>::of_row(products, 0);
    else
      return CurvatureMap<V>::of_row(batch, products, 0);
  }
  static auto map_of_lanes(const BatchStatistics& batch, const BatchProducts& products) {
    if constexpr (transposed)
      return LogSoftmaxTransposedMap<V>::of_lanes(products);
    else
      return CurvatureMap<V>::of_lanes(batch, products);
  }

  void write_top(int64_t vector, double sum_hi, double sum_lo) const {
    int64_t row = vector / args_.columns, top = args_.top[row];
    double v = pivot_of(vector);
    ScalarDD others = {sum_hi, sum_lo};
    others.add(-v);
    T p;
    gather(args_.probs.row(row) + top * args_.probs.class_stride, 0, 1, &p);
    T value = static_cast<T>(v * args_.complement[row] - p * (others.hi + others.lo));
    scatter(&value, 1, args_.out.row(vector) + top * args_.out.class_stride, 0);
  }

  // Partial sums of blocks are added in order, so that they are the same for every number of threads.
  void lanes_along_classes() const {
    int64_t n = args_.v.classes, blocks = (n + block - 1) / block;
    bool within_rows = args_.v.count < args_.threads && blocks > 1;
    Groups groups(args_.v, 1);
    Scratch buffers(within_rows ? args_.threads * 3 * block * int64_t(sizeof(T)) : 0);
    int64_t partial_bytes = (blocks * int64_t(sizeof(ScalarDD)) + 63) / 64 * 64;
    int64_t buffer_bytes = 3 * (blocks > 1 ? block : (n + 15) / 16 * 16) * int64_t(sizeof(T));
    auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
      BlockLoop loop = {blocks, within_rows ? args_.threads : 1,
                        within_rows ? buffers.data() : scratch + partial_bytes};
      ScalarDD* partial = new (scratch) ScalarDD[blocks];
      BatchStatistics batch;
      BatchProducts products;
      for (int64_t vector = first; vector < end; ++vector) multiply_vector(vector, loop, partial, batch, products);
    };
    for_groups(groups, partial_bytes + buffer_bytes, within_rows ? 1 : args_.threads, group);
  }

  // The blocks of one vector, on one or several threads with memory for one block each.
  struct BlockLoop {
    int64_t blocks;
    int threads;
    char* memory;

    template <class Body>
    void run(Body body) const {
      for_shared(blocks, threads,
                 [&](int64_t b, int thread) { body(b, memory + thread * 3 * block * int64_t(sizeof(T))); });
    }
  };

  void multiply_vector(int64_t vector, const BlockLoop& loop, ScalarDD* partial, BatchStatistics& batch,
                       BatchProducts& products) const {
    start(vector, 0, pivot_of(vector), products);
    double pivot = products.pivot[0];
    loop.run([&](int64_t b, char* memory) { partial[b] = Block(args_, vector, b, memory).dot(pivot); });
    ScalarDD sum;
    for (int64_t b = 0; b < loop.blocks; ++b) sum.add(partial[b]);
    products.dot_hi[0] = sum.hi;
    products.dot_lo[0] = sum.lo;
    finish(batch, products, 1);
    auto map = map_of_row(batch, products);
    loop.run([&](int64_t b, char* memory) { Block(args_, vector, b, memory).write(map); });
    if (transposed) write_top(vector, sum.hi, sum.lo);
  }

  // One block of one vector, where it is or gathered into memory.
  struct Block {
    int64_t n;
    Stored<V, T> probs;
    const T* v;
    T* out;
    char* to;
    int64_t stride;

    Block(const OperatorArguments& args, int64_t vector, int64_t b, char* memory) {
      int64_t begin = b * block;
      n = left_of(args.v.classes, begin, block);
      int64_t step = args.v.classes < block ? (args.v.classes + 15) / 16 * 16 : block;
      T* buffer = reinterpret_cast<T*>(memory);
      const char* p = args.probs.row(vector / args.columns) + begin * args.probs.class_stride;
      probs.e = contiguous(p, args.probs.class_stride, n, buffer);
      v = contiguous(args.v.row(vector) + begin * args.v.class_stride, args.v.class_stride, n, buffer + step);
      to = args.out.row(vector) + begin * args.out.class_stride;
      stride = args.out.class_stride;
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

  // For few classes: one row in each lane.
  void lanes_along_rows() const {
    using Tile = ColumnTile<V, T>;
    int64_t n = args_.v.classes, bytes = Tile::scratch_bytes(n);
    auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
      BatchStatistics batch;
      BatchProducts products;
      Tile probs(args_.probs, scratch), v(args_.v, scratch + bytes);
      for (; first < end; first += W) {
        int count = lanes_left<V>(end, first);
        probs.load(first, count);
        v.load(first, count);
        for (int i = 0; i < count; ++i) start(first + i, i, v.logit(i, args_.top[first + i]), products);
        auto map = sum_and_map(
            n, [&](int64_t c) { return probs.logits(c); }, [&](int64_t c) { return v.logits(c); }, batch, products);
        for (int64_t c = 0; c < n; ++c) v.replace(c, map(factor(probs.logits(c)), v.logits(c)));
        v.write(batch, args_.out);
        write_tops(first, count, products);
      }
    };
    for_groups(Groups(args_.v, W), 2 * bytes, args_.threads, group);
  }

  // One vector in each lane: vectors for one row of probabilities, or neighbouring rows of a class axis that is not the
  // last.
  void lanes_along_vectors() const {
    int64_t run = args_.columns > 1 ? args_.columns : inner(args_.v), tiles_in_run = (run + W - 1) / W;
    int64_t tiles = args_.v.count / run * tiles_in_run;
    for_shared(tiles, args_.threads, [&](int64_t tile, int) {
      int64_t within = tile % tiles_in_run * W, first = tile / tiles_in_run * run + within;
      with_lanes<V>(lanes_left<V>(run, within), [&](auto lanes) {
        if (args_.columns > 1)
          vector_tile<true>(first, lanes);
        else
          vector_tile<false>(first, lanes);
      });
    });
  }

  template <bool shared, class Lanes>  // shared: all vectors have the same row of probabilities
  void vector_tile(int64_t first, Lanes lanes) const {
    BatchStatistics batch;
    BatchProducts products;
    for (int i = 0; i < lanes.count; ++i) start(first + i, i, pivot_of(first + i), products);
    const char* v = args_.v.row(first);
    const char* p = args_.probs.row(first / args_.columns);
    char* out = args_.out.row(first);
    const int64_t p_stride = args_.probs.class_stride, v_stride = args_.v.class_stride,
                  out_stride = args_.out.class_stride;
    auto probability = [=](int64_t c) {
      const T* e = reinterpret_cast<const T*>(p + c * p_stride);
      if constexpr (shared)
        return V(*e);
      else
        return lanes.load(e, 0);
    };
    auto direction = [=](int64_t c) { return lanes.load(reinterpret_cast<const T*>(v + c * v_stride), 0); };
    auto map = sum_and_map(args_.v.classes, probability, direction, batch, products);
    for (int64_t c = 0; c < args_.v.classes; ++c)
      lanes.store(map(factor(probability(c)), direction(c)), reinterpret_cast<T*>(out + c * out_stride));
    write_tops(first, lanes.count, products);
  }

  // Sums the vectors in the lanes over all classes; returns the map from their elements to results.
  template <class Probability, class Direction>
  static auto sum_and_map(int64_t classes, Probability probability, Direction direction, BatchStatistics& batch,
                          BatchProducts& products) {
    if constexpr (transposed) {
      PlainSum<V> sum;
      for (int64_t c = 0; c < classes; ++c) sum.add(direction(c));
      sum.store_lanes(products);
    } else {
      CurvatureSum<V> sum{load_narrow<V>(products.pivot)};
      for (int64_t c = 0; c < classes; ++c) sum.add(probability(c), direction(c));
      sum.store_lanes(products);
    }
    finish(batch, products, W);
    return map_of_lanes(batch, products);
  }

  static V factor(V probability) { return kind == OperatorKind::log_softmax ? V(1) : probability; }

  void write_tops(int64_t first, int count, const BatchProducts& products) const {
    if (!transposed) return;
    for (int i = 0; i < count; ++i) write_top(first + i, products.dot_hi[i], products.dot_lo[i]);
  }

  const OperatorArguments& args_;
};

}  // namespace softgrad::SOFTGRAD_ISA
