// Losses under every option, and their exact results.
#pragma once

#include "calls.h"
#include "oracle.h"

namespace softgrad::native_tests {

// The exact losses and gradients of a problem, and the larger of each gradient's terms.
struct ExactLoss {
  Matrix<Real> losses, loss_scale;
  Matrix<Real> gradient, largest_term;
  Real sum = 0, sum_scale = 0;  // over the rows, divided

  ExactLoss(const std::vector<ExactRow>& rows, const LossProblem& problem);

 private:
  void add_row(int64_t i, const ExactRow& row, const LossProblem& problem);
};

// The larger terms, times the part of them to whose last place a gradient is held where that exceeds the result
// itself: nothing without a cancellation; 2^-28 where float32 is computed in double.
Matrix<Real> gradient_scale(const LossProblem& problem, DType dtype, const ExactLoss& exact);

struct Options {
  const char* name;
  bool weight, ignore, row_scale, mean;
  double label_smoothing, z_loss;
};

inline constexpr Options options[] = {
    {"plain", false, false, false, false, 0, 0},           {"mean", false, false, false, true, 0, 0},
    {"weight", true, false, false, false, 0, 0},           {"weight, mean", true, false, false, true, 0, 0},
    {"ignored rows", false, true, false, true, 0, 0},      {"row scale", false, false, true, false, 0, 0},
    {"z-loss", false, false, false, false, 0, 0.25},       {"smoothing", false, false, false, false, 0.1, 0},
    {"smoothing of 1", false, false, false, false, 1, 0},  {"all", true, true, true, true, 0.2, 0.1},
    {"all but smoothing", true, true, true, true, 0, 0.1}, {"all but the mean", true, true, true, false, 0.2, 0.1},
};

// Of class probabilities, or of random labels if there are none.
LossProblem problem_with(const Options& o, const Matrix<double>& z, const Array* probabilities);

}  // namespace softgrad::native_tests
