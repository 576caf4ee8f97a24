#include "calls.h"

namespace softgrad::native_tests {

namespace {

template <class T>
const T* data_or_null(const std::vector<T>& values) {
  return values.empty() ? nullptr : values.data();
}

LossSpec spec_of(const std::optional<int64_t>& ignore_index, double label_smoothing, double z_loss) {
  LossSpec spec;
  spec.has_ignore_index = ignore_index.has_value();
  spec.ignore_index = ignore_index.value_or(0);
  spec.label_smoothing = label_smoothing;
  spec.z_loss = z_loss;
  return spec;
}

LossSpec spec_of(const LossProblem& problem) {
  return spec_of(problem.ignore_index, problem.label_smoothing, problem.z_loss);
}

Targets targets_of(const std::vector<int64_t>& labels, const Denominator& denominator) {
  Targets targets;
  targets.labels = data_or_null(labels);
  targets.denominator = denominator.value;
  targets.denominator_rest = denominator.rest;
  return targets;
}

Targets targets_of(const LossProblem& problem) {
  Targets targets = targets_of(problem.labels, problem.denominator);
  if (problem.probabilities) {
    targets.probabilities = problem.probabilities->rows();
    targets.dtype = problem.probabilities->dtype();
  }
  targets.class_weight = data_or_null(problem.weight);
  targets.first_class = problem.first_class;
  targets.classes = problem.classes;
  return targets;
}

}  // namespace

void call_softmax(const Kernels& kernels, SoftmaxKind kind, const Array& logits, Array& out, int threads,
                  const RowStatistics* statistics) {
  kernels.softmax({kind, logits.dtype(), logits.rows(), out.rows(), statistics, threads});
}

std::vector<RowStatistics> call_row_statistics(const Kernels& kernels, const Array& logits, const LossProblem& problem,
                                               int threads) {
  std::vector<RowStatistics> out(logits.count());
  kernels.row_statistics({spec_of(problem), targets_of(problem), logits.dtype(), logits.rows(), out.data(), threads});
  return out;
}

std::vector<RowStatistics> call_merge_statistics(const Kernels& kernels,
                                                 const std::vector<std::vector<RowStatistics>>& parts) {
  std::vector<RowStatistics> all, out(parts[0].size());
  for (const std::vector<RowStatistics>& part : parts) all.insert(all.end(), part.begin(), part.end());
  int64_t blocks = static_cast<int64_t>(parts.size()), rows = static_cast<int64_t>(out.size());
  kernels.merge_statistics(all.data(), blocks, rows, out.data());
  return out;
}

double call_cross_entropy(const Kernels& kernels, const Array& logits, const LossProblem& problem, Array* gradient,
                          Array* losses, int threads) {
  CrossEntropyArguments args = {};
  args.spec = spec_of(problem);
  args.targets = targets_of(problem);
  args.dtype = logits.dtype();
  args.logits = logits.rows();
  if (gradient) args.gradient = gradient->rows();
  args.statistics = problem.statistics;
  args.row_scale = data_or_null(problem.row_scale);
  args.loss = losses ? losses->data() : nullptr;
  args.threads = threads;
  return kernels.cross_entropy(args);
}

std::vector<DirectionStatistics> call_direction_statistics(const Kernels& kernels, const Array& logits, const Array& v,
                                                           const std::vector<RowStatistics>& statistics, int threads) {
  std::vector<DirectionStatistics> out(logits.count());
  kernels.direction_statistics({logits.dtype(), logits.rows(), v.rows(), statistics.data(), out.data(), threads});
  return out;
}

std::vector<DirectionStatistics> call_merge_directions(const Kernels& kernels,
                                                       const std::vector<std::vector<DirectionStatistics>>& parts) {
  std::vector<DirectionStatistics> all, out(parts[0].size());
  for (const std::vector<DirectionStatistics>& part : parts) all.insert(all.end(), part.begin(), part.end());
  int64_t blocks = static_cast<int64_t>(parts.size()), rows = static_cast<int64_t>(out.size());
  kernels.merge_directions(all.data(), blocks, rows, out.data());
  return out;
}

void call_hvp(const Kernels& kernels, const Array& logits, const HvpProblem& problem, const Array& v, Array& out,
              int threads) {
  HvpArguments args = {};
  args.spec = spec_of(problem.ignore_index, 0, problem.z_loss);
  args.targets = targets_of(problem.labels, problem.denominator);
  args.dtype = logits.dtype();
  args.logits = logits.rows();
  args.v = v.rows();
  args.out = out.rows();
  args.statistics = problem.statistics;
  args.directions = problem.directions;
  args.mass = data_or_null(problem.mass);
  args.row_scale = data_or_null(problem.row_scale);
  args.threads = threads;
  kernels.hvp(args);
}

void call_softmax_vjp(const Kernels& kernels, const Array& probabilities, const Array& v, Array& out, int threads) {
  kernels.softmax_vjp({probabilities.dtype(), probabilities.rows(), v.rows(), out.rows(), threads});
}

void call_operator(const Kernels& kernels, const OperatorProblem& problem, const Array& probabilities, const Array& v,
                   Array& out, int threads) {
  OperatorArguments args = {};
  args.kind = problem.kind;
  args.dtype = v.dtype();
  args.probs = probabilities.rows();
  args.v = v.rows();
  args.out = out.rows();
  args.columns = problem.columns;
  args.top = problem.top.data();
  args.a = data_or_null(problem.a);
  args.b = data_or_null(problem.b);
  args.complement = data_or_null(problem.complement);
  args.threads = threads;
  kernels.apply_operator(args);
}

namespace {

template <class T>
void append(std::vector<char>& bytes, T value) {
  const char* p = reinterpret_cast<const char*>(&value);
  bytes.insert(bytes.end(), p, p + sizeof value);
}

void append_index(std::vector<char>& bytes, int64_t index, bool wide) {
  if (wide)
    append(bytes, index);
  else
    append(bytes, static_cast<int32_t>(index));
}

}  // namespace

SparseMatrix::SparseMatrix(DType dtype, const Matrix<double>& values, bool wide) : wide(wide) {
  append_index(starts, 0, wide);
  for (int64_t i = 0; i < values.rows; ++i) {
    for (int64_t d = 0; d < values.columns; ++d) {
      if (values(i, d) == 0) continue;
      ++entries;
      append_index(indices, d, wide);
      char element[8];
      write_number(values(i, d), dtype, element);
      data.insert(data.end(), element, element + format_of(dtype).bytes);
    }
    append_index(starts, entries, wide);
  }
  data.shrink_to_fit();
  indices.shrink_to_fit();
  starts.shrink_to_fit();
}

namespace {

DesignMatrix design_matrix(const Array* dense, const SparseMatrix* sparse, int64_t rows, int64_t features) {
  DesignMatrix x = {};
  if (dense) x.dense = dense->rows();
  if (sparse) {
    x.data = sparse->data.data();
    x.indices = sparse->indices.data();
    x.starts = sparse->starts.data();
    x.wide_indices = sparse->wide;
    x.entries = sparse->entries;
  }
  x.rows = rows;
  x.features = features;
  return x;
}

LinearHead linear_head(const LinearHeadProblem& problem, LinearHeadSums& sums, int threads) {
  LinearHead head = {};
  sums.W.assign(problem.classes * problem.features, NAN);
  sums.bias.assign(problem.classes, NAN);
  head.dtype = problem.dtype;
  head.x = design_matrix(problem.dense, problem.sparse, problem.rows, problem.features);
  head.leaf_rows = problem.leaf_rows;
  head.classes = problem.classes;
  head.W = problem.W.data();
  head.bias = problem.bias.data();
  head.row_weight = problem.weight.data();
  head.sum_W = sums.W.data();
  head.sum_bias = sums.bias.data();
  head.threads = threads;
  return head;
}

}  // namespace

LinearHeadSums call_linear_head_gradient(const Kernels& kernels, const LinearHeadProblem& problem, void* probabilities,
                                         int threads) {
  LinearHeadSums sums;
  sums.loss = kernels.linear_head_gradient(
      {linear_head(problem, sums, threads), spec_of(std::nullopt, problem.label_smoothing, 0),
       data_or_null(problem.labels), data_or_null(problem.probabilities), probabilities});
  return sums;
}

LinearHeadSums call_linear_head_hvp(const Kernels& kernels, const LinearHeadProblem& problem, const void* probabilities,
                                    int threads) {
  LinearHeadSums sums;
  kernels.linear_head_hvp({linear_head(problem, sums, threads), probabilities});
  return sums;
}

std::vector<double> call_sum_rows(const Kernels& kernels, const Array& x, int threads) {
  std::vector<double> out(x.count(), NAN);
  kernels.sum_rows({x.rows(), out.data(), threads});
  return out;
}

std::vector<double> call_column_sums(const Kernels& kernels, const Array& x, int64_t leaf_rows,
                                     const std::vector<double>& weight, int threads) {
  std::vector<double> origin(x.classes(), 0.5), sums(2 * x.classes(), NAN);
  sums.push_back(
      kernels.column_sums({x.dtype(), x.rows(), leaf_rows, weight.data(), origin.data(), sums.data(), threads}));
  return sums;
}

std::vector<double> call_weighted_grams(const Kernels& kernels, const Array& x, const std::vector<double>& weights,
                                        int64_t classes, int threads) {
  int64_t columns = x.classes() + 1;
  Array mean(x.dtype(), Layout::contiguous, Matrix<double>(1, x.classes())),
      scale(x.dtype(), Layout::contiguous, 1, x.classes());
  for (int64_t d = 0; d < x.classes(); ++d) scale.set(0, d, 1);
  Array grams(x.dtype(), Layout::contiguous, Matrix<double>(1, classes * columns * columns));
  std::vector<int64_t> index(x.count());
  for (int64_t i = 0; i < x.count(); ++i) index[i] = i;
  GramArguments args = {};
  args.dtype = x.dtype();
  args.x = design_matrix(&x, nullptr, x.count(), x.classes());
  args.index = index.data();
  args.rows = x.count();
  args.weights = weights.data();
  args.classes = classes;
  args.mean = mean.data();
  args.inverse_scale = scale.data();
  args.intercept = true;
  args.grams = grams.data();
  args.threads = threads;
  kernels.weighted_grams(args);
  return grams.values().values;
}

std::vector<double> call_class_weights(const Kernels& kernels, const Array& x, const std::vector<double>& W,
                                       const std::vector<double>& bias, const std::vector<double>& mass, int threads) {
  std::vector<int64_t> index(x.count());
  for (int64_t i = 0; i < x.count(); ++i) index[i] = i;
  std::vector<double> weights(x.count() * bias.size(), NAN);
  ClassWeightArguments args = {};
  args.dtype = x.dtype();
  args.x = design_matrix(&x, nullptr, x.count(), x.classes());
  args.index = index.data();
  args.rows = x.count();
  args.classes = static_cast<int64_t>(bias.size());
  args.W = W.data();
  args.bias = bias.data();
  args.mass = mass.data();
  args.weights = weights.data();
  args.threads = threads;
  kernels.class_weights(args);
  return weights;
}

std::vector<double> call_cholesky_solve(const Kernels& kernels, const Array& L, const Array& b, int64_t factors,
                                        int threads) {
  Array x(b.dtype(), Layout::contiguous, b.values());
  kernels.cholesky_solve({b.dtype(), L.data(), factors, b.classes(), x.data(), b.count(), threads});
  return x.values().values;
}

std::vector<double> call_secular(const Kernels& kernels, const Matrix<double>& probabilities, double a, double b,
                                 int threads) {
  std::vector<double> a_values(probabilities.rows, a), b_values(probabilities.rows, b);
  std::vector<double> origin(probabilities.values.size(), NAN), offset(probabilities.values.size(), NAN);
  kernels.secular({probabilities.rows, probabilities.columns, probabilities.values.data(), a_values.data(),
                   b_values.data(), origin.data(), offset.data(), threads});
  for (size_t i = 0; i < origin.size(); ++i)
    origin[i] = static_cast<double>((Real(origin[i]) + offset[i]) / secular_unit);
  return origin;
}

}  // namespace softgrad::native_tests
