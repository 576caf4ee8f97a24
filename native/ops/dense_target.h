// Softmax cross-entropy with a weight y_c for every class: class probabilities and smoothed labels.
//
//   y_c = w_c·((1 - ε)·q_c + ε/C), M = Σ y_c
//   loss = M·log1p(s') + Σ y_c·(m - z_c) + ζ·lse²
//   g_c  = (M + 2ζ·lse)·p_c - y_c
//
// g_c is a difference that may cancel. So logits of every type are computed in double, y and the products in
// double-double. If the maximum is unique, p_c there may round to 1 and the difference lose its digits;
// g_c = (Σ_{j≠c} y_j - y_c·s')/(1 + s') + 2ζ·lse·p_c keeps them.
#pragma once

#include "layout/gather.h"
#include "layout/groups.h"
#include "layout/merge_statistics.h"
#include "layout/row_passes.h"
#include "ops/loss_sum.h"
#include "ops/z_loss.h"

namespace softgrad::SOFTGRAD_ISA {

// Logits and targets of one block of a row, in double.
struct DenseBlock {
  double* z;  // may be overwritten by the gradient
  const double* y_hi;
  const double* y_lo;
  int64_t begin, n;
};

// The loss of a row, and the terms of its gradient that all elements share.
struct DenseFormula {
  ScalarDD loss;
  double maximum;
  DD scale;     // of e_k: (M + 2ζ·lse)/(1 + s'), the headroom divided out
  DD upstream;  // row_scale/denominator
  bool only_maximum;

  DenseFormula(const CrossEntropyArguments& args, int64_t row, const RowStatistics& statistics)
      : maximum(statistics.maximum),
        only_maximum(statistics.ties == 1),
        below_(broadcast(statistics.below_hi, statistics.below_lo)) {
    BatchStatistics batch;
    batch.headroom[0] = RowStatistics::headroom;
    set_statistics(statistics, 0, batch);
    Normaliser<DD> normaliser(batch, 0);
    excess_ = broadcast_first(normaliser.excess);
    sum_ = broadcast_first(normaliser.sum);
    DD log_sum = normaliser.log_sum(), mass = broadcast(statistics.mass_hi, statistics.mass_lo), factor = mass;
    DD total = add(multiply(log_sum, mass), broadcast(statistics.dot_hi, statistics.dot_lo));
    F64 plain = log_sum.hi * mass.hi + F64(statistics.dot_hi);
    if (ZLoss z_loss(args.spec); z_loss) {
      DD lse = add(log_sum, normaliser.maximum);
      total = add(total, z_loss.value(lse));
      plain = plain + z_loss.value(lse.hi);
      slope_ = broadcast_first(z_loss.slope(lse));
      factor = add(factor, slope_);
    }
    // The second part of an infinite sum would be NaN.
    if (first_lane(plain) == __builtin_inf()) total = {plain, F64(0)};
    loss = {first_lane(total.hi), first_lane(total.lo)};
    upstream = divide(broadcast(args.row_scale ? args.row_scale[row] : 1, 0), denominator_of<DD>(args.targets));
    scale = broadcast_first(ldexp_floor(divide(factor, normaliser.sum), F64(-RowStatistics::headroom)));
  }

  // The gradient at a unique maximum.
  F64 at_maximum(DD y) const {
    DD others = add(add(below_, negative(multiply(y, excess_))), slope_);
    DD g = multiply(divide(others, sum_), upstream);
    return g.hi + g.lo;
  }

 private:
  DD below_, excess_, sum_, slope_ = broadcast(0, 0);
};

template <class V, class S>
class DenseRow {
 public:
  static int64_t scratch_bytes(int64_t classes) {
    int64_t n = classes < dense_block ? classes : dense_block;
    return 4 * ((n + 7) / 8 * 8) * int64_t(sizeof(double));
  }
  static int64_t blocks(int64_t classes) { return (classes + dense_block - 1) / dense_block; }

  DenseRow(const LossSpec& spec, const Targets& targets, const Rows& logits, int64_t row)
      : spec_(spec),
        targets_(targets),
        logits_(logits),
        row_(row),
        kept_(two_sum(F64(1), F64(-spec.label_smoothing))),
        spread_(divide(broadcast(spec.label_smoothing, 0),
                       broadcast(double(targets.classes ? targets.classes : logits.classes), 0))) {}

  // Reads block b into scratch.
  DenseBlock block(int64_t b, char* scratch) const {
    int64_t begin = b * dense_block, n = left_of(logits_.classes, begin, dense_block);
    int64_t step = scratch_bytes(logits_.classes) / (4 * int64_t(sizeof(double)));
    double* memory = reinterpret_cast<double*>(scratch);
    double *z = memory, *hi = memory + step, *lo = memory + 2 * step, *buffer = memory + 3 * step;
    const char* row = logits_.row(row_) + begin * logits_.class_stride;
    widen<V>(row, logits_.class_stride, n, z, reinterpret_cast<S*>(buffer));
    load_target(begin, n, hi, buffer);
    weigh_target(begin, n, hi, lo);
    return {z, hi, lo, begin, n};
  }

  // The statistics of a block, m being its own maximum.
  RowStatistics statistics(const DenseBlock& block) const {
    RowStatistics result;
    const double m = row_maximum<F64>(block.z, block.n);
    const F64 infinity(__builtin_inf()), zero(0), top(m);
    ReducedMaximum<F64> reduced{top, F64(RowStatistics::headroom)};
    Sum<F64> exponentials, mass, below_maximum, dot;
    F64 plain_dot(0);         // overflows to infinity, and not to NaN
    bool impossible = false;  // y > 0 where m - z is infinite: the loss is infinite
    // Inlined, so that the sums stay in registers.
    for_vectors<F64>(block.n, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
      F64 z = lanes.load(block.z + i, -__builtin_inf());
      F64 hi = lanes.load(block.y_hi + i, 0), lo = lanes.load(block.y_lo + i, 0);
      auto at_maximum = equal(z, top);
      Exponential<F64> x = exp_difference(z, reduced);
      exponentials.add(select(at_maximum, zero, x.value), select(at_maximum, zero, x.residual));
      mass.add(hi, lo);
      below_maximum.add(select(at_maximum, zero, hi), select(at_maximum, zero, lo));
      DD below = two_sum(top, zero - z);
      DD product = two_product(hi, below.hi);
      F64 rest = product.lo + (hi * below.lo + lo * below.hi);
      auto nothing = equal(below.hi, infinity);
      // m - m is NaN if m is -inf.
      auto finite = [&](F64 v) { return select(at_maximum, zero, select(nothing, zero, v)); };
      dot.add(finite(product.hi), finite(rest));
      plain_dot = plain_dot + finite(product.hi);
      if (any(at_maximum))
        for (int j = 0; j < lanes.count; ++j) result.ties += block.z[i + j] == m;
      if (any(nothing))
        for (int j = 0; j < lanes.count; ++j)
          impossible |= m - block.z[i + j] == __builtin_inf() && block.y_hi[i + j] > 0;
    });
    result.maximum = m;
    set(total(exponentials), result.rest_hi, result.rest_lo);
    set(total(mass), result.mass_hi, result.mass_lo);
    set(total(below_maximum), result.below_hi, result.below_lo);
    set(total(dot), result.dot_hi, result.dot_lo);
    double plain = impossible ? __builtin_inf() : sum_of_lanes(plain_dot);
    if (plain - plain != 0) set({plain, 0}, result.dot_hi, result.dot_lo);
    return result;
  }

  // Writes (e·scale - y)·upstream for the block.
  void write_gradient(const DenseBlock& block, const DenseFormula& formula, const Rows& gradient) const {
    ReducedMaximum<F64> reduced{F64(formula.maximum), F64(RowStatistics::headroom)};
    const DD scale = formula.scale, upstream = formula.upstream;
    // Inlined, so that the factors stay in registers.
    for_vectors<F64>(block.n, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
      F64 z = lanes.load(block.z + i, -__builtin_inf());
      F64 e = exp_difference(z, reduced).value;
      F64 y_hi = lanes.load(block.y_hi + i, 0), y_lo = lanes.load(block.y_lo + i, 0);
      DD product = two_product(e, scale.hi);
      DD difference = two_sum(product.hi, F64(0) - y_hi);
      F64 rest = difference.lo + (multiply_add(e, scale.lo, product.lo) - y_lo);
      F64 g = multiply_add(difference.hi, upstream.hi, rest * upstream.hi + difference.hi * upstream.lo);
      auto top = equal(z, F64(formula.maximum));
      if (formula.only_maximum && any(top)) g = select(top, formula.at_maximum({y_hi, y_lo}), g);
      lanes.store(g, block.z + i);
    });
    char* out = gradient.row(row_) + block.begin * gradient.class_stride;
    for (int64_t i = 0; i < block.n; i += V::lanes) {
      int n = lanes_left<V>(block.n, i);
      double wide[batch_rows] = {};
      __builtin_memcpy(wide, block.z + i, n * sizeof(double));
      S narrow[V::lanes];
      load_narrow<V>(wide).store(narrow);
      scatter(narrow, n, out + i * gradient.class_stride, gradient.class_stride);
    }
  }

 private:
  static void set(ScalarDD x, double& hi, double& lo) { hi = x.hi, lo = x.lo; }

  template <class U, class E>
  static void widen(const char* row, int64_t stride, int64_t n, double* to, E* buffer) {
    const E* from = contiguous(row, stride, n, buffer);
    for_vectors<U>(n, [&](int64_t i, auto lanes) {
      double wide[batch_rows];
      store_wide(lanes.load(from + i, 0), wide);
      __builtin_memcpy(to + i, wide, lanes.count * sizeof(double));
    });
  }

  void load_target(int64_t begin, int64_t n, double* q, double* buffer) const {
    if (targets_.labels) {
      __builtin_memset(q, 0, n * sizeof(double));
      int64_t y = targets_.label(row_) - targets_.first_class - begin;
      if (y >= 0 && y < n) q[y] = 1;
      return;
    }
    const Rows& rows = targets_.probabilities;
    const char* row = rows.row(row_) + begin * rows.class_stride;
    switch (targets_.dtype) {
      case DType::float16:
        return widen<F32>(row, rows.class_stride, n, q, reinterpret_cast<Half*>(buffer));
      case DType::bfloat16:
        return widen<F32>(row, rows.class_stride, n, q, reinterpret_cast<BFloat16*>(buffer));
      case DType::float32:
        return widen<F32>(row, rows.class_stride, n, q, reinterpret_cast<float*>(buffer));
      case DType::float64:
        return gather(row, rows.class_stride, n, q);
    }
  }

  // Replaces q in hi by y = w·((1 - ε)·q + ε/C), in two parts.
  void weigh_target(int64_t begin, int64_t n, double* hi, double* lo) const {
    bool smooth = spec_.label_smoothing != 0;
    const double* weight = targets_.class_weight;
    if (!smooth && !weight) {
      __builtin_memset(lo, 0, n * sizeof(double));
      return;
    }
    for_vectors<F64>(n, [&](int64_t i, auto lanes) {
      DD y = {lanes.load(hi + i, 0), F64(0)};
      if (smooth) y = add(multiply(kept_, y.hi), spread_);
      if (weight) y = multiply(y, lanes.load(weight + targets_.first_class + begin + i, 0));
      lanes.store(y.hi, hi + i);
      lanes.store(y.lo, lo + i);
    });
  }

  const LossSpec& spec_;
  const Targets& targets_;
  const Rows& logits_;
  int64_t row_;
  DD kept_, spread_;
};

// A pass over rows with dense targets. Threads share rows, or the blocks of a row if there are fewer rows than threads.
template <class V, class S>
class DensePass {
 public:
  DensePass(const LossSpec& spec, const Targets& targets, const Rows& logits, int threads)
      : spec_(spec), targets_(targets), logits_(logits), blocks_(DenseRow<V, S>::blocks(logits.classes)) {
    bool within_rows = logits.count < threads && blocks_ > 1;
    inner_ = within_rows ? threads : 1;
    outer_ = within_rows ? 1 : threads;
    groups = Groups(logits, 1);
  }

  struct Row {
    const DensePass& pass;
    int64_t index;
    DenseRow<V, S> row;
    RowStatistics* partial;
    char* scratch;

    RowStatistics statistics() const {
      for_blocks([&](int64_t b, const DenseBlock& block) { partial[b] = row.statistics(block); });
      return merged(partial, pass.blocks_, 1, RowStatistics::headroom);
    }

    template <class Body>
    void for_blocks(Body body) const {
      int64_t bytes = DenseRow<V, S>::scratch_bytes(pass.logits_.classes);
      for_shared(pass.blocks_, pass.inner_,
                 [&](int64_t b, int thread) { body(b, row.block(b, scratch + thread * bytes)); });
    }
  };

  // Calls ignored(group, index) for rows that the target ignores, body(group, row) for all others.
  template <class Body, class Ignored>
  void run(Body body, Ignored ignored) const {
    int64_t partial_bytes = (blocks_ * int64_t(sizeof(RowStatistics)) + 63) / 64 * 64;
    int64_t bytes = partial_bytes + inner_ * DenseRow<V, S>::scratch_bytes(logits_.classes);
    for_groups(groups, bytes, outer_, [&](int64_t group, int64_t first, int64_t end, char* scratch) {
      RowStatistics* partial = new (scratch) RowStatistics[blocks_];
      for (int64_t r = first; r < end; ++r) {
        if (targets_.labels && spec_.ignores(targets_.label(r)))
          ignored(group, r);
        else
          body(group, Row{*this, r, {spec_, targets_, logits_, r}, partial, scratch + partial_bytes});
      }
    });
  }

  Groups groups;

 private:
  const LossSpec& spec_;
  const Targets& targets_;
  const Rows& logits_;
  int64_t blocks_;
  int inner_ = 1, outer_ = 1;
};

inline void emit_row_loss(const CrossEntropyArguments& args, int64_t r, ScalarDD loss, LossSum& sum) {
  alignas(64) double hi[batch_rows] = {loss.hi}, lo[batch_rows] = {loss.lo};
  emit_losses(args, r, 1, hi, lo, sum);
}

template <class V, class S>
inline double dense_rows(const CrossEntropyArguments& args) {
  DensePass<V, S> pass(args.spec, args.targets, args.logits, args.threads);
  GroupSums sums(pass.groups.count);
  pass.run(
      [&](int64_t group, const typename DensePass<V, S>::Row& row) {
        DenseFormula formula(args, row.index, args.statistics ? args.statistics[row.index] : row.statistics());
        if (args.gradient.data)
          row.for_blocks(
              [&](int64_t, const DenseBlock& block) { row.row.write_gradient(block, formula, args.gradient); });
        emit_row_loss(args, row.index, formula.loss, sums[group]);
      },
      [&](int64_t group, int64_t r) {
        if (args.gradient.data) zero_row(args.gradient, r, sizeof(S));
        emit_row_loss(args, r, {}, sums[group]);
      });
  return args.loss ? 0 : sums.mean(args);
}

}  // namespace softgrad::SOFTGRAD_ISA
