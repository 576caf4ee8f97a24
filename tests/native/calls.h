// Calls of the kernels with a test's arrays: the one place that fills in the structs of native/ops/arguments.h.
#pragma once

#include <optional>

#include "arrays.h"
#include "module/kernels.h"

namespace softgrad::native_tests {

struct Denominator {
  double value = 1, rest = 0;  // the nearest double, and what it leaves

  Denominator() = default;
  explicit Denominator(Real exact) : value(static_cast<double>(exact)), rest(static_cast<double>(exact - value)) {}
  Real exact() const { return Real(value) + rest; }
};

// The targets and options of a loss. Empty: not given.
struct LossProblem {
  std::vector<int64_t> labels;
  const Array* probabilities = nullptr;
  std::vector<double> weight;     // for each class
  std::vector<double> row_scale;  // for each row
  std::optional<int64_t> ignore_index;
  double label_smoothing = 0;
  double z_loss = 0;
  Denominator denominator;
  int64_t first_class = 0, classes = 0;       // of logits that are a block of the classes
  const RowStatistics* statistics = nullptr;  // of the rows

  bool ignores(int64_t row) const { return !labels.empty() && ignore_index && labels[row] == *ignore_index; }
};

void call_softmax(const Kernels& kernels, SoftmaxKind kind, const Array& logits, Array& out, int threads = 1,
                  const RowStatistics* statistics = nullptr);

std::vector<RowStatistics> call_row_statistics(const Kernels& kernels, const Array& logits, const LossProblem& problem,
                                               int threads = 1);
// parts: of blocks of the classes, those of every row each.
std::vector<RowStatistics> call_merge_statistics(const Kernels& kernels,
                                                 const std::vector<std::vector<RowStatistics>>& parts);

// gradient, losses: nullptr where they are not wanted; the summed loss comes back if there are no rows of losses.
double call_cross_entropy(const Kernels& kernels, const Array& logits, const LossProblem& problem, Array* gradient,
                          Array* losses, int threads = 1);

struct HvpProblem {
  std::vector<int64_t> labels;    // only to tell which rows are ignored
  std::vector<double> mass;       // for each row
  std::vector<double> row_scale;  // for each row
  std::optional<int64_t> ignore_index;
  double z_loss = 0;
  Denominator denominator;
  const RowStatistics* statistics = nullptr;        // of the rows
  const DirectionStatistics* directions = nullptr;  // of v in the rows

  bool ignores(int64_t row) const { return !labels.empty() && ignore_index && labels[row] == *ignore_index; }
};

std::vector<DirectionStatistics> call_direction_statistics(const Kernels& kernels, const Array& logits, const Array& v,
                                                           const std::vector<RowStatistics>& statistics,
                                                           int threads = 1);
// parts: of blocks of the classes, those of every row each.
std::vector<DirectionStatistics> call_merge_directions(const Kernels& kernels,
                                                       const std::vector<std::vector<DirectionStatistics>>& parts);

void call_hvp(const Kernels& kernels, const Array& logits, const HvpProblem& problem, const Array& v, Array& out,
              int threads = 1);

void call_softmax_vjp(const Kernels& kernels, const Array& probabilities, const Array& v, Array& out, int threads = 1);

struct OperatorProblem {
  OperatorKind kind = OperatorKind::curvature;
  std::vector<int64_t> top;        // for each row
  std::vector<double> a, b;        // for each row
  std::vector<double> complement;  // for each row
  int64_t columns = 1;
};

void call_operator(const Kernels& kernels, const OperatorProblem& problem, const Array& probabilities, const Array& v,
                   Array& out, int threads = 1);

// Rows in compressed form; wide: column indices and starts of 64 bits.
struct SparseMatrix {
  std::vector<char> data, indices, starts;
  bool wide = false;
  int64_t entries = 0;

  SparseMatrix(DType dtype, const Matrix<double>& values, bool wide);
};

struct LinearHeadProblem {
  DType dtype = DType::float64;
  const Array* dense = nullptr;
  const SparseMatrix* sparse = nullptr;
  int64_t rows = 0, features = 0, classes = 0;
  int64_t leaf_rows = 512;
  std::vector<double> W, bias;  // (classes, features), (classes)
  std::vector<int64_t> labels;
  std::vector<double> probabilities;  // (rows, classes); or empty
  std::vector<double> weight;         // for each row
  double label_smoothing = 0;
};

struct LinearHeadSums {
  double loss = 0;
  std::vector<double> W, bias;
};

// probabilities: kept if not nullptr.
LinearHeadSums call_linear_head_gradient(const Kernels& kernels, const LinearHeadProblem& problem, void* probabilities,
                                         int threads = 1);
// The Hessian times (W, bias) of the problem.
LinearHeadSums call_linear_head_hvp(const Kernels& kernels, const LinearHeadProblem& problem, const void* probabilities,
                                    int threads = 1);

std::vector<double> call_sum_rows(const Kernels& kernels, const Array& x, int threads = 1);

// Columns: Σ weight (x - 0.5), Σ weight (x - 0.5)²; then the largest |x|.
std::vector<double> call_column_sums(const Kernels& kernels, const Array& x, int64_t leaf_rows,
                                     const std::vector<double>& weight, int threads = 1);

// Gram matrices (classes, columns, columns) of the rows of x, standardised by mean 0 and scale 1, with an intercept.
std::vector<double> call_weighted_grams(const Kernels& kernels, const Array& x, const std::vector<double>& weights,
                                        int64_t classes, int threads = 1);

// m p (1 - p) of the rows of x, p the softmax of W x + bias: (rows, classes).
std::vector<double> call_class_weights(const Kernels& kernels, const Array& x, const std::vector<double>& W,
                                       const std::vector<double>& bias, const std::vector<double>& mass,
                                       int threads = 1);

// Solutions of L Lᵀ x = b of shape (vectors, columns); L: Lᵀ in row-major order, (factors, columns, columns).
std::vector<double> call_cholesky_solve(const Kernels& kernels, const Array& L, const Array& b, int64_t factors,
                                        int threads = 1);

// Eigenvalues of a·(Diag(p) - p pᵀ) + b·p pᵀ for rows of ascending p, one after the other.
std::vector<double> call_secular(const Kernels& kernels, const Matrix<double>& probabilities, double a, double b,
                                 int threads = 1);

}  // namespace softgrad::native_tests
