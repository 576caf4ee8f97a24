// Softmax cross-entropy with one class index per row: loss, gradient, or both.
#pragma once

#include "ops/dense_target.h"
#include "layout/tile.h"
#include "ops/softmax.h"
#include "ops/z_loss.h"

namespace softgrad::SOFTGRAD_ISA {

// What the targets add to a batch: in, for each row,
struct Labelled {
  int64_t column[Batch::rows];                  // of y among the logits; -1: in another block of the classes
  alignas(64) double logit[Batch::rows];        // z_y
  alignas(64) double exponential[Batch::rows];  // exp(z_y - m)·2^headroom
  alignas(64) double weight[Batch::rows];
  alignas(64) double row_scale[Batch::rows];
  alignas(64) double counts[Batch::rows];  // 1, or 0: an ignored row, a spare lane
  // and out:
  alignas(64) double loss_hi[Batch::rows];
  alignas(64) double loss_lo[Batch::rows];
  alignas(64) double target_gradient[Batch::rows];

  Labelled() { __builtin_memset(this, 0, sizeof *this); }
};

inline double nan() { return __builtin_nan(""); }

// A label that has become invalid since it was checked, by another thread, makes the loss of its row NaN.
template <class Scalar>
inline void start_labelled(const CrossEntropyArguments& a, int64_t first, int count, Batch& batch, Labelled& labelled) {
  double upstream = 1 / a.targets.denominator;
  // The factor c = w + 2ζ·lse of the exponentials, as far as it is known before lse is.
  double of_z_loss = ZLoss(a.spec, a.weight_unit).curvature();
  double usual_headroom = headroom_for<Scalar>((1 + of_z_loss) * upstream);
  const double* class_weight = a.targets.class_weight;
  int64_t classes = a.targets.classes ? a.targets.classes : a.logits.classes;
  for (int i = 0; i < Batch::rows; ++i) {
    batch.skip[i] = true;
    labelled.counts[i] = 0;
    labelled.weight[i] = labelled.row_scale[i] = 1;
    batch.headroom[i] = usual_headroom;
    labelled.column[i] = -1;
    if (i >= count) continue;
    int64_t label = a.targets.label(first + i), column = label - a.targets.first_class;
    if (a.spec.ignores(label)) continue;
    batch.skip[i] = false;
    labelled.counts[i] = 1;
    if (column >= 0 && column < a.logits.classes) labelled.column[i] = column;
    if (!class_weight && !a.row_scale) continue;
    if (class_weight) labelled.weight[i] = label >= 0 && label < classes ? class_weight[label] * a.weight_unit : nan();
    if (a.row_scale) labelled.row_scale[i] = a.row_scale[first + i];
    double scale = (__builtin_fabs(labelled.weight[i]) + of_z_loss) * labelled.row_scale[i] * upstream;
    batch.headroom[i] = headroom_for<Scalar>(__builtin_fabs(scale));
  }
}

// As many rows of a batch as there are lanes, in the terms of the formulas.
template <class Number>
class LabelledLanes {
 public:
  LabelledLanes(const Batch& batch, const Labelled& labelled, int i)
      : normalizer_(batch, i),
        weight_(F64::load(labelled.weight + i)),
        logit_(F64::load(labelled.logit + i)),
        unit_(zero() - F64::load(batch.headroom + i)),
        e_(ldexp_floor(F64::load(labelled.exponential + i), unit_)),
        row_scale_(F64::load(labelled.row_scale + i)),
        log_sum_(normalizer_.log_sum()),
        at_maximum_(equal(logit_, normalizer_.maximum)),
        vanishing_(less(rounded(normalizer_.excess), F64(0x1p-900))) {}

  // w·(log1p(s') + (m - z_y)) + ζ·lse²
  Number loss(ZLoss z_loss) const {
    Number below = difference<Number>(normalizer_.maximum, logit_);
    Number loss = but_exceptions(multiply(add(log_sum_, below), number<Number>(weight_)));
    F64 plain = select(impossible(), impossible_loss(), (rounded(log_sum_) + (normalizer_.maximum - logit_)) * weight_);
    if (z_loss) {
      loss = add(loss, z_loss.value(lse()));
      plain = plain + z_loss.value(rounded(lse()));
    }
    // The second part of an infinite sum is not a number; the sum is.
    return select(equal(plain, infinity()), number<Number>(infinity()), loss);
  }

  // c = w + 2ζ·lse: g_k = c·p_k for k != y.
  Number factor(ZLoss z_loss) const {
    Number weight = number<Number>(weight_);
    return z_loss ? add(weight, z_loss.slope(lse())) : weight;
  }

  // What e_k is multiplied by: c/(1 + s') times row_scale/denominator, without the headroom.
  Number scale(ZLoss z_loss, Number denominator) const {
    return ldexp_floor(multiply(factor(z_loss), upstream(denominator)), unit_);
  }

  // g_y = -w·Σ_{j≠y} p_j + 2ζ·lse·p_y, Σ_{j≠y} e_j = s' at the maximum and 1 + s' - exp(z_y - m) elsewhere.
  F64 target_gradient(ZLoss z_loss, Number denominator) const {
    Number others = select(at_maximum_, normalizer_.excess, add(normalizer_.sum, zero() - e_));
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

  Number lse() const { return add(log_sum_, normalizer_.maximum); }
  Number upstream(Number denominator) const {
    return divide(number<Number>(row_scale_), multiply(normalizer_.sum, denominator));
  }

  // A label at -inf: its loss is w·inf, and 0·log 0 = 0; NaN where log1p(s') is not a number.
  F64::Mask impossible() const { return equal(normalizer_.maximum - logit_, infinity()); }
  F64 impossible_loss() const {
    return select(equal(weight_, zero()), zero(), infinity()) + (rounded(log_sum_) - rounded(log_sum_));
  }

  // Where s' is all but nothing, log1p(s') = s' and 1 + s' = 1; products of s' and a weight are then taken with the
  // headroom, in case s' itself is subnormal.
  Number scaled_excess() const { return multiply(normalizer_.scaled_excess, number<Number>(weight_)); }
  Number but_exceptions(Number loss) const {
    Number small = number<Number>(ldexp_floor(rounded(scaled_excess()), unit_));
    loss = select(impossible(), number<Number>(impossible_loss()), loss);
    return select(vanishing_, select(at_maximum_, small, loss), loss);
  }

  Normalizer<Number> normalizer_;
  F64 weight_, logit_, unit_, e_, row_scale_;
  Number log_sum_;
  F64::Mask at_maximum_, vanishing_;
};

template <class Number>
inline void finish_labelled(const CrossEntropyArguments& a, Batch& batch, Labelled& labelled) {
  const Number denominator = denominator_of<Number>(a.targets), nothing = number<Number>(F64(0));
  const ZLoss z_loss(a.spec, a.weight_unit);
  for (int i = 0; i < Batch::rows; i += F64::lanes) {
    LabelledLanes<Number> rows(batch, labelled, i);
    auto counts = less(F64(0), F64::load(labelled.counts + i));
    store(select(counts, rows.loss(z_loss), nothing), labelled.loss_hi + i, labelled.loss_lo + i);
    rows.target_gradient(z_loss, denominator).store(labelled.target_gradient + i);
    store(rows.scale(z_loss, denominator), batch.scale_hi + i, batch.scale_lo + i);
  }
}

// z_y and exp(z_y - m) of a row whose statistics are given; its label may be in another block.
template <class V>
inline void set_label(double logit, int i, const Batch& batch, Labelled& labelled) {
  using T = typename V::Scalar;
  Pivot<V> pivot(V(static_cast<T>(batch.maximum[i])), V(static_cast<T>(batch.headroom[i])));
  T values[V::lanes];
  exp_difference(V(static_cast<T>(logit)), pivot).value.store(values);
  labelled.logit[i] = logit;
  labelled.exponential[i] = values[0];
}

template <Family F, class V, class S>
inline double labelled_batches(const CrossEntropyArguments& a) {
  using Number = typename NumberOf<V>::type;
  int capacity = F::capacity(a.logits.classes);
  Groups groups(a.logits, capacity);
  GroupSums sums(groups.count);
  bool with_gradient = a.gradient.data != nullptr;
  bool stream = should_stream(a.logits, a.gradient, sizeof(S));
  auto group = [&](int64_t group, int64_t first, int64_t end, char* scratch) {
    Batch batch;
    Labelled labelled;
    F rows(a.logits, scratch);
    for (; first < end; first += capacity) {
      int count = static_cast<int>(left_of(end, first, capacity));
      start_labelled<typename V::Scalar>(a, first, count, batch, labelled);
      const RowStatistics* given = a.statistics ? a.statistics + first : nullptr;
      rows.load(first, count);
      if (with_gradient)
        rows.template statistics<true>(batch, given);
      else
        rows.template statistics<false>(batch, given);
      for (int i = 0; i < count; ++i) {
        if (batch.skip[i]) continue;
        if (given) {
          set_label<V>(given[i].label, i, batch, labelled);
          continue;
        }
        labelled.logit[i] = nan();
        if (labelled.column[i] < 0) continue;
        labelled.logit[i] = rows.logit(i, labelled.column[i]);
        if (with_gradient) labelled.exponential[i] = rows.exponential(i, labelled.column[i]);
      }
      finish_labelled<Number>(a, batch, labelled);
      emit_losses(a, first, count, labelled.loss_hi, labelled.loss_lo, sums[group]);
      if (with_gradient) rows.write_scaled(batch, a.gradient, stream, labelled.column, labelled.target_gradient);
    }
    rows.flush();
  };
  for_groups(groups, F::scratch_bytes(a.logits.classes), a.threads, group);
  return a.loss ? 0 : sums.mean(a);
}

template <class V, class S>
inline double labelled_long_rows(const CrossEntropyArguments& a) {
  bool stream = should_stream(a.logits, a.gradient, sizeof(S));
  LossSum sum;
  for (int64_t r = 0; r < a.logits.count; ++r) {
    Batch batch;
    Labelled labelled;
    start_labelled<typename V::Scalar>(a, r, 1, batch, labelled);
    if (!batch.skip[0]) {
      LongRow<V, S> row(a.logits.row(r), a.logits.class_stride, a.logits.classes, a.threads);
      row.statistics(batch, a.statistics ? a.statistics + r : nullptr);
      double logit = a.statistics             ? a.statistics[r].label
                     : labelled.column[0] < 0 ? nan()
                                              : row.logit(labelled.column[0]);
      set_label<V>(logit, 0, batch, labelled);
      finish_labelled<typename NumberOf<V>::type>(a, batch, labelled);
      if (a.gradient.data) {
        row.write_scaled(batch, a.gradient.row(r), a.gradient.class_stride, stream);
        store_fence();
        if (labelled.column[0] >= 0) {
          char* at = a.gradient.row(r) + labelled.column[0] * a.gradient.class_stride;
          row.write_element(at, labelled.target_gradient[0]);
        }
      }
    } else if (a.gradient.data) {
      zero_row(a.gradient, r, sizeof(S));
    }
    emit_losses(a, r, 1, labelled.loss_hi, labelled.loss_lo, sum);
  }
  return a.loss ? 0 : mean_loss(a, sum.total());
}

// Weights and their sum, both times a power of two that brings the sum near one: what they leave of a
// mean is the same, and products with small losses do not underflow on the way. The losses of rows are no mean.
inline CrossEntropyArguments with_moderate_weights(CrossEntropyArguments a) {
  const Targets& targets = a.targets;
  if (a.loss || !targets.class_weight || !(targets.denominator > 0) || targets.denominator == 1) return a;
  a.weight_unit = __builtin_ldexp(1, -exponent_of(targets.denominator));
  a.targets.denominator *= a.weight_unit;
  a.targets.denominator_rest *= a.weight_unit;
  return a;
}

template <class V, class S>
inline double cross_entropy_rows(const CrossEntropyArguments& given) {
  if (!given.targets.one_hot(given.spec)) return dense_rows<V, S>(given);
  const CrossEntropyArguments a = with_moderate_weights(given);
  if (a.logits.classes > block_classes<V>) return labelled_long_rows<V, S>(a);
  if (ColumnTile<V, S>::suits(a.logits)) return labelled_batches<ColumnTile<V, S>, V, S>(a);
  return labelled_batches<RowBatch<V, S>, V, S>(a);
}

}  // namespace softgrad::SOFTGRAD_ISA
