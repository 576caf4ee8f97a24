// What the compiled kernels offer, one table per instruction set.
#pragma once

#include <cstdint>

#include "simd/dtype.h"
#include "ops/loss_spec.h"
#include "layout/row_statistics.h"
#include "layout/rows.h"
#include "ops/targets.h"

namespace softgrad {

enum class SoftmaxKind : int { softmax, log_softmax, logsumexp };

struct SoftmaxArguments {
  SoftmaxKind kind;
  DType dtype;
  Rows logits;
  Rows out;                         // logsumexp: rows of one element
  const RowStatistics* statistics;  // of the rows, where they are known; or nullptr
  int threads;
};

// Statistics of the rows, or of the block of their classes that the logits are.
struct StatisticsArguments {
  LossSpec spec;
  Targets targets;
  DType dtype;
  Rows logits;
  RowStatistics* out;
  int threads;
};

struct CrossEntropyArguments {
  LossSpec spec;
  Targets targets;
  DType dtype;
  Rows logits;
  Rows gradient;                    // data == nullptr: not wanted
  const RowStatistics* statistics;  // of the rows, where they are known; or nullptr
  const double* row_scale;          // per row, multiplies the gradient; or nullptr
  double weight_unit = 1;           // multiplies the class weights, z_loss and the denominator
  void* loss;                       // per row (float64 for float64 logits, else float32); nullptr: summed
  int threads;
};

//   curvature                a·(Diag(p) - p pᵀ) + b·p pᵀ
//   log_softmax              I - 1 pᵀ
//   log_softmax_transposed   I - p 1ᵀ
enum class OperatorKind : int { curvature, log_softmax, log_softmax_transposed };

// An operator for each row of probs, applied to `columns` vectors v each.
struct OperatorArguments {
  OperatorKind kind;
  DType dtype;  // float32 or float64, of all arrays
  Rows probs;
  Rows v;
  Rows out;
  int64_t columns;
  const int64_t* pivot;    // a most probable class, per row of probs
  const double* jacobian;  // a, per row; nullptr: 1
  const double* outer;     // b, per row; nullptr: 0
  const double* rest;      // Σ p over all classes but the pivot, per row; for log_softmax_transposed
  int threads;
};

// The Hessian of the cross-entropy with respect to the logits, applied to one vector for each row.
struct HvpArguments {
  LossSpec spec;
  Targets targets;
  DType dtype;
  Rows logits;
  Rows v;
  Rows out;
  const RowStatistics* statistics;  // of the rows, where they are known; or nullptr
  const double* mass;               // Σ y, per row; nullptr: 1
  const double* row_scale;          // per row, multiplies the Hessian; or nullptr
  int threads;

  bool ignores(int64_t row) const { return targets.labels && spec.ignores(targets.label(row)); }
};

// The Jacobian of softmax at its results probs, applied to one vector for each row.
struct SoftmaxVjpArguments {
  DType dtype;
  Rows probs;
  Rows v;
  Rows out;
  int threads;
};

// The eigenvalues of a·(Diag(p) - p pᵀ) + b·p pᵀ, times secular_unit, each a pole plus an offset. The unit keeps
// poles, weights and offsets of the smallest probabilities out of the subnormal range.
inline constexpr double secular_unit = 0x1p200;

struct SecularArguments {
  int64_t rows, classes;
  const double* probs;     // every row ascending
  const double* jacobian;  // a, per row
  const double* outer;     // b, per row
  double* origin;
  double* offset;
  int threads;
};

// Compensated sums of float64 rows.
struct SumArguments {
  Rows rows;
  double* out;  // one for each row
  int threads;
};

// The rows x_n of a linear head: dense, or compressed sparse.
struct DesignMatrix {
  Rows dense;                  // a row for each x_n
  const void* data = nullptr;  // sparse: the entries, their columns, and where each row starts; nullptr: dense
  const void* indices;
  const void* starts;
  bool wide_indices;  // int64 rather than int32
  int64_t entries;
  int64_t rows, features;
};

// A linear head and the sums of one pass over its rows; see linear_head.h.
struct LinearHead {
  DType dtype;  // float32 or float64, of x and probs
  DesignMatrix x;
  int64_t classes;
  const double* W;     // (classes, features)
  const double* bias;  // (classes)
  const double* row_weight;
  double* sum_W;     // (classes, features)
  double* sum_bias;  // (classes)
  int threads;
};

struct LinearHeadGradientArguments {
  LinearHead head;
  LossSpec spec;
  const int64_t* labels;
  const double* probabilities;  // (rows, classes): targets, if there are no labels
  void* probs;                  // (rows, classes), written; or nullptr
};

// The Hessian times (W, bias).
struct LinearHeadHvpArguments {
  LinearHead head;
  const void* probs;  // (rows, classes)
};

// The weighted mean and variance of the columns of a dense matrix.
struct MomentArguments {
  DType dtype;  // float32 or float64
  Rows x;       // a row for each row of the matrix
  const double* weight;
  double* mean;
  double* variance;
  int threads;
};

// Weighted Gram matrices of standardised rows; see weighted_gram.h.
struct GramArguments {
  DType dtype;  // float32 or float64, of x, mean, inverse_scale and grams
  DesignMatrix x;
  const int64_t* index;  // which rows of x
  int64_t rows;
  const double* weights;  // (rows, classes)
  int64_t classes;
  const void* mean;           // (features)
  const void* inverse_scale;  // (features)
  bool intercept;
  void* grams;  // (classes, columns, columns), with a column for the intercept; added to
  int threads;
};

struct Kernels {
  const char* name;
  void (*softmax)(const SoftmaxArguments&);
  void (*row_statistics)(const StatisticsArguments&);
  // Those of rows from `blocks` arrays of those of blocks of their classes, one after the other.
  void (*merge_statistics)(const RowStatistics* parts, int64_t blocks, int64_t rows, RowStatistics* out);
  // Returns the summed loss / denominator; 0 where loss rows are written.
  double (*cross_entropy)(const CrossEntropyArguments&);
  void (*apply_operator)(const OperatorArguments&);
  void (*hvp)(const HvpArguments&);
  void (*softmax_vjp)(const SoftmaxVjpArguments&);
  void (*secular)(const SecularArguments&);
  void (*sum_rows)(const SumArguments&);
  // Returns the summed loss.
  double (*linear_head_gradient)(const LinearHeadGradientArguments&);
  void (*linear_head_hvp)(const LinearHeadHvpArguments&);
  void (*weighted_grams)(const GramArguments&);
  // Returns the largest |x|.
  double (*column_moments)(const MomentArguments&);
  // exp(z - m) and log(1 + s) element by element, for the tests of the elementary functions.
  void (*exp_difference)(DType, const void* z, double m, void* out, int64_t n);
  void (*log1p)(const double* s, double* out, int64_t n);
};

}  // namespace softgrad
