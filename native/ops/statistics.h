// The statistics of rows or of a block of their classes, and the merged statistics of blocks.
#pragma once

#include "layout/column_tile.h"
#include "layout/long_row.h"
#include "layout/row_tile.h"
#include "layout/tile.h"
#include "ops/dense_target.h"

namespace softgrad::SOFTGRAD_ISA {

// The column of the label, or -1 if it is not in this block of the classes.
inline int64_t column_of(const StatisticsArguments& args, int64_t row) {
  int64_t column = args.targets.labels ? args.targets.label(row) - args.targets.first_class : -1;
  return column < args.logits.classes ? column : -1;
}

template <Tile R, class V, class S>
inline void tile_statistics(const StatisticsArguments& args) {
  int capacity = R::capacity(args.logits.classes);
  auto group = [&](int64_t, int64_t first, int64_t end, char* scratch) {
    BatchStatistics batch;
    batch.set_headroom(headroom_for<typename V::Scalar>(1));
    R rows(args.logits, scratch);
    for (; first < end; first += capacity) {
      int count = static_cast<int>(left_of(end, first, capacity));
      rows.load(first, count);
      rows.template statistics<false>(batch);
      for (int i = 0; i < count; ++i) {
        args.out[first + i] = statistics_of(batch, i);
        if (int64_t column = column_of(args, first + i); column >= 0) args.out[first + i].label = rows.logit(i, column);
      }
    }
  };
  for_groups(Groups(args.logits, capacity), R::scratch_bytes(args.logits.classes), args.threads, group);
}

template <class V, class S>
inline void long_row_statistics(const StatisticsArguments& args) {
  for (int64_t r = 0; r < args.logits.count; ++r) {
    BatchStatistics batch;
    batch.set_headroom(headroom_for<typename V::Scalar>(1));
    LongRow<V, S> row(args.logits.row(r), args.logits.class_stride, args.logits.classes, args.threads);
    row.statistics(batch);
    args.out[r] = statistics_of(batch, 0);
    if (int64_t column = column_of(args, r); column >= 0) args.out[r].label = row.logit(column);
  }
}

template <class V, class S>
inline void dense_statistics(const StatisticsArguments& args) {
  DensePass<V, S> pass(args.spec, args.targets, args.logits, args.threads);
  pass.run([&](int64_t, const typename DensePass<V, S>::Row& row) { args.out[row.index] = row.statistics(); },
           [&](int64_t, int64_t r) { args.out[r] = RowStatistics(); });
}

template <class V, class S>
inline void statistics_rows(const StatisticsArguments& args) {
  bool plain = !args.targets.labels && !args.targets.probabilities.data;
  if (!plain && !args.targets.one_hot(args.spec)) return dense_statistics<V, S>(args);
  if (args.logits.classes > block_classes<V>) return long_row_statistics<V, S>(args);
  if (ColumnTile<V, S>::suits(args.logits)) return tile_statistics<ColumnTile<V, S>, V, S>(args);
  return tile_statistics<RowTile<V, S>, V, S>(args);
}

inline void merge_statistics(const RowStatistics* parts, int64_t blocks, int64_t rows, RowStatistics* out) {
  for (int64_t r = 0; r < rows; ++r) out[r] = merged(parts + r, blocks, rows, RowStatistics::headroom);
}

}  // namespace softgrad::SOFTGRAD_ISA
