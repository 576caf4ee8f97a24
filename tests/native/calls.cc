#include "calls.h"

namespace softgrad::native_tests {

namespace {

template <class T>
const T* data_or_null(const std::vector<T>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

void call_softmax(const Kernels& kernels, SoftmaxKind kind, const Array& logits, Array& out, int threads) {
  kernels.softmax({kind, logits.dtype(), logits.rows(), out.rows(), threads});
}

double call_cross_entropy(const Kernels& kernels, const Array& logits, const LossProblem& problem, Array* gradient,
                          Array* losses, int threads) {
  CrossEntropyArguments a = {};
  a.dtype = logits.dtype();
  a.logits = logits.rows();
  if (gradient) a.gradient = gradient->rows();
  a.target = data_or_null(problem.labels);
  if (problem.probabilities) {
    a.target_probs = problem.probabilities->rows();
    a.target_dtype = problem.probabilities->dtype();
  }
  a.weight = data_or_null(problem.weight);
  a.row_scale = data_or_null(problem.row_scale);
  a.has_ignore_index = problem.ignore_index.has_value();
  a.ignore_index = problem.ignore_index.value_or(0);
  a.label_smoothing = problem.label_smoothing;
  a.z_loss = problem.z_loss;
  a.denominator = problem.denominator.value;
  a.denominator_rest = problem.denominator.rest;
  a.loss = losses ? losses->data() : nullptr;
  a.threads = threads;
  return kernels.cross_entropy(a);
}

void call_hvp(const Kernels& kernels, const Array& logits, const HvpProblem& problem, const Array& v, Array& out,
              int threads) {
  HvpArguments a = {};
  a.dtype = logits.dtype();
  a.logits = logits.rows();
  a.v = v.rows();
  a.out = out.rows();
  a.mass = data_or_null(problem.mass);
  a.row_scale = data_or_null(problem.row_scale);
  a.skip = problem.skip;
  a.z_loss = problem.z_loss;
  a.denominator = problem.denominator.value;
  a.denominator_rest = problem.denominator.rest;
  a.threads = threads;
  kernels.hvp(a);
}

void call_softmax_product(const Kernels& kernels, const Array& probabilities, const Array& v, Array& out, int threads) {
  HvpArguments a = {};
  a.dtype = probabilities.dtype();
  a.logits = probabilities.rows();
  a.probabilities = true;
  a.v = v.rows();
  a.out = out.rows();
  a.denominator = 1;
  a.threads = threads;
  kernels.hvp(a);
}

void call_operator(const Kernels& kernels, const OperatorProblem& problem, const Array& probabilities, const Array& v,
                   Array& out, int threads) {
  OperatorArguments a = {};
  a.kind = problem.kind;
  a.dtype = v.dtype();
  a.probs = probabilities.rows();
  a.v = v.rows();
  a.out = out.rows();
  a.columns = problem.columns;
  a.pivot = problem.pivot.data();
  a.jacobian = data_or_null(problem.jacobian);
  a.outer = data_or_null(problem.outer);
  a.rest = data_or_null(problem.rest);
  a.threads = threads;
  kernels.apply_operator(a);
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

// The part that gradient and product share.
LinearHeadArguments linear_head_arguments(const LinearHeadProblem& problem, LinearHeadSums& sums, int threads) {
  LinearHeadArguments a = {};
  sums.W.assign(problem.classes * problem.features, NAN);
  sums.bias.assign(problem.classes, NAN);
  a.dtype = problem.dtype;
  a.x = design_matrix(problem.dense, problem.sparse, problem.rows, problem.features);
  a.classes = problem.classes;
  a.W = problem.W.data();
  a.bias = problem.bias.data();
  a.weight = problem.weight.data();
  a.sum_W = sums.W.data();
  a.sum_bias = sums.bias.data();
  a.threads = threads;
  return a;
}

}  // namespace

LinearHeadSums call_linear_head_gradient(const Kernels& kernels, const LinearHeadProblem& problem, void* probabilities,
                                         int threads) {
  LinearHeadSums sums;
  LinearHeadArguments a = linear_head_arguments(problem, sums, threads);
  a.target = data_or_null(problem.labels);
  a.target_probs = data_or_null(problem.probabilities);
  a.label_smoothing = problem.label_smoothing;
  a.probs = probabilities;
  sums.loss = kernels.linear_head(a);
  return sums;
}

LinearHeadSums call_linear_head_product(const Kernels& kernels, const LinearHeadProblem& problem,
                                        const void* probabilities, int threads) {
  LinearHeadSums sums;
  LinearHeadArguments a = linear_head_arguments(problem, sums, threads);
  a.product = true;
  a.probs = const_cast<void*>(probabilities);
  kernels.linear_head(a);
  return sums;
}

std::vector<double> call_sum_rows(const Kernels& kernels, const Array& x, int threads) {
  std::vector<double> out(x.count(), NAN);
  kernels.sum_rows({x.rows(), out.data(), threads});
  return out;
}

std::vector<double> call_column_moments(const Kernels& kernels, const Array& x, const std::vector<double>& weight,
                                        int threads) {
  std::vector<double> mean(x.classes(), NAN), variance(x.classes(), NAN);
  double largest = kernels.column_moments({x.dtype(), x.rows(), weight.data(), mean.data(), variance.data(), threads});
  mean.insert(mean.end(), variance.begin(), variance.end());
  mean.push_back(largest);
  return mean;
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
  GramArguments a = {};
  a.dtype = x.dtype();
  a.x = design_matrix(&x, nullptr, x.count(), x.classes());
  a.index = index.data();
  a.rows = x.count();
  a.weights = weights.data();
  a.classes = classes;
  a.mean = mean.data();
  a.inverse_scale = scale.data();
  a.intercept = true;
  a.grams = grams.data();
  a.threads = threads;
  kernels.weighted_grams(a);
  return grams.values().values;
}

std::vector<double> call_secular(const Kernels& kernels, const Matrix<double>& probabilities, double a, double b,
                                 int threads) {
  std::vector<double> jacobian(probabilities.rows, a), outer(probabilities.rows, b);
  std::vector<double> origin(probabilities.values.size(), NAN), offset(probabilities.values.size(), NAN);
  kernels.secular({probabilities.rows, probabilities.columns, probabilities.values.data(), jacobian.data(),
                   outer.data(), origin.data(), offset.data(), threads});
  for (size_t i = 0; i < origin.size(); ++i)
    origin[i] = static_cast<double>((Real(origin[i]) + offset[i]) / secular_unit);
  return origin;
}

}  // namespace softgrad::native_tests
