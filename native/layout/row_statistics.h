// The statistics of a row of logits, or of a block of its classes, from which softmax, the loss and their derivatives
// follow. merge_statistics.h merges those of blocks into those of the row.
#pragma once

namespace softgrad {

struct RowStatistics {
  // Sums of exponentials carry 2^headroom, which keeps the smallest of them out of the subnormal range.
  static constexpr double headroom = 512;
  static constexpr int fields = 11;

  double maximum = -__builtin_inf();  // m
  double rest_hi = 0, rest_lo = 0;    // 2^headroom·Σ exp(z - m) over the elements below m
  double ties = 0;                    // the number of elements equal to m: s' = Σ exp(z - m) + (ties - 1)
  double label = -__builtin_inf();    // z_y; -inf if the label is in another block
  double mass_hi = 0, mass_lo = 0;    // Σ y; this and the rest for targets that are not one-hot
  double below_hi = 0, below_lo = 0;  // Σ y over the elements below m
  double dot_hi = 0, dot_lo = 0;      // Σ y·(m - z)
};
static_assert(sizeof(RowStatistics) == RowStatistics::fields * sizeof(double));

}  // namespace softgrad
