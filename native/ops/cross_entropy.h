// Softmax cross-entropy with one label per row: loss, gradient, or both.
#pragma once

#include "layout/column_tile.h"
#include "layout/long_row.h"
#include "layout/row_tile.h"
#include "layout/tile.h"
#include "ops/dense_target.h"

namespace softgrad::SOFTGRAD_ISA {

// The labels of the rows of a batch, and the losses.
struct BatchLabels {
  // Input:
  int64_t column[batch_rows];                  // of y in the logits; -1: in another block of the classes
  alignas(64) double logit[batch_rows];        // z_y
  alignas(64) double exponential[batch_rows];  // exp(z_y - m)·2^headroom
  alignas(64) double weight[batch_rows];
  alignas(64) double row_scale[batch_rows];
  alignas(64) double counts[batch_rows];  // 0 for an ignored row and a spare lane, else 1
  // Output:
  alignas(64) double loss_hi[batch_rows];
  alignas(64) double loss_lo[batch_rows];
  alignas(64) double target_gradient[batch_rows];

  BatchLabels() { __builtin_memset(this, 0, sizeof *this); }
};

inline double nan() { return __builtin_nan(""); }

// If another thread makes a label invalid after it was checked, the loss of its row is NaN.
template <class Scalar>
inline void start_labels(const CrossEntropyArguments& args, int64_t first, int count, BatchStatistics& batch,
                         BatchLabels& labels) {
  double upstream = 1 / args.targets.denominator;
  // The order of magnitude of 2ζ·lse, before lse is known.
  double of_z_loss = ZLoss(args.spec, args.weight_unit).curvature();
  double usual_headroom = headroom_for<Scalar>((1 + of_z_loss) * upstream);
  const double* class_weight = args.targets.class_weight;
  int64_t classes = args.targets.classes ? args.targets.classes : args.logits.classes;
  for (int i = 0; i < batch_rows; ++i) {
    batch.skip[i] = true;
    labels.counts[i] = 0;
    labels.weight[i] = labels.row_scale[i] = 1;
    batch.headroom[i] = usual_headroom;
    labels.column[i] = -1;
    if (i >= count) continue;
    int64_t label = args.targets.label(first + i), column = label - args.targets.first_class;
    if (args.spec.ignores(label)) continue;
    batch.skip[i] = false;
    labels.counts[i] = 1;
    if (column >= 0 && column < args.logits.classes) labels.column[i] = column;
    if (!class_weight && !args.row_scale) continue;
    if (class_weight) labels.weight[i] = label >= 0 && label < classes ? class_weight[label] * args.weight_unit : nan();
    if (args.row_scale) labels.row_scale[i] = args.row_scale[first + i];
    double scale = (__builtin_fabs(labels.weight[i]) + of_z_loss) * labels.row_scale[i] * upstream;
    batch.headroom[i] = headroom_for<Scalar>(__builtin_fabs(scale));
  }
}

// The formulas for the rows from i on, one in each lane.
template <class Number>
class LabelLanes {
 public:
  LabelLanes(const BatchStatistics& batch, const BatchLabels& labels, int i)
      : normaliser_(batch, i),
        weight_(F64::load(labels.weight + i)),
        logit_(F64::load(labels.logit + i)),
        unit_(zero() - F64::load(batch.headroom + i)),
        e_(ldexp_floor(F64::load(labels.exponential + i), unit_)),
        row_scale_(F64::load(labels.row_scale + i)),
        log_sum_(normaliser_.log_sum()),
        at_maximum_(equal(logit_, normaliser_.maximum)),
        vanishing_(less(rounded(normaliser_.excess), F64(0x1p-900))) {}

  // w·(log1p(s') + (m - z_y)) + ζ·lse²
  Number loss(ZLoss z_loss) const {
    Number below = difference<Number>(normaliser_.maximum, logit_);
    Number loss = but_exceptions(multiply(add(log_sum_, below), number<Number>(weight_)));
    F64 plain = select(impossible(), impossible_loss(), (rounded(log_sum_) + (normaliser_.maximum - logit_)) * weight_);
    if (z_loss) {
      loss = add(loss, z_loss.value(lse()));
      plain = plain + z_loss.value(rounded(lse()));
    }
    // The second part of an infinite sum would be NaN.
    return select(equal(plain, infinity()), number<Number>(infinity()), loss);
  }

  // c = w + 2ζ·lse, for g_k = c·p_k, k != y.
  Number factor(ZLoss z_loss) const {
    Number weight = number<Number>(weight_);
    return z_loss ? add(weight, z_loss.slope(lse())) : weight;
  }

  // Of e_k: c/(1 + s')·row_scale/denominator, the headroom divided out.
  Number scale(ZLoss z_loss, Number denominator) const {
    return ldexp_floor(multiply(factor(z_loss), upstream(denominator)), unit_);
  }

  // g_y = -w·Σ_{j≠y} p_j + 2ζ·lse·p_y; Σ_{j≠y} e_j is s' if y is at the maximum, else 1 + s' - exp(z_y - m).
  F64 target_gradient(ZLoss z_loss, Number denominator) const {
    Number others = select(at_maximum_, normaliser_.excess, add(normaliser_.sum, zero() - e_));
    Number g = negative(multiply(others, number<Number>(weight_)));
    Number per_sum = upstream(denominator);
    if (z_loss) return rounded(multiply(add(g, multiply(z_loss.slope(lse()), e_)), per_sum));
    F64 small = zero() - ldexp_floor(rounded(multiply(scaled_excess(), per_sum)), unit_);
    F64 usual = rounded(multiply(g, per_sum));
    return select(vanishing_, select(at_maximum_, small, usual), usual);
  }

 private:
  static F64 zero() { return F64(0); }
  static F64 infinity() { return F64(__builtin_inf()); }

  Number lse() const { return add(log_sum_, normaliser_.maximum); }
  Number upstream(Number denominator) const {
    return divide(number<Number>(row_scale_), multiply(normaliser_.sum, denominator));
  }

  // A label whose logit is -inf has the loss w·inf, or 0 if w = 0; NaN if log1p(s') is NaN.
  F64::Mask impossible() const { return equal(normaliser_.maximum - logit_, infinity()); }
  F64 impossible_loss() const {
    return select(equal(weight_, zero()), zero(), infinity()) + (rounded(log_sum_) - rounded(log_sum_));
  }

  // If s' vanishes beside 1, log1p(s') = s' and 1 + s' = 1. Since s' may be subnormal, it is multiplied by the weight
  // while it carries the headroom.
  Number scaled_excess() const { return multiply(normaliser_.scaled_excess, number<Number>(weight_)); }
  Number but_exceptions(Number loss) const {
    Number small = number<Number>(ldexp_floor(rounded(scaled_excess()), unit_));
    loss = select(impossible(), number<Number>(impossible_loss()), loss);
    return select(vanishing_, select(at_maximum_, small, loss), loss);
  }

  Normaliser<Number> normaliser_;
  F64 weight_, logit_, unit_, e_, row_scale_;
  Number log_sum_;
  F64::Mask at_maximum_, vanishing_;
};

template <class Number>
inline void finish_labels(const CrossEntropyArguments& args, BatchStatistics& batch, BatchLabels& labels) {
  const Number denominator = denominator_of<Number>(args.targets), nothing = number<Number>(F64(0));
  const ZLoss z_loss(args.spec, args.weight_unit);
  for (int i = 0; i < batch_rows; i += F64::lanes) {
    LabelLanes<Number> rows(batch, labels, i);
    auto counts = less(F64(0), F64::load(labels.counts + i));
    store(select(counts, rows.loss(z_loss), nothing), labels.loss_hi + i, labels.loss_lo + i);
    rows.target_gradient(z_loss, denominator).store(labels.target_gradient + i);
    store(rows.scale(z_loss, denominator), batch.scale_hi + i, batch.scale_lo + i);
  }
}

// Sets z_y and exp(z_y - m) of a row.
template <class V>
inline void set_label(double logit, int i, const BatchStatistics& batch, BatchLabels& labels) {
  using T = typename V::Scalar;
  ReducedMaximum<V> reduced(V(static_cast<T>(batch.maximum[i])), V(static_cast<T>(batch.headroom[i])));
  T values[V::lanes];
  exp_difference(V(static_cast<T>(logit)), reduced).value.store(values);
  labels.logit[i] = logit;
  labels.exponential[i] = values[0];
}

template <Tile R, class V, class S>
inline double labelled_tiles(const CrossEntropyArguments& args) {
  using Number = NumberOf<V>;
  int capacity = R::capacity(args.logits.classes);
  Groups groups(args.logits, capacity);
  GroupSums sums(groups.count);
  bool with_gradient = args.gradient.data != nullptr;
  bool stream = should_stream(args.logits, args.gradient, sizeof(S));
  auto group = [&](int64_t group, int64_t first, int64_t end, char* scratch) {
    BatchStatistics batch;
    BatchLabels labels;
    R rows(args.logits, scratch);
    for (; first < end; first += capacity) {
      int count = static_cast<int>(left_of(end, first, capacity));
      start_labels<typename V::Scalar>(args, first, count, batch, labels);
      const RowStatistics* given = args.statistics ? args.statistics + first : nullptr;
      rows.load(first, count);
      if (with_gradient)
        rows.template statistics<true>(batch, given);
      else
        rows.template statistics<false>(batch, given);
      for (int i = 0; i < count; ++i) {
        if (batch.skip[i]) continue;
        if (given) {
          set_label<V>(given[i].label, i, batch, labels);
          continue;
        }
        labels.logit[i] = nan();
        if (labels.column[i] < 0) continue;
        labels.logit[i] = rows.logit(i, labels.column[i]);
        if (with_gradient) labels.exponential[i] = rows.exponential(i, labels.column[i]);
      }
      finish_labels<Number>(args, batch, labels);
      emit_losses(args, first, count, labels.loss_hi, labels.loss_lo, sums[group]);
      if (with_gradient) rows.write_scaled(batch, args.gradient, stream, labels.column, labels.target_gradient);
    }
    rows.flush();
  };
  for_groups(groups, R::scratch_bytes(args.logits.classes), args.threads, group);
  return args.loss ? 0 : sums.mean(args);
}

template <class V, class S>
inline double labelled_long_rows(const CrossEntropyArguments& args) {
  bool stream = should_stream(args.logits, args.gradient, sizeof(S));
  LossSum sum;
  for (int64_t r = 0; r < args.logits.count; ++r) {
    BatchStatistics batch;
    BatchLabels labels;
    start_labels<typename V::Scalar>(args, r, 1, batch, labels);
    if (!batch.skip[0]) {
      LongRow<V, S> row(args.logits.row(r), args.logits.class_stride, args.logits.classes, args.threads);
      row.statistics(batch, args.statistics ? args.statistics + r : nullptr);
      double logit = args.statistics        ? args.statistics[r].label
                     : labels.column[0] < 0 ? nan()
                                            : row.logit(labels.column[0]);
      set_label<V>(logit, 0, batch, labels);
      finish_labels<NumberOf<V>>(args, batch, labels);
      if (args.gradient.data) {
        row.write_scaled(batch, args.gradient.row(r), args.gradient.class_stride, stream);
        store_fence();
        if (labels.column[0] >= 0) {
          char* at = args.gradient.row(r) + labels.column[0] * args.gradient.class_stride;
          row.write_element(at, labels.target_gradient[0]);
        }
      }
    } else if (args.gradient.data) {
      zero_row(args.gradient, r, sizeof(S));
    }
    emit_losses(args, r, 1, labels.loss_hi, labels.loss_lo, sum);
  }
  return args.loss ? 0 : mean_loss(args, sum.total());
}

// Scales the weights and their sum by a power of two, so that the sum is near one. A mean stays the same, but products
// of weights and small losses do not underflow. Losses of rows are not divided by the sum.
inline CrossEntropyArguments with_moderate_weights(CrossEntropyArguments args) {
  const Targets& targets = args.targets;
  if (args.loss || !targets.class_weight || !(targets.denominator > 0) || targets.denominator == 1) return args;
  args.weight_unit = __builtin_ldexp(1, -exponent_of(targets.denominator));
  args.targets.denominator *= args.weight_unit;
  args.targets.denominator_rest *= args.weight_unit;
  return args;
}

template <class V, class S>
inline double cross_entropy_rows(const CrossEntropyArguments& given) {
  if (!given.targets.one_hot(given.spec)) return dense_rows<V, S>(given);
  const CrossEntropyArguments args = with_moderate_weights(given);
  if (args.logits.classes > block_classes<V>) return labelled_long_rows<V, S>(args);
  if (ColumnTile<V, S>::suits(args.logits)) return labelled_tiles<ColumnTile<V, S>, V, S>(args);
  return labelled_tiles<RowTile<V, S>, V, S>(args);
}

}  // namespace softgrad::SOFTGRAD_ISA
