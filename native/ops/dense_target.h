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

#include "layout/groups.h"
#include "simd/lanes.h"
#include "ops/loss_sum.h"
#include "ops/softmax.h"
#include "layout/tuning.h"
#include "ops/z_loss.h"

namespace softgrad::SOFTGRAD_ISA {

// One block of a row, widened to double: logits and targets.
struct DenseBlock {
  double* z;  // the gradient may take its place
  const double* y_hi;
  const double* y_lo;
  int64_t begin, n;
};

// What the statistics of a row make of its loss, and of every element of its gradient.
struct DenseFormula {
  ScalarDD loss;
  double maximum;
  DD scale;     // c/(1 + s') without the headroom: what e_k is multiplied by
  DD upstream;  // row_scale/denominator
  bool only_maximum;

  DenseFormula(const CrossEntropyArguments& a, int64_t row, const RowStatistics& statistics)
      : maximum(statistics.maximum),
        only_maximum(statistics.ties == 1),
        below_(broadcast(statistics.below_hi, statistics.below_lo)) {
    Batch batch;
    batch.headroom[0] = RowStatistics::headroom;
    set_statistics(statistics, 0, batch);
    Normalizer<DD> normalizer(batch, 0);
    excess_ = broadcast_first(normalizer.excess);
    sum_ = broadcast_first(normalizer.sum);
    DD log_sum = normalizer.log_sum(), mass = broadcast(statistics.mass_hi, statistics.mass_lo), factor = mass;
    DD total = add(multiply(log_sum, mass), broadcast(statistics.dot_hi, statistics.dot_lo));
    F64 plain = log_sum.hi * mass.hi + F64(statistics.dot_hi);
    if (ZLoss z_loss(a.spec); z_loss) {
      DD lse = add(log_sum, normalizer.maximum);
      total = add(total, z_loss.value(lse));
      plain = plain + z_loss.value(lse.hi);
      slope_ = broadcast_first(z_loss.slope(lse));
      factor = add(factor, slope_);
    }
    // The second part of an infinite sum is not a number; the sum is.
    if (first_lane(plain) == __builtin_inf()) total = {plain, F64(0)};
    loss = {first_lane(total.hi), first_lane(total.lo)};
    upstream = divide(broadcast(a.row_scale ? a.row_scale[row] : 1, 0), denominator_of<DD>(a.targets));
    scale = broadcast_first(ldexp_floor(divide(factor, normalizer.sum), F64(-RowStatistics::headroom)));
  }

  // The gradient at the only maximum.
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

  // Block b in scratch; logits and targets are read anew each time.
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

  // The block's, with exponentials and Σ y·(m - z) about its own maximum.
  RowStatistics statistics(const DenseBlock& block) const {
    RowStatistics result;
    const double m = row_maximum<F64>(block.z, block.n);
    const F64 infinity(__builtin_inf()), zero(0), top(m);
    Pivot<F64> pivot{top, F64(RowStatistics::headroom)};
    Sum<F64> exponentials, mass, below_maximum, dot;
    F64 plain_dot(0);         // where overflow is infinite and not NaN
    bool impossible = false;  // y > 0 where m - z is infinite: so is the loss
    // Inlined, so that what it refers to stays in registers.
    for_vectors<F64>(block.n, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
      F64 z = lanes.load(block.z + i, -__builtin_inf());
      F64 hi = lanes.load(block.y_hi + i, 0), lo = lanes.load(block.y_lo + i, 0);
      auto at_maximum = equal(z, top);
      Exponential<F64> x = exp_difference(z, pivot);
      exponentials.add(select(at_maximum, zero, x.value), select(at_maximum, zero, x.residual));
      mass.add(hi, lo);
      below_maximum.add(select(at_maximum, zero, hi), select(at_maximum, zero, lo));
      DD below = two_sum(top, zero - z);
      DD product = two_product(hi, below.hi);
      F64 rest = product.lo + (hi * below.lo + lo * below.hi);
      auto nothing = equal(below.hi, infinity);
      // A maximum of -inf has no difference from itself that is a number.
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

  // (c·p - y)·upstream for the block.
  void write_gradient(const DenseBlock& block, const DenseFormula& formula, const Rows& gradient) const {
    Pivot<F64> pivot{F64(formula.maximum), F64(RowStatistics::headroom)};
    const DD scale = formula.scale, upstream = formula.upstream;
    // Inlined, so that what it refers to stays in registers.
    for_vectors<F64>(block.n, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
      F64 z = lanes.load(block.z + i, -__builtin_inf());
      F64 e = exp_difference(z, pivot).value;
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
      double wide[Batch::rows] = {};
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
      double wide[Batch::rows];
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

  // y = w·((1 - ε)·q + ε/C) in place, and what rounding y to double leaves.
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

// Runs a body over rows with dense targets: body(group, row index, row, rows' memory), several rows at a time or
// several blocks of one row.
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

  // One row, its statistics not yet known.
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
      for_dense_blocks(row, pass.blocks_, scratch, DenseRow<V, S>::scratch_bytes(pass.logits_.classes), pass.inner_,
                       body);
    }
  };

  // body(group, row) for every row that the target does not ignore; ignored(group, index) for the others.
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

inline void emit_row_loss(const CrossEntropyArguments& a, int64_t r, ScalarDD loss, LossSum& sum) {
  alignas(64) double hi[Batch::rows] = {loss.hi}, lo[Batch::rows] = {loss.lo};
  emit_losses(a, r, 1, hi, lo, sum);
}

template <class V, class S>
inline double dense_rows(const CrossEntropyArguments& a) {
  DensePass<V, S> pass(a.spec, a.targets, a.logits, a.threads);
  GroupSums sums(pass.groups.count);
  pass.run(
      [&](int64_t group, const typename DensePass<V, S>::Row& row) {
        DenseFormula formula(a, row.index, a.statistics ? a.statistics[row.index] : row.statistics());
        if (a.gradient.data)
          row.for_blocks([&](int64_t, const DenseBlock& block) { row.row.write_gradient(block, formula, a.gradient); });
        emit_row_loss(a, row.index, formula.loss, sums[group]);
      },
      [&](int64_t group, int64_t r) {
        if (a.gradient.data) zero_row(a.gradient, r, sizeof(S));
        emit_row_loss(a, r, {}, sums[group]);
      });
  return a.loss ? 0 : sums.mean(a);
}

}  // namespace softgrad::SOFTGRAD_ISA
