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
  alignas(64) double counts[Batch::rows];       // 1, or 0: an ignored row, a spare lane
  // and out:
  alignas(64) double loss_hi[Batch::rows];
  alignas(64) double loss_lo[Batch::rows];
  alignas(64) double target_gradient[Batch::rows];

  Labelled() { __builtin_memset(this, 0, sizeof *this); }
};

template <class Scalar>
inline void start_labelled(const CrossEntropyArguments& a, int64_t first, int count, Batch& batch,
                           Labelled& labelled) {
  double upstream = 1 / a.denominator;
  for (int i = 0; i < Batch::rows; ++i) {
    int64_t y = i < count ? a.target[first + i] : 0;
    batch.skip[i] = i >= count || (a.has_ignore_index && y == a.ignore_index);
    labelled.counts[i] = batch.skip[i] ? 0 : 1;
    if (batch.skip[i]) continue;
    labelled.weight[i] = a.weight ? a.weight[y] : 1;
    labelled.row_scale[i] = a.row_scale ? a.row_scale[first + i] : 1;
    double scale = labelled.weight[i] * labelled.row_scale[i] * upstream;
    batch.headroom[i] = headroom_for<Scalar>(scale < 0 ? -scale : scale);
  }
}

//   loss = w·(log1p(s') + (m - z_y)) + ζ·lse²
//   g_k  = c·p_k for k != y,  g_y = -w·Σ_{j≠y} p_j + 2ζ·lse·p_y,  c = w + 2ζ·lse
// with Σ_{j≠y} p_j = s'/(1 + s') at the maximum and (1 + s' - exp(z_y - m))/(1 + s') elsewhere.
inline void finish_labelled(const CrossEntropyArguments& a, Batch& batch, Labelled& labelled) {
  const F64 infinity(__builtin_inf()), zero(0);
  for (int i = 0; i < Batch::rows; i += F64::lanes) {
    Normalizer normalizer(batch, i);
    F64 w = F64::load(labelled.weight + i), z = F64::load(labelled.logit + i);
    F64 unit = zero - F64::load(batch.headroom + i);
    F64 e = ldexp_floor(F64::load(labelled.exponential + i), unit);

    DD log_sum = normalizer.log_sum();
    DD below = two_sum(normalizer.maximum, zero - z);
    DD loss = multiply(add(log_sum, below), w);
    // z_y = -inf: the errors of an infinite sum are not numbers; the sum is. 0·log 0 = 0.
    auto impossible = equal(below.hi, infinity);
    loss = select(impossible, DD{below.hi + log_sum.hi, zero}, loss);
    auto weightless = equal(w, zero);
    loss = select(weightless, DD{select(impossible, zero, loss.hi), select(impossible, zero, loss.lo)}, loss);

    DD factor = {w, zero};
    DD at_target = negative(
        multiply(select(equal(z, normalizer.maximum), normalizer.excess,
                        add(normalizer.sum, zero - e)), w));
    if (a.z_loss != 0) {
      DD lse = add(log_sum, normalizer.maximum);
      loss = add(loss, multiply(multiply(lse, lse), F64(a.z_loss)));
      DD slope = multiply(lse, F64(2 * a.z_loss));
      factor = add(factor, slope);
      at_target = add(at_target, multiply(slope, e));
    }
    auto counts = less(zero, F64::load(labelled.counts + i));
    store(select(counts, loss, DD{zero, zero}), labelled.loss_hi + i, labelled.loss_lo + i);

    DD divisor = multiply(normalizer.sum, denominator_of(a));
    DD per_sum = divide(DD{F64::load(labelled.row_scale + i), zero}, divisor);
    DD gradient = multiply(at_target, per_sum);
    (gradient.hi + gradient.lo).store(labelled.target_gradient + i);
    DD scale = multiply(factor, per_sum);
    store(ldexp_floor(scale, unit), batch.scale_hi + i, batch.scale_lo + i);
  }
}

template <class V, class S>
inline void store_target_gradient(const CrossEntropyArguments& a, int64_t row, double value) {
  char* p = a.gradient.row(row) + a.target[row] * a.gradient.class_stride;
  V(static_cast<typename V::Scalar>(value)).store_first(reinterpret_cast<S*>(p), 1);
}

template <class Family, class V, class S>
inline double labelled_batches(const CrossEntropyArguments& a) {
  int capacity = Family::capacity(a.logits.classes);
  Groups groups(a.logits, capacity);
  GroupSums sums(groups.count);
  bool with_gradient = a.gradient.data != nullptr;
  bool stream = should_stream(a.logits, a.gradient, sizeof(S));
  struct Working {
    Batch batch;
    Labelled labelled;
  };
  for_batches<Working>(
              groups, capacity, Family::scratch_bytes(a.logits.classes), a.threads,
              [&](int64_t group, int64_t first, int count, char* scratch, Working& working) {
                auto& [batch, labelled] = working;
                start_labelled<typename V::Scalar>(a, first, count, batch, labelled);
                Family rows(a.logits, scratch);
                rows.load(first, count);
                if (with_gradient)
                  rows.template statistics<true>(batch);
                else
                  rows.template statistics<false>(batch);
                for (int i = 0; i < count; ++i) {
                  if (batch.skip[i]) continue;
                  int64_t y = a.target[first + i];
                  labelled.logit[i] = rows.logit(i, y);
                  if (with_gradient)
                    labelled.exponential[i] = rows.exponential(i, y);
                }
                finish_labelled(a, batch, labelled);
                emit_losses(a, first, count, labelled.loss_hi, labelled.loss_lo, sums[group]);
                if (!with_gradient) return;
                rows.write_scaled(batch, a.gradient, stream);
                if (stream) store_fence();  // the targets are written over what was streamed
                for (int i = 0; i < count; ++i)
                  if (!batch.skip[i]) store_target_gradient<V, S>(a, first + i, labelled.target_gradient[i]);
              });
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
      labelled.logit[0] = row.logit(a.target[r]);
      labelled.exponential[0] = row.exponential(a.target[r], batch);
      finish_labelled(a, batch, labelled);
      if (a.gradient.data) {
        row.write_scaled(batch, a.gradient.row(r), a.gradient.class_stride, stream);
        store_fence();
        store_target_gradient<V, S>(a, r, labelled.target_gradient[0]);
      }
    } else if (a.gradient.data) {
      zero_row(a.gradient, r, sizeof(S));
    }
    emit_losses(a, r, 1, labelled.loss_hi, labelled.loss_lo, sum);
  }
  return a.loss ? 0 : mean_loss(a, sum.total());
}

template <class V, class S>
inline double cross_entropy_rows(const CrossEntropyArguments& a) {
  if (!a.target || a.label_smoothing != 0) return dense_rows<V, S>(a);
  if (a.logits.classes > block_classes<V>) return labelled_long_rows<V, S>(a);
  if (ColumnTile<V, S>::suits(a.logits)) return labelled_batches<ColumnTile<V, S>, V, S>(a);
  return labelled_batches<RowBatch<V, S>, V, S>(a);
}

}  // namespace softgrad::SOFTGRAD_ISA
