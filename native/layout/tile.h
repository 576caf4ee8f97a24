// What RowBatch and ColumnTile have in common: a few rows whose passes run together and whose statistics a
// Batch holds. Kernels that work on either are templates over it.
#pragma once

#include <concepts>

#include "layout/batch_statistics.h"
#include "layout/row_statistics.h"

namespace softgrad::SOFTGRAD_ISA {

template <class F>
concept Family = requires(F rows, const F& loaded, const Rows& out, char* scratch, int64_t n, int i, Batch& batch,
                          const Batch& finished, const RowStatistics* given, bool stream, const int64_t* column,
                          const double* value) {
  // For rows of n classes: how many are loaded at once, and the memory that the constructor takes for them.
  { F::capacity(n) } -> std::same_as<int>;
  { F::scratch_bytes(n) } -> std::same_as<int64_t>;
  F(out, scratch);
  rows.load(n, i);

  // Both fill the batch; statistics<true> and keep_as_is also keep exponentials, or what stands in their place.
  // The statistics come from the logits or, where they are given, from there.
  rows.template statistics<true>(batch, given);
  rows.template statistics<false>(batch, given);
  rows.keep_as_is(batch);
  { loaded.logit(i, n) } -> std::same_as<double>;
  { loaded.exponential(i, n) } -> std::same_as<double>;

  rows.write_scaled(finished, out, stream, column, value);
  rows.write_log_softmax(finished, out, stream);
  rows.flush();  // writes that may have been put off
};

}  // namespace softgrad::SOFTGRAD_ISA
