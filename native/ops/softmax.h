// softmax, log_softmax and logsumexp of every row.
#pragma once

#include "layout/groups.h"
#include "layout/column_tile.h"
#include "layout/tile.h"
#include "module/kernels.h"
#include "layout/long_row.h"
#include "layout/row_tile.h"

namespace softgrad::SOFTGRAD_ISA {

// Streaming pays once the output does not fit in the last-level cache anyway, for rows of many cache
// lines, the first and last of which are shared; in place it never does: the lines have just been read.
inline bool should_stream(const Rows& from, const Rows& to, int64_t element_bytes) {
  int64_t row_bytes = to.classes * element_bytes;
  return from.data != to.data && row_bytes >= streamed_row_bytes && to.count * row_bytes >= last_level_cache;
}

// p = exp(z - m) / (1 + s'), log p = (z - m) - log1p(s'), lse = m + log1p(s').
template <class Number>
inline void finish_softmax(SoftmaxKind kind, Batch& batch) {
  for (int i = 0; i < Batch::rows; i += F64::lanes) {
    Normalizer<Number> normalizer(batch, i);
    if (kind == SoftmaxKind::softmax) {
      Number scale = divide(number<Number>(F64(1)), normalizer.sum);
      scale = ldexp_floor(scale, F64(0) - F64::load(batch.headroom + i));
      store(scale, batch.scale_hi + i, batch.scale_lo + i);
    } else {
      store(normalizer.log_sum(), batch.log_sum_hi + i, batch.log_sum_lo + i);
    }
  }
}

template <class V, class S>
inline void store_logsumexp(const Batch& batch, const Rows& out, int64_t first, int count) {
  using Number = typename NumberOf<V>::type;
  alignas(64) double lse[Batch::rows];
  for (int i = 0; i < Batch::rows; i += F64::lanes) {
    Normalizer<Number> normalizer(batch, i);
    F64 sum = rounded(add(normalizer.log_sum(), normalizer.maximum));
    F64 m = F64::load(batch.maximum + i);
    // An infinite maximum is the answer; only the differences from it are not numbers.
    F64 magnitude = maximum(m, F64(0) - m);
    select(equal(magnitude, F64(__builtin_inf())), m, sum).store(lse + i);
  }
  for (int i = 0; i < count; ++i) {
    typename V::Scalar rounded = static_cast<typename V::Scalar>(lse[i]);
    V(rounded).store_first(reinterpret_cast<S*>(out.row(first + i)), 1);
  }
}

template <Family F, class V, class S>
inline void softmax_batches(const SoftmaxArguments& a) {
  using Number = typename NumberOf<V>::type;
  int capacity = F::capacity(a.logits.classes);
  bool stream = should_stream(a.logits, a.out, sizeof(S));
  auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
    Batch batch;
    batch.set_headroom(headroom_for<typename V::Scalar>(1));
    F rows(a.logits, scratch);
    for (; first < end; first += capacity) {
      int count = static_cast<int>(left_of(end, first, capacity));
      const RowStatistics* given = a.statistics ? a.statistics + first : nullptr;
      rows.load(first, count);
      if (a.kind == SoftmaxKind::softmax) {
        rows.template statistics<true>(batch, given);
        finish_softmax<Number>(a.kind, batch);
        rows.write_scaled(batch, a.out, stream, nullptr, nullptr);
        continue;
      }
      rows.template statistics<false>(batch, given);
      finish_softmax<Number>(a.kind, batch);
      if (a.kind == SoftmaxKind::log_softmax)
        rows.write_log_softmax(batch, a.out, stream);
      else
        store_logsumexp<V, S>(batch, a.out, first, count);
    }
    rows.flush();
  };
  for_groups(Groups(a.logits, capacity), F::scratch_bytes(a.logits.classes), a.threads, group);
}

template <class V, class S>
inline void softmax_long_rows(const SoftmaxArguments& a) {
  using Number = typename NumberOf<V>::type;
  bool stream = should_stream(a.logits, a.out, sizeof(S));
  for (int64_t i = 0; i < a.logits.count; ++i) {
    Batch batch;
    batch.headroom[0] = headroom_for<typename V::Scalar>(1);
    LongRow<V, S> row(a.logits.row(i), a.logits.class_stride, a.logits.classes, a.threads);
    row.statistics(batch, a.statistics ? a.statistics + i : nullptr);
    finish_softmax<Number>(a.kind, batch);
    if (a.kind == SoftmaxKind::softmax)
      row.write_scaled(batch, a.out.row(i), a.out.class_stride, stream);
    else if (a.kind == SoftmaxKind::log_softmax)
      row.write_log_softmax(batch, a.out.row(i), a.out.class_stride, stream);
    else
      store_logsumexp<V, S>(batch, a.out, i, 1);
  }
}

template <class V, class S>
inline void softmax_rows(const SoftmaxArguments& a) {
  if (a.logits.classes > block_classes<V>)
    softmax_long_rows<V, S>(a);
  else if (ColumnTile<V, S>::suits(a.logits))
    softmax_batches<ColumnTile<V, S>, V, S>(a);
  else
    softmax_batches<RowBatch<V, S>, V, S>(a);
}

}  // namespace softgrad::SOFTGRAD_ISA
