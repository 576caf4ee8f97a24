// softmax, log_softmax and logsumexp of every row.
#pragma once

#include "layout/column_tile.h"
#include "layout/groups.h"
#include "layout/long_row.h"
#include "layout/row_tile.h"
#include "layout/tile.h"
#include "ops/arguments.h"

namespace softgrad::SOFTGRAD_ISA {

// p = exp(z - m) / (1 + s'), log p = (z - m) - log1p(s'), lse = m + log1p(s').
template <class Number>
inline void finish_softmax(SoftmaxKind kind, BatchStatistics& batch) {
  for (int i = 0; i < batch_rows; i += F64::lanes) {
    Normaliser<Number> normaliser(batch, i);
    if (kind == SoftmaxKind::softmax) {
      Number scale = divide(number<Number>(F64(1)), normaliser.sum);
      scale = ldexp_floor(scale, F64(0) - F64::load(batch.headroom + i));
      store(scale, batch.scale_hi + i, batch.scale_lo + i);
    } else {
      store(normaliser.log_sum(), batch.log_sum_hi + i, batch.log_sum_lo + i);
    }
  }
}

template <class V, class S>
inline void store_logsumexp(const BatchStatistics& batch, const Rows& out, int64_t first, int count) {
  using Number = NumberOf<V>;
  alignas(64) double lse[batch_rows];
  for (int i = 0; i < batch_rows; i += F64::lanes) {
    Normaliser<Number> normaliser(batch, i);
    F64 sum = rounded(add(normaliser.log_sum(), normaliser.maximum));
    F64 m = F64::load(batch.maximum + i);
    // If the maximum is infinite, so is the result; the sum is NaN.
    F64 magnitude = maximum(m, F64(0) - m);
    select(equal(magnitude, F64(__builtin_inf())), m, sum).store(lse + i);
  }
  for (int i = 0; i < count; ++i) {
    typename V::Scalar rounded = static_cast<typename V::Scalar>(lse[i]);
    V(rounded).store_first(reinterpret_cast<S*>(out.row(first + i)), 1);
  }
}

template <Tile R, class V, class S>
inline void softmax_tiles(const SoftmaxArguments& args) {
  using Number = NumberOf<V>;
  int capacity = R::capacity(args.logits.classes);
  bool stream = should_stream(args.logits, args.out, sizeof(S));
  auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
    BatchStatistics batch;
    batch.set_headroom(headroom_for<typename V::Scalar>(1));
    R rows(args.logits, scratch);
    for (; first < end; first += capacity) {
      int count = static_cast<int>(left_of(end, first, capacity));
      const RowStatistics* given = args.statistics ? args.statistics + first : nullptr;
      rows.load(first, count);
      if (args.kind == SoftmaxKind::softmax) {
        rows.template statistics<true>(batch, given);
        finish_softmax<Number>(args.kind, batch);
        rows.write_scaled(batch, args.out, stream, nullptr, nullptr);
        continue;
      }
      rows.template statistics<false>(batch, given);
      finish_softmax<Number>(args.kind, batch);
      if (args.kind == SoftmaxKind::log_softmax)
        rows.write_log_softmax(batch, args.out, stream);
      else
        store_logsumexp<V, S>(batch, args.out, first, count);
    }
    rows.flush();
  };
  for_groups(Groups(args.logits, capacity), R::scratch_bytes(args.logits.classes), args.threads, group);
}

template <class V, class S>
inline void softmax_long_rows(const SoftmaxArguments& args) {
  using Number = NumberOf<V>;
  bool stream = should_stream(args.logits, args.out, sizeof(S));
  for (int64_t i = 0; i < args.logits.count; ++i) {
    BatchStatistics batch;
    batch.headroom[0] = headroom_for<typename V::Scalar>(1);
    LongRow<V, S> row(args.logits.row(i), args.logits.class_stride, args.logits.classes, args.threads);
    row.statistics(batch, args.statistics ? args.statistics + i : nullptr);
    finish_softmax<Number>(args.kind, batch);
    if (args.kind == SoftmaxKind::softmax)
      row.write_scaled(batch, args.out.row(i), args.out.class_stride, stream);
    else if (args.kind == SoftmaxKind::log_softmax)
      row.write_log_softmax(batch, args.out.row(i), args.out.class_stride, stream);
    else
      store_logsumexp<V, S>(batch, args.out, i, 1);
  }
}

template <class V, class S>
inline void softmax_rows(const SoftmaxArguments& args) {
  if (args.logits.classes > block_classes<V>)
    softmax_long_rows<V, S>(args);
  else if (ColumnTile<V, S>::suits(args.logits))
    softmax_tiles<ColumnTile<V, S>, V, S>(args);
  else
    softmax_tiles<RowTile<V, S>, V, S>(args);
}

}  // namespace softgrad::SOFTGRAD_ISA
