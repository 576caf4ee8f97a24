// The kernels of one instruction set.
#pragma once

#include "ops/arguments.h"

namespace softgrad {

struct Kernels {
  const char* name;
  void (*softmax)(const SoftmaxArguments&);
  void (*row_statistics)(const StatisticsArguments&);
  // parts: (blocks, rows).
  void (*merge_statistics)(const RowStatistics* parts, int64_t blocks, int64_t rows, RowStatistics* out);
  // Returns the summed loss / denominator, or 0 if the losses of rows are written.
  double (*cross_entropy)(const CrossEntropyArguments&);
  void (*apply_operator)(const OperatorArguments&);
  void (*direction_statistics)(const DirectionArguments&);
  // parts: (blocks, rows).
  void (*merge_directions)(const DirectionStatistics* parts, int64_t blocks, int64_t rows, DirectionStatistics* out);
  void (*hvp)(const HvpArguments&);
  void (*softmax_vjp)(const SoftmaxVjpArguments&);
  void (*secular)(const SecularArguments&);
  void (*sum_rows)(const SumArguments&);
  // Returns the summed loss.
  double (*linear_head_gradient)(const LinearHeadGradientArguments&);
  void (*linear_head_hvp)(const LinearHeadHvpArguments&);
  void (*class_weights)(const ClassWeightArguments&);
  void (*weighted_grams)(const GramArguments&);
  void (*cholesky_solve)(const CholeskySolveArguments&);
  // Returns the largest |x|.
  double (*column_sums)(const ColumnSumArguments&);
  // exp(z - m) and log(1 + s) of each element, for tests.
  void (*exp_difference)(DType, const void* z, double m, void* out, int64_t n);
  void (*log1p)(const double* s, double* out, int64_t n);
};

}  // namespace softgrad
