// Exact results in long double, by other formulas than the kernels':
//
//   p_j = exp(z_j - m)/Σ exp(z_i - m)                     all elements summed, the maximum too
//   log p_j = log(p_j) where p_j <= 1/2, else log1p(-Σ_{i≠j} p_i)
//   loss = Σ y_j·(-log p_j) + ζ·lse²
//   gradient_k = p_k·Σ_{j≠k} y_j - y_k·(1 - p_k) + 2ζ·lse·p_k
//   J v = p_j·Σ_i p_i·(v_j - v_i)                         the definition, no pivot; it takes n² steps, so long
//                                                         rows go by differences from a pivot
//
// Sums carry their rounding errors, differences of logits too, so the results are off by a few units of 2^-64: below
// 0.01 ULP of a double.
#pragma once

#include "arrays.h"
#include "check.h"

namespace softgrad::native_tests {

inline constexpr double oracle_slack = 0.01;  // ULP of a double

// a + b exactly (Knuth's TwoSum).
struct TwoReals {
  Real hi, lo;
};
TwoReals exact_sum(Real a, Real b);

class CompensatedSum {
 public:
  void add(Real x);
  Real value() const { return sum_ + error_; }

 private:
  Real sum_ = 0, error_ = 0;
};

// One row of logits.
struct ExactRow {
  std::vector<Real> p, complement, log_p;  // p, 1 - p, log p
  Real lse = 0;
  Real magnitude = 0;  // max(|lse|, max |z|)

  ExactRow(const double* z, int64_t n);
};

std::vector<ExactRow> exact_rows(const Matrix<double>& logits);

// Targets as weights of the classes: y_j = w_j·((1 - ε)·q_j + ε/C).
struct Smoothing {
  const double* weight = nullptr;  // w
  double label_smoothing = 0;      // ε
};
std::vector<Real> target_weights(const double* q, int64_t n, Smoothing smoothing);
std::vector<Real> one_hot_weights(int64_t label, int64_t n, Smoothing smoothing);

Real exact_loss(const ExactRow& row, const std::vector<Real>& y, double z_loss);

// The gradient, and the largest of its terms.
void exact_gradient(const ExactRow& row, const std::vector<Real>& y, double z_loss, Real* gradient, Real* largest_term);

inline constexpr size_t definition_up_to = 400;  // classes

// p_j·Σ_i p_i (v_j - v_i), and the magnitude p_j·(|v_j - v_*| + Σ p_i |v_i - v_*|) of its terms, v_* at the largest p.
// Rounded probabilities p do not sum to one: the largest then counts as what the others leave.
struct JacobianProduct {
  std::vector<Real> value, centred, spread;  // value = p∘centred; the magnitude is p∘spread
  Real mean = 0, pivot = 0;                  // pᵀv = pivot + mean, v_*

  JacobianProduct(const std::vector<Real>& p, const double* v);
};

// The largest |got - exact| in ULP of `exact`, or of `scale` where that is larger. Infinities and NaN must agree.
Error largest_error(const Array& got, const Matrix<Real>& exact, const Matrix<Real>* scale = nullptr);
Error error_of(double got, Real exact, DType dtype, Real scale = 0);

}  // namespace softgrad::native_tests
