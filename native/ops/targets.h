// The targets of a loss, their validity and their weight.
#pragma once

#include <cstdint>

#include "layout/rows.h"
#include "ops/loss_spec.h"
#include "simd/dtype.h"

namespace softgrad {

// Labels or class probabilities, and class weights.
struct Targets {
  const int64_t* labels = nullptr;  // per row; nullptr: probabilities
  Rows probabilities;
  DType dtype = DType::float64;          // of the probabilities
  const double* class_weight = nullptr;  // per class; nullptr: 1
  double denominator = 1;                // divides the summed loss and its derivatives; in two parts for float64
  double denominator_rest = 0;
  int64_t first_class = 0;  // of the logits, if they are a block of the classes
  int64_t classes = 0;      // of all blocks; 0: as many as logits

  // The label of a row; atomic, because another thread may change it while a kernel runs.
  [[gnu::always_inline]] int64_t label(int64_t row) const { return __atomic_load_n(labels + row, __ATOMIC_RELAXED); }

  // Whether y is nonzero only at the labels.
  [[gnu::always_inline]] bool one_hot(const LossSpec& spec) const { return labels && spec.label_smoothing == 0; }
};

struct LabelSummary {
  int64_t bad_row = -1;  // the first row whose label is out of range and not ignored, or -1
  double weight = 0;     // the summed weight of the labels that are not ignored,
  double rest = 0;       // and its rounding error
};

LabelSummary summarise_labels(const LossSpec& spec, const int64_t* labels, int64_t rows, int64_t classes,
                              const double* class_weight);

// The first row with a negative or infinite value, or -1. NaN is valid: it makes its row NaN.
int64_t first_bad_probabilities(const Rows& probs, DType dtype, int threads);

// Writes Σ_c w_c q_c for every row; without class weights Σ_c q_c.
void sum_probabilities(const Rows& probs, DType dtype, const double* class_weight, double* sums, int threads);

}  // namespace softgrad
