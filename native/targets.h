// What must be known of the targets before anything is written: are they valid, what is their weight.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "rows.h"

namespace softgrad {

struct LabelSummary {
  int64_t bad_row = -1;  // first row whose label is no class and is not ignored
  double weight = 0;     // summed weights of the labels that count,
  double rest = 0;       // and what rounding took from the sum
};

LabelSummary summarize_labels(const int64_t* target, int64_t rows, int64_t classes, bool has_ignore_index,
                              int64_t ignore_index, const double* weight);

// The first row that holds a negative or infinite value, or -1. NaN passes: it makes its row NaN.
int64_t first_bad_probabilities(const Rows& probs, DType dtype, int threads);

// Σ_c w_c q_c of every row; no weight: Σ_c q_c.
void sum_targets(const Rows& probs, DType dtype, const double* weight, double* mass, int threads);

}  // namespace softgrad
