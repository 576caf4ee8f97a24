#include "loss_problems.h"

#include "families.h"

namespace softgrad::native_tests {

namespace {

std::vector<Real> targets_of_row(int64_t i, int64_t classes, const LossProblem& problem) {
  Smoothing smoothing{problem.weight.empty() ? nullptr : problem.weight.data(), problem.label_smoothing};
  if (!problem.probabilities) return one_hot_weights(problem.labels[i], classes, smoothing);
  std::vector<double> q(classes);
  for (int64_t c = 0; c < classes; ++c) q[c] = problem.probabilities->get(i, c);
  return target_weights(q.data(), classes, smoothing);
}

}  // namespace

ExactLoss::ExactLoss(const std::vector<ExactRow>& rows, const LossProblem& problem)
    : losses(rows.size(), 1), loss_scale(losses), gradient(rows.size(), rows[0].p.size()), largest_term(gradient) {
  CompensatedSum all, scales;
  for (int64_t i = 0; i < losses.rows; ++i) {
    if (!problem.ignores(i)) add_row(i, rows[i], problem);
    all.add(losses(i, 0));
    scales.add(loss_scale(i, 0));
  }
  sum = all.value() / problem.denominator.exact();
  sum_scale = scales.value() / problem.denominator.exact();
}

void ExactLoss::add_row(int64_t i, const ExactRow& row, const LossProblem& problem) {
  std::vector<Real> y = targets_of_row(i, gradient.columns, problem);
  losses(i, 0) = exact_loss(row, y, problem.z_loss);
  // Where lse is small beside the logits, it has cancelled, in long double too.
  loss_scale(i, 0) = problem.z_loss * std::fabs(row.lse) * row.magnitude / 8;
  Real* g = &gradient(i, 0);
  Real* larger = &largest_term(i, 0);
  exact_gradient(row, y, problem.z_loss, g, larger);
  Real factor = (problem.row_scale.empty() ? 1 : Real(problem.row_scale[i])) / problem.denominator.exact();
  for (int64_t c = 0; c < gradient.columns; ++c) {
    g[c] *= factor;
    larger[c] *= std::fabs(factor);
  }
}

Matrix<Real> gradient_scale(const LossProblem& problem, DType dtype, const ExactLoss& exact) {
  bool dense = problem.probabilities || problem.label_smoothing != 0;
  Real part = dense ? (dtype == DType::float32 ? 0x1p-28L : 1) : problem.z_loss != 0 ? 1 : 0;
  Matrix<Real> scale = exact.largest_term;
  for (Real& x : scale.values) x *= part;
  return scale;
}

LossProblem problem_with(const Options& o, const Matrix<double>& z, const Array* probabilities) {
  LossProblem problem;
  Random random(11);
  problem.probabilities = probabilities;
  problem.label_smoothing = o.label_smoothing;
  problem.z_loss = o.z_loss;
  if (!probabilities) problem.labels = labels_of(z, LabelKind::random);
  if (o.ignore && !probabilities) {
    problem.ignore_index = -100;
    for (int64_t i = 0; i < z.rows; i += 3) problem.labels[i] = -100;
  }
  if (o.weight)
    for (int64_t c = 0; c < z.columns; ++c) problem.weight.push_back(c % 5 == 4 ? 0 : random.uniform() * 3);
  if (o.row_scale)
    for (int64_t i = 0; i < z.rows; ++i) problem.row_scale.push_back(random.normal() * 10);
  if (!o.mean) return problem;
  CompensatedSum weights;
  for (int64_t i = 0; i < z.rows; ++i)
    if (probabilities || problem.labels[i] >= 0)
      weights.add(problem.weight.empty() || probabilities ? 1 : problem.weight[problem.labels[i]]);
  if (weights.value() > 0) problem.denominator = Denominator(weights.value());
  return problem;
}

}  // namespace softgrad::native_tests
