// The arguments of the kernels: structs that all instruction sets share.
#pragma once

#include <cstdint>

#include "layout/direction_statistics.h"
#include "layout/row_statistics.h"
#include "layout/rows.h"
#include "ops/loss_spec.h"
#include "ops/targets.h"
#include "simd/dtype.h"

namespace softgrad {

enum class SoftmaxKind : int { softmax, log_softmax, logsumexp };

struct SoftmaxArguments {
  SoftmaxKind kind;
  DType dtype;
  Rows logits;
  Rows out;                         // logsumexp: rows of one element
  const RowStatistics* statistics;  // of the rows, if they are known; or nullptr
  int threads;
};

// Statistics of rows, or of a block of their classes.
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
  Rows gradient;                    // data == nullptr: only the loss
  const RowStatistics* statistics;  // of the rows, if they are known; or nullptr
  const double* row_scale;          // multiplies the gradient, per row; or nullptr
  double weight_unit = 1;           // multiplies the class weights, z_loss and the denominator
  void* loss;                       // per row, float64 for float64 logits, else float32; nullptr: return the sum
  int threads;
};

//   curvature                a·(Diag(p) - p pᵀ) + b·p pᵀ
//   log_softmax              I - 1 pᵀ
//   log_softmax_transposed   I - p 1ᵀ
enum class OperatorKind : int { curvature, log_softmax, log_softmax_transposed };

// One operator for each row of probs, times `columns` vectors v each.
struct OperatorArguments {
  OperatorKind kind;
  DType dtype;  // float32 or float64, of all arrays
  Rows probs;
  Rows v;
  Rows out;
  int64_t columns;
  const int64_t* top;        // a most probable class, per row of probs
  const double* a;           // per row of probs; nullptr: 1
  const double* b;           // per row of probs; nullptr: 0
  const double* complement;  // 1 - p at the top class, per row of probs; for log_softmax_transposed
  int threads;
};

// Statistics of one direction v for each row, or of a block of the classes.
struct DirectionArguments {
  DType dtype;
  Rows logits;
  Rows v;
  const RowStatistics* statistics;  // of the rows
  DirectionStatistics* out;
  int threads;
};

// The Hessian of the cross-entropy in the logits, times one vector for each row.
struct HvpArguments {
  LossSpec spec;
  Targets targets;
  DType dtype;
  Rows logits;
  Rows v;
  Rows out;
  const RowStatistics* statistics;        // of the rows, if they are known; or nullptr
  const DirectionStatistics* directions;  // of v in the rows, if they are known and the statistics too; or nullptr
  const double* mass;                     // Σ y, per row; nullptr: 1
  const double* row_scale;                // multiplies the Hessian, per row; or nullptr
  int threads;
};

// The Jacobian of softmax at its result probs, times one vector for each row.
struct SoftmaxVjpArguments {
  DType dtype;
  Rows probs;
  Rows v;
  Rows out;
  int threads;
};

// The eigenvalues of a·(Diag(p) - p pᵀ) + b·p pᵀ, times secular_unit, each as a pole (origin) plus an offset. The unit
// keeps poles, weights and offsets of small probabilities out of the subnormal range.
inline constexpr double secular_unit = 0x1p200;

struct SecularArguments {
  int64_t rows, classes;
  const double* probs;  // ascending in each row
  const double* a;      // per row
  const double* b;      // per row
  double* origin;
  double* offset;
  int threads;
};

// Sums of float64 rows.
struct SumArguments {
  Rows rows;
  double* out;  // per row
  int threads;
};

// The rows x_n of a linear head, dense or sparse (CSR).
struct DesignMatrix {
  Rows dense;
  const void* data = nullptr;  // CSR: the entries, their columns, and the first entry of each row; nullptr: dense
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
  int64_t leaf_rows;  // see tree_sum.h
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
  const double* probabilities;  // (rows, classes), the targets if there are no labels
  void* probs;                  // (rows, classes), the softmax to write; or nullptr
};

// The Hessian times (W, bias).
struct LinearHeadHvpArguments {
  LinearHead head;
  const void* probs;  // (rows, classes)
};

// Weighted sums over the rows of a dense matrix; see column_sums.h.
struct ColumnSumArguments {
  DType dtype;  // float32 or float64
  Rows x;
  int64_t leaf_rows;     // see tree_sum.h
  const double* weight;  // of the rows
  const double* origin;  // of the columns
  double* sums;          // (2, columns)
  int threads;
};

// The weights of rows in the Hessian of every class; see class_weights.h.
struct ClassWeightArguments {
  DType dtype;  // float32 or float64, of x
  DesignMatrix x;
  const int64_t* index;  // (rows), into the rows of x
  int64_t rows;
  int64_t classes;
  const double* W;     // (classes, features)
  const double* bias;  // (classes)
  const double* mass;  // (rows)
  double* weights;     // (rows, classes)
  int threads;
};

// Right-hand sides that Cholesky factors solve in place; see cholesky_solve.h.
struct CholeskySolveArguments {
  DType dtype;    // float32 or float64
  const void* L;  // (factors, columns, columns)
  int64_t factors, columns;
  void* x;  // (vectors, columns)
  int64_t vectors;
  int threads;
};

// Weighted Gram matrices of standardised rows; see gram.h.
struct GramArguments {
  DType dtype;  // float32 or float64, of x, mean, inverse_scale and grams
  DesignMatrix x;
  const int64_t* index;  // (rows), into the rows of x
  int64_t rows;
  const double* weights;  // (rows, classes)
  int64_t classes;
  const void* mean;           // (features)
  const void* inverse_scale;  // (features)
  bool intercept;
  void* grams;  // (classes, columns, columns), the last column for the intercept; the results are added
  int threads;
};

}  // namespace softgrad
