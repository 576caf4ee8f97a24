// A tile: rows that are loaded together and whose passes run together. Kernels are templates over RowTile, with the
// classes in the lanes, and ColumnTile, with the rows in the lanes.
#pragma once

#include <concepts>

#include "layout/batch_statistics.h"
#include "layout/row_statistics.h"

namespace softgrad::SOFTGRAD_ISA {

template <class R>
concept Tile = requires(R rows, const R& loaded, const Rows& out, char* scratch, int64_t n, int i,
                        BatchStatistics& batch, const BatchStatistics& finished, const RowStatistics* given,
                        bool stream, const int64_t* column, const double* value) {
  // For rows of n classes: how many fit, and the memory that the constructor takes.
  { R::capacity(n) } -> std::same_as<int>;
  { R::scratch_bytes(n) } -> std::same_as<int64_t>;
  R(out, scratch);
  rows.load(n, i);

  // Fill the batch, from the logits or from given statistics. statistics<true> also keeps the exponentials, keep_as_is
  // the elements themselves.
  rows.template statistics<true>(batch, given);
  rows.template statistics<false>(batch, given);
  rows.keep_as_is(batch);
  { loaded.logit(i, n) } -> std::same_as<double>;
  { loaded.exponential(i, n) } -> std::same_as<double>;

  rows.write_scaled(finished, out, stream, column, value);
  rows.write_log_softmax(finished, out, stream);
  rows.flush();  // finishes a pending write
};

}  // namespace softgrad::SOFTGRAD_ISA
