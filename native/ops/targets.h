// The targets of a loss, and what must be known of them before anything is written: whether they are valid, and how
// much they weigh.
#pragma once

#include <cstdint>

#include "simd/dtype.h"
#include "ops/loss_spec.h"
#include "layout/rows.h"

namespace softgrad {

// Class indices or class probabilities, and a weight for every class.
struct Targets {
  const int64_t* labels = nullptr;  // one per row; nullptr: probabilities
  Rows probabilities;
  DType dtype = DType::float64;          // of the probabilities
  const double* class_weight = nullptr;  // of every class; nullptr: 1
  double denominator = 1;                // divides the summed loss and its derivatives: with what rounding it left,
  double denominator_rest = 0;           // which is exact enough for float64
  int64_t first_class = 0;               // of the logits at hand, where they are a block of the classes,
  int64_t classes = 0;                   // of which there are so many in all; 0: as many as logits

  // The label of a row, read once: another thread may change it while a kernel runs.
  int64_t label(int64_t row) const { return __atomic_load_n(labels + row, __ATOMIC_RELAXED); }

  // Whether y is nonzero at the labels alone.
  bool one_hot(const LossSpec& spec) const { return labels && spec.label_smoothing == 0; }
};

struct LabelSummary {
  int64_t bad_row = -1;  // first row whose label is no class and is not ignored
  double weight = 0;     // summed weights of the labels that count,
  double rest = 0;       // and what rounding took from the sum
};

LabelSummary summarize_labels(const LossSpec& spec, const int64_t* labels, int64_t rows, int64_t classes,
                              const double* class_weight);

// The first row that holds a negative or infinite value, or -1. NaN passes: it makes its row NaN.
int64_t first_bad_probabilities(const Rows& probs, DType dtype, int threads);

// Σ_c w_c q_c of every row; without class weights Σ_c q_c.
void sum_probabilities(const Rows& probs, DType dtype, const double* class_weight, double* sums, int threads);

}  // namespace softgrad
