#include "oracle.h"

#include <algorithm>

namespace softgrad::native_tests {

TwoReals exact_sum(Real a, Real b) {
  Real s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

void CompensatedSum::add(Real x) {
  TwoReals s = exact_sum(sum_, x);
  sum_ = s.hi;
  if (std::isfinite(s.hi)) error_ += s.lo;
}

namespace {

// exp(z - m) without rounding z - m.
Real exp_of_difference(double z, double m) {
  if (z == -INFINITY && m > -INFINITY) return 0;
  TwoReals d = exact_sum(z, -m);
  Real e = std::exp(d.hi);
  return e + e * d.lo;
}

// Σ x_i over i != skipped.
Real sum_without(const std::vector<Real>& x, size_t skipped) {
  CompensatedSum sum;
  for (size_t i = 0; i < x.size(); ++i)
    if (i != skipped) sum.add(x[i]);
  return sum.value();
}

// Every Σ_{i≠j} x_i of x >= 0: a difference from the total, unless that would cancel.
std::vector<Real> sums_of_others(const std::vector<Real>& x) {
  Real total = sum_without(x, x.size());
  std::vector<Real> others(x.size());
  for (size_t j = 0; j < x.size(); ++j) others[j] = x[j] > total / 4 ? sum_without(x, j) : total - x[j];
  return others;
}

}  // namespace

ExactRow::ExactRow(const double* z, int64_t n) : p(n), complement(n), log_p(n) {
  double m = -INFINITY;
  bool nan = false;
  for (int64_t j = 0; j < n; ++j) {
    m = std::max(m, z[j]);
    nan = nan || std::isnan(z[j]);
    if (std::isfinite(z[j])) magnitude = std::max(magnitude, Real(std::fabs(z[j])));
  }
  std::vector<Real> e(n);
  for (int64_t j = 0; j < n; ++j) e[j] = exp_of_difference(z[j], m);
  Real sum = sum_without(e, e.size());
  std::vector<Real> others = sums_of_others(e);
  for (int64_t j = 0; j < n; ++j) {
    p[j] = e[j] / sum;
    complement[j] = others[j] / sum;
    log_p[j] = p[j] > 0.5L ? std::log1p(-complement[j]) : std::log(p[j]);
  }
  lse = nan ? Real(NAN) : std::isinf(m) ? Real(m) : m + std::log(sum);
  if (std::isfinite(lse)) magnitude = std::max(magnitude, std::fabs(lse));
}

std::vector<ExactRow> exact_rows(const Matrix<double>& logits) {
  std::vector<ExactRow> rows;
  for (int64_t i = 0; i < logits.rows; ++i) rows.emplace_back(logits.row(i), logits.columns);
  return rows;
}

std::vector<Real> target_weights(const double* q, int64_t n, Smoothing smoothing) {
  std::vector<Real> y(n);
  for (int64_t j = 0; j < n; ++j) {
    y[j] = (1 - Real(smoothing.label_smoothing)) * q[j] + Real(smoothing.label_smoothing) / n;
    if (smoothing.weight) y[j] *= smoothing.weight[j];
  }
  return y;
}

std::vector<Real> one_hot_weights(int64_t label, int64_t n, Smoothing smoothing) {
  std::vector<double> q(n);
  q[label] = 1;
  return target_weights(q.data(), n, smoothing);
}

Real exact_loss(const ExactRow& row, const std::vector<Real>& y, double z_loss) {
  CompensatedSum loss;
  for (size_t j = 0; j < y.size(); ++j)
    if (y[j] != 0 || std::isnan(row.log_p[j])) loss.add(y[j] * -row.log_p[j]);
  if (z_loss != 0) loss.add(Real(z_loss) * row.lse * row.lse);
  return loss.value();
}

void exact_gradient(const ExactRow& row, const std::vector<Real>& y, double z_loss, Real* gradient,
                    Real* largest_term) {
  std::vector<Real> others = sums_of_others(y);
  for (size_t k = 0; k < y.size(); ++k) {
    Real pull = row.p[k] * others[k], push = y[k] * row.complement[k];
    Real shift = z_loss == 0 ? 0 : 2 * Real(z_loss) * row.lse * row.p[k];
    gradient[k] = (pull - push) + shift;
    // Where lse is small beside the logits, it has cancelled, in long double too.
    Real lse = std::max(std::fabs(row.lse), row.magnitude / 16);
    largest_term[k] = std::max({row.p[k] * (others[k] + y[k]), y[k], 2 * Real(z_loss) * lse * row.p[k]});
  }
}

namespace {

// Σ_i p_i (v_j - v_i)
Real difference_from_all(const std::vector<Real>& p, const double* v, size_t j) {
  CompensatedSum sum;
  for (size_t i = 0; i < p.size(); ++i) sum.add(p[i] * (Real(v[j]) - v[i]));
  return sum.value();
}

}  // namespace

JacobianProduct::JacobianProduct(const std::vector<Real>& p, const double* v)
    : value(p.size()), centred(p.size()), spread(p.size()) {
  size_t n = p.size(), top = std::max_element(p.begin(), p.end()) - p.begin();
  std::vector<Real> weight = p;
  weight[top] = 1 - sum_without(p, top);
  pivot = v[top];
  CompensatedSum away, distance;
  for (size_t i = 0; i < n; ++i) {
    away.add(p[i] * (v[i] - pivot));
    distance.add(p[i] * std::fabs(v[i] - pivot));
  }
  mean = away.value();
  for (size_t j = 0; j < n; ++j) {
    centred[j] = n <= definition_up_to ? difference_from_all(weight, v, j) : (v[j] - pivot) - mean;
    value[j] = p[j] * centred[j];
    spread[j] = std::fabs(v[j] - pivot) + distance.value();
  }
}

Error error_of(double got, Real exact, DType dtype, Real scale) {
  Error error{0, 0, 0, got, exact};
  if (std::isnan(exact)) {
    error.ulps = std::isnan(got) ? 0 : INFINITY;
  } else if (std::isinf(exact) || !std::isfinite(got)) {
    error.ulps = got == exact ? 0 : INFINITY;
  } else {
    Real unit = ulp(std::max(std::fabs(exact), std::fabs(scale)), format_of(dtype));
    error.ulps = static_cast<double>(std::fabs(got - exact) / unit);
  }
  return error;
}

Error largest_error(const Array& got, const Matrix<Real>& exact, const Matrix<Real>* scale) {
  Error largest;
  for (int64_t i = 0; i < exact.rows; ++i)
    for (int64_t c = 0; c < exact.columns; ++c) {
      Error error = error_of(got.get(i, c), exact(i, c), got.dtype(), scale ? (*scale)(i, c) : Real(0));
      error.row = i;
      error.column = c;
      if (largest.row < 0 || error.ulps > largest.ulps) largest = error;
    }
  return largest;
}

}  // namespace softgrad::native_tests
