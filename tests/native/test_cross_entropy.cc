// Softmax cross-entropy: loss, gradient and both, of labels and class probabilities under every option.
#include <algorithm>

#include "bounds.h"
#include "calls.h"
#include "families.h"
#include "loss_problems.h"

namespace softgrad::native_tests {
namespace {

// Loss and gradient, each by itself, and the summed loss.
void check_problem(Context& context, const Matrix<double>& z, DType dtype, const LossProblem& problem,
                   const ExactLoss& exact, Layout layout, const std::string& what) {
  Array logits(dtype, layout, z), gradient(dtype, layout, z.rows, z.columns), same(dtype, layout, z.rows, z.columns);
  DType of_loss = loss_dtype(dtype);
  Array losses(of_loss, Layout::contiguous, z.rows, 1), again(of_loss, Layout::offset, z.rows, 1);
  const Kernels& kernels = context.kernels;
  double sum = call_cross_entropy(kernels, logits, problem, &gradient, nullptr);
  Error of_sum = error_of(of_loss == DType::float32 ? float(sum) : sum, exact.sum, of_loss, exact.sum_scale);
  check_error(context, Quantity::loss, of_loss, of_sum, what + ", summed");
  Matrix<Real> scale = gradient_scale(problem, dtype, exact);
  check_error(context, Quantity::gradient, dtype, largest_error(gradient, exact.gradient, &scale), what);
  context.report.holds(gradient.gaps_untouched(), what + ": wrote between the rows");
  double alone = call_cross_entropy(kernels, logits, problem, nullptr, nullptr);
  context.report.holds(alone == sum || std::isnan(sum), what + ": the summed loss with the gradient and without");

  if (problem.denominator.value != 1) return;  // losses of rows are not divided
  call_cross_entropy(kernels, logits, problem, &same, &losses);
  call_cross_entropy(kernels, logits, problem, nullptr, &again);
  check_error(context, Quantity::loss, of_loss, largest_error(losses, exact.losses, &exact.loss_scale), what);
  context.report.holds(same.same_bits(gradient), what + ": gradients with losses of rows and with their sum");
  context.report.holds(again.same_bits(losses), what + ": losses with the gradient and without");
}

void check_families(Context& context) {
  for (DType dtype : {DType::float32, DType::float64})
    for (const Family& family : families(dtype, context.quick)) {
      std::vector<ExactRow> rows = exact_rows(family.logits);
      for (LabelKind kind : label_kinds) {
        LossProblem problem;
        problem.labels = labels_of(family.logits, kind);
        check_problem(context, family.logits, dtype, problem, ExactLoss(rows, problem), Layout::contiguous,
                      family.name + ", " + name_of(kind));
      }
    }
}

void check_class_probabilities(Context& context) {
  for (DType dtype : {DType::float32, DType::float64})
    for (const Family& family : families(dtype, context.quick)) {
      if (family.logits.columns > 1000) continue;
      std::vector<ExactRow> rows = exact_rows(family.logits);
      for (DType of_target : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
        if (context.quick && of_target != DType::float32) continue;
        Matrix<double> q = soft_targets(of_target, family.logits.rows, family.logits.columns);
        // 0·log 0 = 0 is the targets' business here; a loss of infinity has its own test.
        for (size_t i = 0; i < q.values.size(); ++i)
          if (family.logits.values[i] == -INFINITY) q.values[i] = 0;
        Array probabilities(of_target, Layout::contiguous, q);
        LossProblem problem;
        problem.probabilities = &probabilities;
        check_problem(context, family.logits, dtype, problem, ExactLoss(rows, problem), Layout::contiguous,
                      family.name + ", probabilities of " + format_of(of_target).name);
      }
    }
}

// Every option, with few classes and many, in every layout.
void check_options(Context& context) {
  struct Shape {
    int64_t rows, classes;
  };
  const Shape shapes[] = {{9, 2}, {17, 7}, {8, 32}, {15, 33}, {40, 100}, {3, 300}};
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (const Shape& shape : shapes) {
      if (context.quick && (shape.rows % 8 == 0 || shape.classes == 300)) continue;
      Matrix<double> z = normal_matrix(dtype, shape.rows, shape.classes, 3);
      std::vector<ExactRow> rows = exact_rows(z);
      Array q(DType::float32, Layout::contiguous, soft_targets(DType::float32, shape.rows, shape.classes));
      for (const Options& o : options)
        for (const Array* probabilities : {static_cast<const Array*>(nullptr), static_cast<const Array*>(&q)}) {
          LossProblem problem = problem_with(o, z, probabilities);
          ExactLoss exact(rows, problem);
          for (Layout layout : layouts)
            check_problem(context, z, dtype, problem, exact, layout,
                          text("%s, %d x %d, %s%s", o.name, int(shape.rows), int(shape.classes), name_of(layout),
                               probabilities ? ", probabilities" : ""));
        }
    }
}

void check_layouts_of_probabilities(Context& context) {
  Matrix<double> z = normal_matrix(DType::float64, 12, 40, 3);
  std::vector<ExactRow> rows = exact_rows(z);
  for (DType of_target : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (Layout layout : layouts) {
      Array q(of_target, layout, soft_targets(of_target, 12, 40));
      LossProblem problem;
      problem.probabilities = &q;
      check_problem(context, z, DType::float64, problem, ExactLoss(rows, problem), Layout::contiguous,
                    text("probabilities of %s, %s", format_of(of_target).name, name_of(layout)));
    }
}

// Rows of several blocks, of labelled and of dense targets (16384 classes).
void check_long_rows(Context& context) {
  struct Shape {
    DType dtype;
    int64_t classes;
  };
  const Shape shapes[] = {{DType::float32, 65537}, {DType::float64, 32769}, {DType::float16, 65537},
                          {DType::float64, 70001}, {DType::float32, 16385}, {DType::float64, 9001}};
  for (const Shape& shape : shapes) {
    if (context.quick && (shape.classes == 70001 || shape.dtype == DType::float16)) continue;
    Matrix<double> z = normal_matrix(shape.dtype, 2, shape.classes, 4);
    std::vector<ExactRow> rows = exact_rows(z);
    Array q(DType::float64, Layout::contiguous, soft_targets(DType::float64, 2, shape.classes));
    for (const Options& o : {options[0], options[3], options[6], options[7]})
      for (const Array* probabilities : {static_cast<const Array*>(nullptr), static_cast<const Array*>(&q)}) {
        LossProblem problem = problem_with(o, z, probabilities);
        ExactLoss exact(rows, problem);
        for (Layout layout : {Layout::offset, Layout::columns})
          check_problem(context, z, shape.dtype, problem, exact, layout,
                        text("%s, 2 x %d, %s", o.name, int(shape.classes), name_of(layout)));
      }
  }
}

// Weights from 1e-15 to 1e15 on tails down to nothing: the headroom holds.
void check_extreme_weights(Context& context) {
  for (DType dtype : {DType::float32, DType::float64})
    for (const Family& family : families(dtype, true)) {
      if (family.name.find("tails") == std::string::npos) continue;
      std::vector<ExactRow> rows = exact_rows(family.logits);
      for (double weight : {1e-15, 1e-6, 1e4, 1e15}) {
        LossProblem problem;
        problem.labels = labels_of(family.logits, LabelKind::right);
        problem.weight.assign(family.logits.columns, weight);
        check_problem(context, family.logits, dtype, problem, ExactLoss(rows, problem), Layout::contiguous,
                      text("%s, weights of %g", family.name.c_str(), weight));
      }
    }
}

void check_in_place(Context& context) {
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (int64_t n : {7, 100, 70001})
      for (bool dense : {false, true})
        for (Layout layout : layouts) {
          Matrix<double> z = normal_matrix(dtype, n > 1000 ? 1 : 19, n, 3);
          Array q(DType::float32, Layout::contiguous, soft_targets(DType::float32, z.rows, n));
          LossProblem problem = problem_with(options[0], z, dense ? &q : nullptr);
          Array logits(dtype, layout, z), gradient(dtype, layout, z.rows, n);
          call_cross_entropy(context.kernels, logits, problem, &gradient, nullptr);
          call_cross_entropy(context.kernels, logits, problem, &logits, nullptr);
          context.report.holds(logits.same_bits(gradient),
                               text("in place: %s, n=%d, %s%s", format_of(dtype).name, int(n), name_of(layout),
                                    dense ? ", probabilities" : ""));
        }
}

// Gradients that bypass the caches: the target's element is written after what was streamed around it.
void check_streamed_gradients(Context& context) {
  constexpr int64_t rows = 1000, n = 9001, part = 125;
  Matrix<double> z = normal_matrix(DType::float32, part, n, 3);
  LossProblem of_part, of_all;
  of_part.labels = labels_of(z, LabelKind::random);
  for (int64_t i = 0; i < part; i += 5) of_part.labels[i] = -1;
  of_part.ignore_index = of_all.ignore_index = -1;
  Array block(DType::float32, Layout::contiguous, z), expected(DType::float32, Layout::contiguous, part, n);
  Array logits(DType::float32, Layout::contiguous, rows, n), gradient(DType::float32, Layout::offset, rows, n);
  for (int64_t first = 0; first < rows; first += part) {
    std::memcpy(logits.rows().row(first), block.data(), part * n * sizeof(float));
    of_all.labels.insert(of_all.labels.end(), of_part.labels.begin(), of_part.labels.end());
  }
  call_cross_entropy(context.kernels, block, of_part, &expected, nullptr);
  call_cross_entropy(context.kernels, logits, of_all, &gradient, nullptr);
  for (int64_t first = 0; first < rows; first += part)
    context.report.holds(std::memcmp(gradient.rows().row(first), expected.data(), part * n * sizeof(float)) == 0,
                         text("streamed gradients from row %d", int(first)));
}

void check_cross_entropy(Context& context) {
  check_families(context);
  check_class_probabilities(context);
  check_options(context);
  check_layouts_of_probabilities(context);
  check_long_rows(context);
  check_extreme_weights(context);
  check_in_place(context);
  check_streamed_gradients(context);
}

const Test test("cross_entropy", check_cross_entropy);

}  // namespace
}  // namespace softgrad::native_tests
