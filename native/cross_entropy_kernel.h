// Softmax cross-entropy with one class index per row: loss, gradient, or both.
#pragma once

#include "dense_target.h"
#include "softmax_kernel.h"

namespace softgrad::SOFTGRAD_ISA {

// What the targets add to a batch: in, for each row,
struct Labelled {
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

template <class Scalar>
inline void start_labelled(const CrossEntropyArguments& a, int64_t first, int count, Batch& batch, Labelled& labelled) {
  double upstream = 1 / a.targets.denominator;
  double usual_headroom = headroom_for<Scalar>(upstream);
  for (int i = 0; i < Batch::rows; ++i) {
    batch.skip[i] = i >= count || a.spec.ignores(a.targets.labels[first + i]);
    labelled.counts[i] = batch.skip[i] ? 0 : 1;
    labelled.weight[i] = labelled.row_scale[i] = 1;
    batch.headroom[i] = usual_headroom;
  }
  const double* class_weight = a.targets.class_weight;
  if (!class_weight && !a.row_scale) return;
  for (int i = 0; i < count; ++i) {
    if (batch.skip[i]) continue;
    if (class_weight) labelled.weight[i] = class_weight[a.targets.labels[first + i]] * a.weight_unit;
    if (a.row_scale) labelled.row_scale[i] = a.row_scale[first + i];
    double scale = labelled.weight[i] * labelled.row_scale[i] * upstream;
    batch.headroom[i] = headroom_for<Scalar>(scale < 0 ? -scale : scale);
  }
}

//   loss = w·(log1p(s') + (m - z_y)) + ζ·lse²
//   g_k  = c·p_k for k != y,  g_y = -w·Σ_{j≠y} p_j + 2ζ·lse·p_y,  c = w + 2ζ·lse
// with Σ_{j≠y} p_j = s'/(1 + s') at the maximum and (1 + s' - exp(z_y - m))/(1 + s') elsewhere.
template <class Number>
inline void finish_labelled(const CrossEntropyArguments& a, Batch& batch, Labelled& labelled) {
  const F64 infinity(__builtin_inf()), zero(0);
  const ZLoss z_loss(a.spec, a.weight_unit);
  const Number denominator = denominator_of<Number>(a.targets);
  for (int i = 0; i < Batch::rows; i += F64::lanes) {
    Normalizer<Number> normalizer(batch, i);
    F64 w = F64::load(labelled.weight + i), z = F64::load(labelled.logit + i);
    Number weight = number<Number>(w);
    F64 unit = zero - F64::load(batch.headroom + i);
    F64 e = ldexp_floor(F64::load(labelled.exponential + i), unit);

    Number log_sum = normalizer.log_sum();
    Number below = difference<Number>(normalizer.maximum, z);
    Number loss = multiply(add(log_sum, below), weight);
    // z_y = -inf: the errors of an infinite sum are not numbers; the sum is. 0·log 0 = 0.
    auto impossible = equal(normalizer.maximum - z, infinity);
    F64 settled = select(equal(w, zero), zero, infinity) + (rounded(log_sum) - rounded(log_sum));
    loss = select(impossible, number<Number>(settled), loss);
    // Where s' is all but nothing, log1p(s') = s' and 1 + s' = 1; products of s' and a weight are then
    // taken with the headroom, in case s' itself is subnormal.
    auto at_maximum = equal(z, normalizer.maximum);
    auto vanishing = less(rounded(normalizer.excess), F64(0x1p-900));
    Number scaled_loss = multiply(normalizer.scaled_excess, weight);
    Number small_loss = number<Number>(ldexp_floor(rounded(scaled_loss), unit));
    loss = select(vanishing, select(at_maximum, small_loss, loss), loss);

    Number others = select(at_maximum, normalizer.excess, add(normalizer.sum, zero - e));
    Number factor = weight, at_target = negative(multiply(others, weight));
    F64 plain = select(impossible, settled, (rounded(log_sum) + (normalizer.maximum - z)) * w);
    if (z_loss) {
      Number lse = add(log_sum, normalizer.maximum);
      loss = add(loss, z_loss.value(lse));
      Number slope = z_loss.slope(lse);
      factor = add(factor, slope);
      at_target = add(at_target, multiply(slope, e));
      plain = plain + z_loss.value(rounded(lse));
    }
    loss = select(equal(plain, infinity), number<Number>(infinity), loss);
    auto counts = less(zero, F64::load(labelled.counts + i));
    store(select(counts, loss, number<Number>(zero)), labelled.loss_hi + i, labelled.loss_lo + i);

    Number row_scale = number<Number>(F64::load(labelled.row_scale + i));
    Number per_sum = divide(row_scale, multiply(normalizer.sum, denominator));
    F64 gradient = rounded(multiply(at_target, per_sum));
    if (!z_loss) {
      F64 small_gradient = zero - ldexp_floor(rounded(multiply(scaled_loss, per_sum)), unit);
      gradient = select(vanishing, select(at_maximum, small_gradient, gradient), gradient);
    }
    gradient.store(labelled.target_gradient + i);
    store(ldexp_floor(multiply(factor, per_sum), unit), batch.scale_hi + i, batch.scale_lo + i);
  }
}

template <class Family, class V, class S>
inline double labelled_batches(const CrossEntropyArguments& a) {
  using Number = typename NumberOf<V>::type;
  int capacity = Family::capacity(a.logits.classes);
  Groups groups(a.logits, capacity);
  GroupSums sums(groups.count);
  bool with_gradient = a.gradient.data != nullptr;
  bool stream = should_stream(a.logits, a.gradient, sizeof(S));
  auto group = [&](int64_t group, int64_t first, int64_t end, char* scratch) {
    Batch batch;
    Labelled labelled;
    Family rows(a.logits, scratch);
    for (; first < end; first += capacity) {
      int count = static_cast<int>(end - first < capacity ? end - first : capacity);
      start_labelled<typename V::Scalar>(a, first, count, batch, labelled);
      rows.load(first, count);
      if (with_gradient)
        rows.template statistics<true>(batch);
      else
        rows.template statistics<false>(batch);
      for (int i = 0; i < count; ++i) {
        if (batch.skip[i]) continue;
        labelled.logit[i] = rows.logit(i, a.targets.labels[first + i]);
        if (with_gradient) labelled.exponential[i] = rows.exponential(i, a.targets.labels[first + i]);
      }
      finish_labelled<Number>(a, batch, labelled);
      emit_losses(a, first, count, labelled.loss_hi, labelled.loss_lo, sums[group]);
      if (with_gradient) rows.write_scaled(batch, a.gradient, stream, a.targets.labels, labelled.target_gradient);
    }
    rows.flush();
  };
  for_groups(groups, Family::scratch_bytes(a.logits.classes), a.threads, group);
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
      row.statistics(batch);
      labelled.logit[0] = row.logit(a.targets.labels[r]);
      labelled.exponential[0] = row.exponential(a.targets.labels[r], batch);
      finish_labelled<typename NumberOf<V>::type>(a, batch, labelled);
      if (a.gradient.data) {
        row.write_scaled(batch, a.gradient.row(r), a.gradient.class_stride, stream);
        store_fence();
        row.write_element(a.gradient.row(r) + a.targets.labels[r] * a.gradient.class_stride,
                          labelled.target_gradient[0]);
      }
    } else if (a.gradient.data) {
      zero_row(a.gradient, r, sizeof(S));
    }
    emit_losses(a, r, 1, labelled.loss_hi, labelled.loss_lo, sum);
  }
  return a.loss ? 0 : mean_loss(a, sum.total());
}

// Weights and their sum, both times a power of two that brings the sum near one: what they leave of a
// mean is the same, and products with small losses do not underflow on the way.
inline CrossEntropyArguments with_moderate_weights(CrossEntropyArguments a) {
  const Targets& targets = a.targets;
  if (!targets.class_weight || !(targets.denominator > 0) || targets.denominator == 1) return a;
  a.weight_unit = __builtin_ldexp(1, -exponent_of(targets.denominator));
  a.targets.denominator *= a.weight_unit;
  a.targets.denominator_rest *= a.weight_unit;
  return a;
}

template <class V, class S>
inline double cross_entropy_rows(const CrossEntropyArguments& given) {
  if (!given.targets.labels || given.spec.label_smoothing != 0) return dense_rows<V, S>(given);
  const CrossEntropyArguments a = with_moderate_weights(given);
  if (a.logits.classes > block_classes<V>) return labelled_long_rows<V, S>(a);
  if (ColumnTile<V, S>::suits(a.logits)) return labelled_batches<ColumnTile<V, S>, V, S>(a);
  return labelled_batches<RowBatch<V, S>, V, S>(a);
}

}  // namespace softgrad::SOFTGRAD_ISA
