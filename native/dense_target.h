// Softmax cross-entropy with a weight y_c for every class: class probabilities, and smoothed labels.
//
//   y_c = w_c·((1 - ε)·q_c + ε/C), M = Σ y_c
//   loss = M·log1p(s') + Σ y_c·(m - z_c) + ζ·lse²
//   g_c  = (M + 2ζ·lse)·p_c - y_c
//
// g_c is a difference that may cancel, so everything is computed in double whatever the logits'
// type, y and the products as double-doubles. At the only maximum even p_c = 1 - tiny cancels:
// there g = (Σ_{j≠c} y_j - y_c·s')/(1 + s') + 2ζ·lse·p_c, which does not.
#pragma once

#include "batches.h"
#include "loss_sum.h"
#include "softmax_kernel.h"
#include "z_loss.h"

namespace softgrad::SOFTGRAD_ISA {

struct DenseSums {
  double maximum = 0;
  ExpSum exponentials;
  ScalarDD mass;         // Σ y
  ScalarDD mass_below;   // Σ y over the elements below the maximum
  ScalarDD dot;          // Σ y·(m - z)
  double plain_dot = 0;  // the same in double, where overflow is infinite and not NaN
  int64_t argmax = -1;
  bool impossible = false;  // y > 0 where m - z is infinite: so is the loss

  void add(const DenseSums& other) {
    exponentials.add(other.exponentials);
    mass.add(other.mass);
    mass_below.add(other.mass_below);
    dot.add(other.dot);
    plain_dot += other.plain_dot;
    if (other.argmax >= 0) argmax = other.argmax;
    impossible = impossible || other.impossible;
  }
};

// One block of a row, widened to double: logits and targets.
struct DenseBlock {
  double* z;  // the gradient may take its place
  const double* y_hi;
  const double* y_lo;
  int64_t n;
};

inline constexpr int64_t dense_block = 16384;

template <class V, class S>
class DenseRow {
 public:
  static int64_t scratch_bytes(int64_t classes) {
    int64_t n = classes < dense_block ? classes : dense_block;
    return 4 * ((n + 7) / 8 * 8) * int64_t(sizeof(double));
  }

  DenseRow(const CrossEntropyArguments& a, int64_t row)
      : a_(a),
        row_(row),
        kept_(two_sum(F64(1), F64(-a.spec.label_smoothing))),
        spread_(divide(DD{F64(a.spec.label_smoothing), F64(0)}, DD{F64(double(a.logits.classes)), F64(0)})) {}

  // Block b in scratch; logits and targets are read anew each time.
  DenseBlock block(int64_t b, char* scratch) const {
    int64_t begin = b * dense_block;
    int64_t n = a_.logits.classes - begin < dense_block ? a_.logits.classes - begin : dense_block;
    int64_t step = scratch_bytes(a_.logits.classes) / (4 * int64_t(sizeof(double)));
    double* memory = reinterpret_cast<double*>(scratch);
    double *z = memory, *hi = memory + step, *lo = memory + 2 * step, *buffer = memory + 3 * step;
    const char* row = a_.logits.row(row_) + begin * a_.logits.class_stride;
    widen<V>(row, a_.logits.class_stride, n, z, reinterpret_cast<S*>(buffer));
    load_target(begin, n, hi, buffer);
    weigh_target(begin, n, hi, lo);
    return {z, hi, lo, n};
  }

  DenseSums sums(const DenseBlock& block, int64_t begin, double m, double headroom) const {
    DenseSums result;
    Pivot<F64> pivot{F64(m), F64(headroom)};
    Sum<F64> exponentials, mass, mass_below, dot;
    F64 plain_dot(0);
    const F64 infinity(__builtin_inf()), zero(0), top(m);
    for (int64_t i = 0; i < block.n; i += F64::lanes) {
      int n = block.n - i < F64::lanes ? static_cast<int>(block.n - i) : F64::lanes;
      F64 z = F64::load_first(block.z + i, n, -__builtin_inf());
      F64 hi = F64::load_first(block.y_hi + i, n, 0), lo = F64::load_first(block.y_lo + i, n, 0);
      auto at_maximum = equal(z, top);
      Exponential<F64> x = exp_difference(z, pivot);
      exponentials.add(select(at_maximum, zero, x.value), select(at_maximum, zero, x.residual));
      mass.add(hi, lo);
      mass_below.add(select(at_maximum, zero, hi), select(at_maximum, zero, lo));
      DD below = two_sum(top, zero - z);
      DD product = two_product(hi, below.hi);
      F64 rest = product.lo + (hi * below.lo + lo * below.hi);
      auto nothing = equal(below.hi, infinity);
      dot.add(select(nothing, zero, product.hi), select(nothing, zero, rest));
      plain_dot = plain_dot + select(nothing, zero, product.hi);
      if (any(at_maximum)) {
        result.exponentials.ties += count(at_maximum);
        for (int j = 0; j < n; ++j)
          if (block.z[i + j] == m) result.argmax = begin + i + j;
      }
      if (any(nothing))
        for (int j = 0; j < n; ++j) result.impossible |= m - block.z[i + j] == __builtin_inf() && block.y_hi[i + j] > 0;
    }
    result.exponentials.rest = total(exponentials);
    result.mass = total(mass);
    result.mass_below = total(mass_below);
    result.dot = total(dot);
    result.plain_dot = sum_of_lanes(plain_dot);
    return result;
  }

  // (c·p - y)·upstream for the block; slope holds c/(1 + s') without the headroom.
  void write_gradient(const DenseBlock& block, int64_t begin, double m, double headroom, DD slope, DD upstream) const {
    Pivot<F64> pivot{F64(m), F64(headroom)};
    for (int64_t i = 0; i < block.n; i += F64::lanes) {
      int n = block.n - i < F64::lanes ? static_cast<int>(block.n - i) : F64::lanes;
      F64 e = exp_difference(F64::load_first(block.z + i, n, -__builtin_inf()), pivot).value;
      F64 y_hi = F64::load_first(block.y_hi + i, n, 0), y_lo = F64::load_first(block.y_lo + i, n, 0);
      DD product = two_product(e, slope.hi);
      DD difference = two_sum(product.hi, F64(0) - y_hi);
      F64 rest = difference.lo + (multiply_add(e, slope.lo, product.lo) - y_lo);
      F64 g = multiply_add(difference.hi, upstream.hi, rest * upstream.hi + difference.hi * upstream.lo);
      g.store_first(block.z + i, n);
    }
    char* out = a_.gradient.row(row_) + begin * a_.gradient.class_stride;
    for (int64_t i = 0; i < block.n; i += V::lanes) {
      int n = block.n - i < V::lanes ? static_cast<int>(block.n - i) : V::lanes;
      double wide[Batch::rows] = {};
      __builtin_memcpy(wide, block.z + i, n * sizeof(double));
      S narrow[V::lanes];
      load_narrow<V>(wide).store(narrow);
      scatter(narrow, n, out + i * a_.gradient.class_stride, a_.gradient.class_stride);
    }
  }

 private:
  template <class U, class E>
  static void widen(const char* row, int64_t stride, int64_t n, double* to, E* buffer) {
    const E* from = contiguous(row, stride, n, buffer);
    for (int64_t i = 0; i < n; i += U::lanes) {
      int count = n - i < U::lanes ? static_cast<int>(n - i) : U::lanes;
      double wide[Batch::rows];
      store_wide(U::load_first(from + i, count, 0), wide);
      __builtin_memcpy(to + i, wide, count * sizeof(double));
    }
  }

  void load_target(int64_t begin, int64_t n, double* q, double* buffer) const {
    if (a_.targets.labels) {
      __builtin_memset(q, 0, n * sizeof(double));
      int64_t y = a_.targets.labels[row_] - begin;
      if (y >= 0 && y < n) q[y] = 1;
      return;
    }
    const char* row = a_.targets.probabilities.row(row_) + begin * a_.targets.probabilities.class_stride;
    switch (a_.targets.dtype) {
      case DType::float16:
        return widen<F32>(row, a_.targets.probabilities.class_stride, n, q, reinterpret_cast<Half*>(buffer));
      case DType::bfloat16:
        return widen<F32>(row, a_.targets.probabilities.class_stride, n, q, reinterpret_cast<BFloat16*>(buffer));
      case DType::float32:
        return widen<F32>(row, a_.targets.probabilities.class_stride, n, q, reinterpret_cast<float*>(buffer));
      case DType::float64:
        return gather(row, a_.targets.probabilities.class_stride, n, q);
    }
  }

  // y = w·((1 - ε)·q + ε/C) in place, and what rounding y to double leaves.
  void weigh_target(int64_t begin, int64_t n, double* hi, double* lo) const {
    if (a_.spec.label_smoothing == 0 && !a_.targets.class_weight) {
      __builtin_memset(lo, 0, n * sizeof(double));
      return;
    }
    for (int64_t i = 0; i < n; i += F64::lanes) {
      int count = n - i < F64::lanes ? static_cast<int>(n - i) : F64::lanes;
      DD y = {F64::load_first(hi + i, count, 0), F64(0)};
      if (a_.spec.label_smoothing != 0) y = add(multiply(kept_, y.hi), spread_);
      if (a_.targets.class_weight) y = multiply(y, F64::load_first(a_.targets.class_weight + begin + i, count, 0));
      y.hi.store_first(hi + i, count);
      y.lo.store_first(lo + i, count);
    }
  }

  const CrossEntropyArguments& a_;
  int64_t row_;
  DD kept_, spread_;
};

inline double first_lane(F64 v) {
  double lanes[F64::lanes];
  v.store(lanes);
  return lanes[0];
}

inline DD broadcast(ScalarDD x) { return {F64(x.hi), F64(x.lo)}; }
inline DD broadcast_first(DD x) { return {F64(first_lane(x.hi)), F64(first_lane(x.lo))}; }

// Blocks of one row, each handed to body(b, block), on one thread or several.
template <class Row, class Body>
inline void for_dense_blocks(const Row& row, int64_t blocks, char* scratch, int64_t scratch_bytes, int threads,
                             Body body) {
  if (threads == 1) {
    for (int64_t b = 0; b < blocks; ++b) body(b, row.block(b, scratch));
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t b = 0; b < blocks; ++b) body(b, row.block(b, scratch + thread_index() * scratch_bytes));
}

template <class V, class S>
inline ScalarDD dense_row(const CrossEntropyArguments& a, int64_t r, char* scratch, int64_t scratch_bytes, int threads,
                          DenseSums* partial, Batch& batch) {
  constexpr double headroom = 512;
  int64_t blocks = (a.logits.classes + dense_block - 1) / dense_block;
  DenseRow<V, S> row(a, r);
  for_dense_blocks(row, blocks, scratch, scratch_bytes, threads, [&](int64_t b, const DenseBlock& block) {
    partial[b].maximum = row_maximum<F64>(block.z, block.n);
  });
  F64 m(-__builtin_inf());
  for (int64_t b = 0; b < blocks; ++b) m = maximum(m, F64(partial[b].maximum));
  double top = first_lane(m);
  for_dense_blocks(row, blocks, scratch, scratch_bytes, threads, [&](int64_t b, const DenseBlock& block) {
    partial[b] = row.sums(block, b * dense_block, top, headroom);
  });
  DenseSums sums;
  for (int64_t b = 0; b < blocks; ++b) sums.add(partial[b]);

  batch.maximum[0] = top;
  batch.headroom[0] = headroom;
  batch.rest_hi[0] = sums.exponentials.rest.hi;
  batch.rest_lo[0] = sums.exponentials.rest.lo;
  batch.ties[0] = static_cast<double>(sums.exponentials.ties);
  Normalizer<DD> normalizer(batch, 0);
  DD log_sum = normalizer.log_sum();
  DD mass = broadcast(sums.mass);
  DD loss = add(multiply(log_sum, mass), broadcast(sums.dot));
  F64 plain = log_sum.hi * mass.hi + F64(sums.plain_dot);
  DD factor = mass;
  DD slope = {F64(0), F64(0)};
  if (ZLoss z_loss(a.spec); z_loss) {
    DD lse = add(log_sum, normalizer.maximum);
    loss = add(loss, z_loss.value(lse));
    plain = plain + z_loss.value(lse.hi);
    slope = z_loss.slope(lse);
    factor = add(factor, slope);
  }
  // The second part of an infinite sum is not a number; the sum is.
  if (sums.impossible) plain = F64(__builtin_inf()) + log_sum.hi;
  if (sums.impossible || first_lane(plain) == __builtin_inf()) loss = {plain, F64(0)};

  if (a.gradient.data) {
    DD one = {F64(a.row_scale ? a.row_scale[r] : 1), F64(0)};
    DD upstream = divide(one, denominator_of<DD>(a.targets));
    DD scale = broadcast_first(ldexp_floor(divide(factor, normalizer.sum), F64(-headroom)));
    double at_maximum = 0;
    bool single = sums.exponentials.ties == 1;
    for_dense_blocks(row, blocks, scratch, scratch_bytes, threads, [&](int64_t b, const DenseBlock& block) {
      int64_t begin = b * dense_block;
      if (single && sums.argmax >= begin && sums.argmax < begin + block.n) {
        int64_t i = sums.argmax - begin;
        DD y = {F64(block.y_hi[i]), F64(block.y_lo[i])};
        DD others = add(add(broadcast(sums.mass_below), negative(multiply(y, normalizer.excess))), slope);
        DD g = multiply(divide(others, normalizer.sum), upstream);
        at_maximum = first_lane(g.hi + g.lo);
      }
      row.write_gradient(block, begin, top, headroom, scale, upstream);
    });
    if (single) {
      char* p = a.gradient.row(r) + sums.argmax * a.gradient.class_stride;
      V(static_cast<typename V::Scalar>(at_maximum)).store_first(reinterpret_cast<S*>(p), 1);
    }
  }
  return {first_lane(loss.hi), first_lane(loss.lo)};
}

inline void emit_row_loss(const CrossEntropyArguments& a, int64_t r, ScalarDD loss, LossSum& sum) {
  alignas(64) double hi[Batch::rows] = {loss.hi}, lo[Batch::rows] = {loss.lo};
  emit_losses(a, r, 1, hi, lo, sum);
}

template <class V, class S>
inline double dense_rows(const CrossEntropyArguments& a) {
  int64_t blocks = (a.logits.classes + dense_block - 1) / dense_block;
  int64_t bytes = DenseRow<V, S>::scratch_bytes(a.logits.classes);
  bool within_rows = a.logits.count < a.threads && blocks > 1;
  int inner = within_rows ? a.threads : 1, outer = within_rows ? 1 : a.threads;
  Groups groups(a.logits, 1);
  GroupSums sums(groups.count);
  int64_t partial_bytes = (blocks * int64_t(sizeof(DenseSums)) + 63) / 64 * 64;
  auto group = [&](int64_t group, int64_t first, int64_t end, char* scratch) {
    Batch batch;
    DenseSums* partial = new (scratch) DenseSums[blocks];
    for (int64_t r = first; r < end; ++r) {
      ScalarDD loss;
      bool ignored = a.targets.labels && a.spec.ignores(a.targets.labels[r]);
      if (!ignored)
        loss = dense_row<V, S>(a, r, scratch + partial_bytes, bytes, inner, partial, batch);
      else if (a.gradient.data)
        zero_row(a.gradient, r, sizeof(S));
      emit_row_loss(a, r, loss, sums[group]);
    }
  };
  for_groups(groups, partial_bytes + bytes * inner, outer, group);
  return a.loss ? 0 : sums.mean(a);
}

}  // namespace softgrad::SOFTGRAD_ISA
