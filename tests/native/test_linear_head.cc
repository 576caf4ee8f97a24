// One pass over the rows of a linear head: dense and compressed rows, gradients and Hessian products.
//
// Its logits and its sums within a chunk have the element type, so an error is measured in units of the magnitude
// of everything that was summed, not of the result.
#include <algorithm>

#include "bounds.h"
#include "calls.h"
#include "families.h"

namespace softgrad::native_tests {
namespace {

// ε times the magnitude; a chunk sums up to 256 rows, a logit its features.
constexpr double allowed_units = 16;

struct Case {
  DType dtype;
  int64_t rows, features, classes;
  bool dense_targets;
  double label_smoothing;
};

const Case cases[] = {
    {DType::float32, 1, 1, 2, false, 0},     {DType::float32, 33, 7, 3, false, 0},
    {DType::float64, 33, 7, 3, true, 0},     {DType::float32, 257, 20, 10, true, 0},
    {DType::float64, 70, 5, 17, false, 0.1}, {DType::float64, 300, 64, 33, false, 0},
    {DType::float32, 65, 1030, 9, false, 0}, {DType::float64, 19, 3, 70, true, 0.2},
};

struct Magnitudes {
  std::vector<Real> W, bias;
  Real loss = 0;
};

struct Exact {
  std::vector<Real> W, bias;
  Real loss = 0;
  Magnitudes magnitudes;

  Exact(int64_t classes, int64_t features) : W(classes * features), bias(classes), magnitudes{W, bias} {}

  // Adds g xᵀ and g; size: the magnitude of each g.
  void add(const std::vector<Real>& g, const std::vector<Real>& size, const double* x, int64_t features) {
    for (size_t k = 0; k < g.size(); ++k) {
      bias[k] += g[k];
      magnitudes.bias[k] += size[k];
      for (int64_t d = 0; d < features; ++d) {
        W[k * features + d] += g[k] * x[d];
        magnitudes.W[k * features + d] += size[k] * std::fabs(x[d]);
      }
    }
  }
};

struct LogitsOfRow {
  std::vector<Real> value;
  Real magnitude = 1;  // of the largest sum, and at least 1
};

LogitsOfRow logits_of(const LinearHeadProblem& problem, const double* x) {
  LogitsOfRow logits;
  for (int64_t k = 0; k < problem.classes; ++k) {
    Real sum = problem.bias[k], size = std::fabs(sum);
    for (int64_t d = 0; d < problem.features; ++d) {
      sum += Real(problem.W[k * problem.features + d]) * x[d];
      size += std::fabs(Real(problem.W[k * problem.features + d]) * x[d]);
    }
    logits.value.push_back(sum);
    logits.magnitude = std::max(logits.magnitude, size);
  }
  return logits;
}

std::vector<Real> targets_of(const LinearHeadProblem& problem, int64_t i) {
  Smoothing smoothing{nullptr, problem.label_smoothing};
  if (problem.labels.empty())
    return target_weights(problem.probabilities.data() + i * problem.classes, problem.classes, smoothing);
  return one_hot_weights(problem.labels[i], problem.classes, smoothing);
}

Exact exact_gradient_pass(const LinearHeadProblem& problem, const Matrix<double>& x) {
  Exact exact(problem.classes, problem.features);
  for (int64_t i = 0; i < x.rows; ++i) {
    LogitsOfRow logits = logits_of(problem, x.row(i));
    // To double: an error of 2^-53 in a logit is far below that of the pass.
    std::vector<double> z(logits.value.begin(), logits.value.end());
    ExactRow row(z.data(), problem.classes);
    std::vector<Real> y = targets_of(problem, i), g(problem.classes), larger(problem.classes);
    exact_gradient(row, y, 0, g.data(), larger.data());
    Real mass = 0;
    for (Real share : y) mass += share;
    for (int64_t k = 0; k < problem.classes; ++k) {
      g[k] *= problem.weight[i];
      larger[k] = problem.weight[i] * logits.magnitude * std::max(mass, y[k]);
    }
    exact.add(g, larger, x.row(i), problem.features);
    exact.loss += problem.weight[i] * exact_loss(row, y, 0);
    exact.magnitudes.loss += problem.weight[i] * mass * logits.magnitude;
  }
  return exact;
}

// s·p∘(u - pᵀu), u = W x + bias.
Exact exact_product_pass(const LinearHeadProblem& problem, const Matrix<double>& x, const Array& probabilities) {
  Exact exact(problem.classes, problem.features);
  for (int64_t i = 0; i < x.rows; ++i) {
    LogitsOfRow u = logits_of(problem, x.row(i));
    Real mean = 0;
    for (int64_t k = 0; k < problem.classes; ++k) mean += probabilities.get(i, k) * u.value[k];
    std::vector<Real> g(problem.classes), size(problem.classes);
    for (int64_t k = 0; k < problem.classes; ++k) {
      Real p = probabilities.get(i, k) * Real(problem.weight[i]);
      g[k] = p * (u.value[k] - mean);
      size[k] = p * 2 * u.magnitude;
    }
    exact.add(g, size, x.row(i), problem.features);
  }
  return exact;
}

void check_sums(Context& context, const std::vector<double>& got, const std::vector<Real>& exact,
                const std::vector<Real>& magnitude, DType dtype, const std::string& what) {
  Error largest;
  Real unit = std::ldexp(Real(1), 1 - format_of(dtype).digits);
  for (size_t i = 0; i < exact.size(); ++i) {
    double off = static_cast<double>(std::fabs(got[i] - exact[i]) / (unit * magnitude[i]));
    if (magnitude[i] == 0) off = got[i] == 0 ? 0 : INFINITY;
    if (!(off < largest.ulps)) largest = {off, 0, static_cast<int64_t>(i), got[i], exact[i]};
  }
  context.report.within(largest, allowed_units, std::string("linear head, ") + format_of(dtype).name, what);
}

void check_gradient(Context& context, const LinearHeadProblem& problem, const Matrix<double>& x,
                    const std::string& what) {
  Exact exact = exact_gradient_pass(problem, x);
  LinearHeadSums sums = call_linear_head_gradient(context.kernels, problem, nullptr);
  check_sums(context, sums.W, exact.W, exact.magnitudes.W, problem.dtype, what + ", gradient of W");
  check_sums(context, sums.bias, exact.bias, exact.magnitudes.bias, problem.dtype, what + ", gradient of the bias");
  check_sums(context, {sums.loss}, {exact.loss}, {exact.magnitudes.loss}, problem.dtype, what + ", loss");

  Array kept(problem.dtype, Layout::contiguous, problem.rows, problem.classes);
  LinearHeadSums again = call_linear_head_gradient(context.kernels, problem, kept.data());
  context.report.holds(again.W == sums.W && again.loss == sums.loss, what + ": keeping probabilities changes nothing");
  Exact product = exact_product_pass(problem, x, kept);
  LinearHeadSums hessian = call_linear_head_hvp(context.kernels, problem, kept.data());
  check_sums(context, hessian.W, product.W, product.magnitudes.W, problem.dtype, what + ", Hessian, W");
  check_sums(context, hessian.bias, product.bias, product.magnitudes.bias, problem.dtype, what + ", Hessian, bias");
}

LinearHeadProblem problem_of(const Case& c) {
  LinearHeadProblem problem;
  problem.dtype = c.dtype;
  problem.rows = c.rows;
  problem.features = c.features;
  problem.classes = c.classes;
  problem.label_smoothing = c.label_smoothing;
  problem.W = normal_matrix(c.dtype, c.classes, c.features, 0.3, 0, 21).values;
  problem.bias = normal_matrix(c.dtype, 1, c.classes, 0.3, 0, 22).values;
  Random random(23);
  for (int64_t i = 0; i < c.rows; ++i) {
    problem.weight.push_back(i % 7 == 6 ? 0 : random.uniform() * 2);
    if (!c.dense_targets) problem.labels.push_back(random.below(c.classes));
  }
  if (c.dense_targets) problem.probabilities = soft_targets(DType::float64, c.rows, c.classes).values;
  return problem;
}

void check_linear_head(Context& context) {
  for (const Case& c : cases) {
    if (context.quick && c.features > 1000) continue;
    LinearHeadProblem problem = problem_of(c);
    Matrix<double> x = normal_matrix(c.dtype, c.rows, c.features, 1, 0, 24);
    Random random(25);
    for (double& entry : x.values)
      if (random.uniform() < 0.4) entry = 0;
    std::string shape = text("%s, %d x %d x %d", format_of(c.dtype).name, int(c.rows), int(c.features), int(c.classes));
    for (Layout layout : {Layout::contiguous, Layout::offset, Layout::padded, Layout::strided, Layout::columns}) {
      Array dense(c.dtype, layout, x);
      problem.dense = &dense;
      check_gradient(context, problem, x, shape + ", " + name_of(layout));
    }
    problem.dense = nullptr;
    for (bool wide : {false, true}) {
      SparseMatrix sparse(c.dtype, x, wide);
      problem.sparse = &sparse;
      check_gradient(context, problem, x, shape + (wide ? ", sparse, 64-bit indices" : ", sparse"));
    }
  }
}

const Test test("linear_head", check_linear_head);

}  // namespace
}  // namespace softgrad::native_tests
