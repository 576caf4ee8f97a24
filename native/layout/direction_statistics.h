// The statistics of a direction v in a row of logits, or in a block of its classes, from which Hessian-vector products
// follow, given the RowStatistics of the row. ops/directions.h merges those of blocks into those of the row.
#pragma once

namespace softgrad {

struct DirectionStatistics {
  static constexpr int fields = 6;

  double pivot = 0;               // v at a largest logit of the block
  double at_maximum = 0;          // 1 if that logit is the maximum m of the row, else 0
  double sum_hi = 0, sum_lo = 0;  // Σ e_j, e_j = 2^hvp_headroom·exp(z_j - m)
  double dot_hi = 0, dot_lo = 0;  // Σ e_j (v_j - pivot)
};
static_assert(sizeof(DirectionStatistics) == DirectionStatistics::fields * sizeof(double));

}  // namespace softgrad
