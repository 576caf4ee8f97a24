// Statistics of rows, or of a block of their classes, and those of the rows from those of the blocks.
#pragma once

#include "layout/column_tile.h"
#include "layout/tile.h"
#include "ops/dense_target.h"
#include "module/kernels.h"
#include "layout/long_row.h"
#include "layout/row_tile.h"

namespace softgrad::SOFTGRAD_ISA {

// -1: the label is not in this block of the classes.
inline int64_t column_of(const StatisticsArguments& a, int64_t row) {
  int64_t column = a.targets.labels ? a.targets.label(row) - a.targets.first_class : -1;
  return column < a.logits.classes ? column : -1;
}

template <Family F, class V, class S>
inline void batch_statistics(const StatisticsArguments& a) {
  int capacity = F::capacity(a.logits.classes);
  auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
    Batch batch;
    batch.set_headroom(headroom_for<typename V::Scalar>(1));
    F rows(a.logits, scratch);
    for (; first < end; first += capacity) {
      int count = static_cast<int>(left_of(end, first, capacity));
      rows.load(first, count);
      rows.template statistics<false>(batch);
      for (int i = 0; i < count; ++i) {
        a.out[first + i] = statistics_of(batch, i);
        if (int64_t column = column_of(a, first + i); column >= 0) a.out[first + i].label = rows.logit(i, column);
      }
    }
  };
  for_groups(Groups(a.logits, capacity), F::scratch_bytes(a.logits.classes), a.threads, group);
}

template <class V, class S>
inline void long_row_statistics(const StatisticsArguments& a) {
  for (int64_t r = 0; r < a.logits.count; ++r) {
    Batch batch;
    batch.set_headroom(headroom_for<typename V::Scalar>(1));
    LongRow<V, S> row(a.logits.row(r), a.logits.class_stride, a.logits.classes, a.threads);
    row.statistics(batch);
    a.out[r] = statistics_of(batch, 0);
    if (int64_t column = column_of(a, r); column >= 0) a.out[r].label = row.logit(column);
  }
}

template <class V, class S>
inline void dense_statistics(const StatisticsArguments& a) {
  DensePass<V, S> pass(a.spec, a.targets, a.logits, a.threads);
  pass.run([&](int64_t, const typename DensePass<V, S>::Row& row) { a.out[row.index] = row.statistics(); },
           [&](int64_t, int64_t r) { a.out[r] = RowStatistics(); });
}

template <class V, class S>
inline void statistics_rows(const StatisticsArguments& a) {
  bool plain = !a.targets.labels && !a.targets.probabilities.data;
  if (!plain && !a.targets.one_hot(a.spec)) return dense_statistics<V, S>(a);
  if (a.logits.classes > block_classes<V>) return long_row_statistics<V, S>(a);
  if (ColumnTile<V, S>::suits(a.logits)) return batch_statistics<ColumnTile<V, S>, V, S>(a);
  return batch_statistics<RowBatch<V, S>, V, S>(a);
}

inline void merge_statistics(const RowStatistics* parts, int64_t blocks, int64_t rows, RowStatistics* out) {
  for (int64_t r = 0; r < rows; ++r) out[r] = merged(parts + r, blocks, rows, RowStatistics::headroom);
}

}  // namespace softgrad::SOFTGRAD_ISA
