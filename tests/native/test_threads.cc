// Every kernel that shares its rows among threads gives the same bits for any number of them, and for several callers
// at once. Under ThreadSanitizer this is the test that looks for races.
#include <algorithm>
#include <thread>

#include "bounds.h"
#include "calls.h"
#include "families.h"
#include "layout/work_sharing.h"
#include "ops/targets.h"

namespace softgrad::native_tests {
namespace {

constexpr int thread_counts[] = {2, 3, 8};

// Everything that a kernel writes, as one row of numbers.
using Results = std::vector<double>;

void append(Results& results, const Array& array) {
  for (int64_t i = 0; i < array.count(); ++i)
    for (int64_t c = 0; c < array.classes(); ++c) results.push_back(array.get(i, c));
}
void append(Results& results, const std::vector<double>& values) {
  results.insert(results.end(), values.begin(), values.end());
}

bool same_bits(const Results& a, const Results& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

struct Inputs {
  Layout layout;
  Array logits, probabilities, v;
  std::vector<int64_t> labels, top;
  std::vector<double> rest;

  Inputs(DType dtype, Layout layout, int64_t rows, int64_t n)
      : layout(layout),
        logits(dtype, layout, normal_matrix(dtype, rows, n, 3)),
        probabilities(DType::float32, Layout::contiguous, soft_targets(DType::float32, rows, n)),
        v(dtype, layout, normal_matrix(dtype, rows, n, 1, 0, 41)),
        labels(rows),
        top(rows),
        rest(rows, 0.5) {
    Random random(42);
    for (int64_t& label : labels) label = random.below(n);
    for (int64_t& class_of_row : top) class_of_row = random.below(n);
  }

  Array like_logits() const { return Array(logits.dtype(), layout, logits.count(), logits.classes()); }
};

Results softmax_results(const Kernels& kernels, const Inputs& in, int threads) {
  Results results;
  Array out = in.like_logits(), lse(in.logits.dtype(), Layout::contiguous, in.logits.count(), 1);
  for (SoftmaxKind kind : {SoftmaxKind::softmax, SoftmaxKind::log_softmax}) {
    call_softmax(kernels, kind, in.logits, out, threads);
    append(results, out);
  }
  call_softmax(kernels, SoftmaxKind::logsumexp, in.logits, lse, threads);
  append(results, lse);
  return results;
}

Results cross_entropy_results(const Kernels& kernels, const Inputs& in, int threads) {
  Results results;
  LossProblem labelled, smoothed, dense;
  labelled.labels = smoothed.labels = in.labels;
  smoothed.label_smoothing = 0.1;
  dense.probabilities = &in.probabilities;
  for (const LossProblem* problem : {&labelled, &smoothed, &dense}) {
    Array gradient = in.like_logits(), losses(loss_dtype(in.logits.dtype()), Layout::contiguous, in.logits.count(), 1);
    results.push_back(call_cross_entropy(kernels, in.logits, *problem, &gradient, nullptr, threads));
    results.push_back(call_cross_entropy(kernels, in.logits, *problem, nullptr, nullptr, threads));
    append(results, gradient);
    call_cross_entropy(kernels, in.logits, *problem, nullptr, &losses, threads);
    append(results, losses);
  }
  return results;
}

Results statistics_results(const Kernels& kernels, const Inputs& in, int threads) {
  Results results;
  LossProblem labelled, dense;
  labelled.labels = in.labels;
  dense.probabilities = &in.probabilities;
  for (const LossProblem* problem : {&labelled, &dense})
    for (const RowStatistics& row : call_row_statistics(kernels, in.logits, *problem, threads)) {
      const double* fields = reinterpret_cast<const double*>(&row);
      results.insert(results.end(), fields, fields + RowStatistics::fields);
    }
  std::vector<RowStatistics> statistics = call_row_statistics(kernels, in.logits, labelled);
  for (const DirectionStatistics& row : call_direction_statistics(kernels, in.logits, in.v, statistics, threads)) {
    const double* fields = reinterpret_cast<const double*>(&row);
    results.insert(results.end(), fields, fields + DirectionStatistics::fields);
  }
  return results;
}

Results product_results(const Kernels& kernels, const Inputs& in, int threads) {
  Results results;
  Array out = in.like_logits(), p = in.like_logits();
  call_hvp(kernels, in.logits, {}, in.v, out, threads);
  append(results, out);
  call_softmax(kernels, SoftmaxKind::softmax, in.logits, p);
  call_softmax_vjp(kernels, p, in.v, out, threads);
  append(results, out);
  if (format_of(p.dtype()).bytes == 2) return results;
  for (OperatorKind kind : {OperatorKind::curvature, OperatorKind::log_softmax, OperatorKind::log_softmax_transposed}) {
    OperatorProblem problem;
    problem.kind = kind;
    problem.top = in.top;
    problem.complement = in.rest;
    call_operator(kernels, problem, p, in.v, out, threads);
    append(results, out);
  }
  return results;
}

struct Shape {
  DType dtype;
  int64_t rows, classes;
};

// Groups of rows in both families of kernels, several long rows, and blocks within one.
const Shape shapes[] = {{DType::float32, 3001, 10}, {DType::float64, 200, 100},  {DType::bfloat16, 70, 333},
                        {DType::float32, 40, 3000}, {DType::float64, 2, 70001},  {DType::float32, 1, 140001},
                        {DType::float64, 1, 33000}, {DType::float16, 2, 131073}, {DType::float32, 5, 20000}};

void check_rows(Context& context) {
  using Function = Results (*)(const Kernels&, const Inputs&, int);
  struct Named {
    const char* name;
    Function function;
  };
  const Named functions[] = {{"softmax", softmax_results},
                             {"cross_entropy", cross_entropy_results},
                             {"statistics", statistics_results},
                             {"products", product_results}};
  for (const Shape& shape : shapes) {
    if (context.quick && shape.rows * shape.classes > 100000) continue;
    for (Layout layout : {Layout::contiguous, Layout::columns}) {
      Inputs in(shape.dtype, layout, shape.rows, shape.classes);
      for (const Named& named : functions) {
        Results single = named.function(context.kernels, in, 1);
        for (int threads : thread_counts)
          context.report.holds(same_bits(single, named.function(context.kernels, in, threads)),
                               text("%s, %s, %d x %d, %s, %d threads", named.name, format_of(shape.dtype).name,
                                    int(shape.rows), int(shape.classes), name_of(layout), threads));
      }
    }
  }
}

Results linear_head_results(const Kernels& kernels, const Matrix<double>& x, bool sparse, int threads) {
  LinearHeadProblem problem;
  problem.dtype = DType::float32;
  problem.rows = x.rows;
  problem.features = x.columns;
  problem.classes = 11;
  problem.leaf_rows = 64;
  problem.W = normal_matrix(DType::float32, 11, x.columns, 0.2, 0, 43).values;
  problem.bias.assign(11, 0.25);
  problem.weight.assign(x.rows, 1.5);
  problem.labels = labels_of(normal_matrix(DType::float32, x.rows, 11, 1), LabelKind::random);
  Array dense(DType::float32, Layout::contiguous, x);
  SparseMatrix compressed(DType::float32, x, true);
  problem.dense = sparse ? nullptr : &dense;
  problem.sparse = sparse ? &compressed : nullptr;
  Array probabilities(DType::float32, Layout::contiguous, x.rows, 11);
  Results results;
  LinearHeadSums gradient = call_linear_head_gradient(kernels, problem, probabilities.data(), threads);
  LinearHeadSums product = call_linear_head_hvp(kernels, problem, probabilities.data(), threads);
  for (const LinearHeadSums& sums : {gradient, product}) {
    results.push_back(sums.loss);
    append(results, sums.W);
    append(results, sums.bias);
  }
  append(results, probabilities);
  return results;
}

// Of Lᵀ: (count * columns, columns), row-major.
Array cholesky_factors(int64_t count, int64_t columns) {
  Matrix<double> L(count * columns, columns);
  for (int64_t row = 0; row < L.rows; ++row)
    for (int64_t c = row % columns; c < columns; ++c) L(row, c) = c == row % columns ? 4 : 1.0 / double(1 + c + row);
  return Array(DType::float32, Layout::contiguous, L);
}

Results matrix_results(const Kernels& kernels, const Matrix<double>& x, int threads) {
  Results results;
  for (Layout layout : {Layout::contiguous, Layout::columns}) {
    Array single(DType::float32, layout, x), wide(DType::float64, layout, x);
    append(results, call_sum_rows(kernels, wide, threads));
    append(results, call_column_sums(kernels, single, 64, std::vector<double>(x.rows, 1), threads));
    append(results, call_weighted_grams(kernels, single, std::vector<double>(x.rows * 3, 0.5), 3, threads));
    append(results, call_class_weights(kernels, single, std::vector<double>(3 * x.columns, 0.1), {0.5, -0.5, 0},
                                       std::vector<double>(x.rows, 1), threads));
    append(results, call_cholesky_solve(kernels, cholesky_factors(5, x.columns), single, 5, threads));
  }
  Matrix<double> p(40, 30);
  for (int64_t i = 0; i < p.rows; ++i)
    for (int64_t c = 0; c < p.columns; ++c) p(i, c) = (c + 1.0 + 0.25 * double(i % 3)) / 500;
  append(results, call_secular(kernels, p, 1, 0.25, threads));
  return results;
}

// native/ops/targets.cc, which is the same for every instruction set.
Results target_results(const Array& q, int threads) {
  Results results(q.count());
  sum_probabilities(q.rows(), q.dtype(), nullptr, results.data(), threads);
  results.push_back(static_cast<double>(first_bad_probabilities(q.rows(), q.dtype(), threads)));
  return results;
}

void check_matrices(Context& context) {
  Matrix<double> x = normal_matrix(DType::float32, 1500, 20, 1, 0, 44);
  Array good(DType::float64, Layout::contiguous, soft_targets(DType::float64, 500, 20));
  Array bad(DType::float32, Layout::columns, soft_targets(DType::float32, 500, 20));
  for (int64_t row : {333, 77, 400}) bad.set(row, 3, -1);
  context.report.holds(target_results(bad, 8).back() == 77, "the first bad row");
  for (int threads : thread_counts) {
    std::string what = text("%d threads", threads);
    for (bool sparse : {false, true})
      context.report.holds(same_bits(linear_head_results(context.kernels, x, sparse, 1),
                                     linear_head_results(context.kernels, x, sparse, threads)),
                           (sparse ? "sparse linear head, " : "linear head, ") + what);
    context.report.holds(
        same_bits(matrix_results(context.kernels, x, 1), matrix_results(context.kernels, x, threads)),
        "sums of rows and of columns, Gram matrices, class weights, Cholesky solutions, eigenvalues, " + what);
    for (const Array* q : {&good, &bad})
      context.report.holds(same_bits(target_results(*q, 1), target_results(*q, threads)), "targets, " + what);
  }
}

// Callers share the inputs and nothing else.
void check_callers_at_once(Context& context) {
  constexpr int callers = 4;
  Inputs in(DType::float32, Layout::contiguous, 60, 1000);
  Results expected = cross_entropy_results(context.kernels, in, 1);
  std::vector<Results> results(callers);
  std::vector<std::thread> running;
  for (int i = 0; i < callers; ++i)
    running.emplace_back([&, i] { results[i] = cross_entropy_results(context.kernels, in, 1 + i % 2); });
  for (std::thread& caller : running) caller.join();
  for (int i = 0; i < callers; ++i)
    context.report.holds(same_bits(results[i], expected), text("caller %d of several at once", i));
}

void check_threads(Context& context) {
  share_always(true);
  check_rows(context);
  check_matrices(context);
  check_callers_at_once(context);
}

const Test test("threads", check_threads);

}  // namespace
}  // namespace softgrad::native_tests
