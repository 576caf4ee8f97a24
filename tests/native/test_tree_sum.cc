// Sums over rows are the root of a fixed binary tree of leaves: equal, bit for bit, to the sum of the nodes that other
// calls compute from aligned parts of the rows, for every number of threads. Under ThreadSanitizer this test looks for
// races between the threads that add the nodes.
#include "bounds.h"
#include "calls.h"
#include "families.h"
#include "layout/work_sharing.h"

namespace softgrad::native_tests {
namespace {

constexpr int64_t leaf_rows = 8, features = 19, classes = 5;
// Leaves: none, one, an even and an odd number, powers of two; full ones, and a last one of fewer rows.
constexpr int64_t row_counts[] = {0, 1, 8, 9, 16, 24, 39, 64, 65, 101, 128, 300};
constexpr int64_t widest = 300;

using Sums = std::vector<double>;

bool same_bits(const Sums& a, const Sums& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

// A kernel's sums over rows first to end - 1 alone.
struct SumOfRows {
  const char* name;
  Sums (*sum)(const Kernels& kernels, int64_t first, int64_t end, int threads);
};

template <class T>
std::vector<T> part_of(const std::vector<T>& values, int64_t first, int64_t end) {
  return std::vector<T>(values.begin() + first, values.begin() + end);
}

Matrix<double> rows_of_x(int64_t first, int64_t end) {
  static const Matrix<double> x = normal_matrix(DType::float32, widest, features, 1, 0, 51);
  Matrix<double> part(end - first, features);
  part.values = part_of(x.values, first * features, end * features);
  return part;
}

std::vector<double> weights_of(int64_t first, int64_t end) {
  std::vector<double> weights;
  for (int64_t i = first; i < end; ++i) weights.push_back(i % 7 == 6 ? 0 : 0.3 + double(i % 11));
  return weights;
}

template <DType dtype, bool sparse, bool hessian>
Sums head_sums(const Kernels& kernels, int64_t first, int64_t end, int threads) {
  Matrix<double> x = rows_of_x(first, end);
  Array dense(dtype, Layout::columns, x), probabilities(dtype, Layout::contiguous, end - first, classes);
  SparseMatrix compressed(dtype, x, false);
  LinearHeadProblem problem;
  problem.dtype = dtype;
  problem.dense = sparse ? nullptr : &dense;
  problem.sparse = sparse ? &compressed : nullptr;
  problem.rows = end - first;
  problem.features = features;
  problem.classes = classes;
  problem.leaf_rows = leaf_rows;
  problem.W = normal_matrix(dtype, classes, features, 0.3, 0, 52).values;
  problem.bias.assign(classes, 0.25);
  problem.weight = weights_of(first, end);
  for (int64_t i = first; i < end; ++i) problem.labels.push_back(i * i % classes);
  LinearHeadSums sums = call_linear_head_gradient(kernels, problem, probabilities.data(), threads);
  if (hessian) sums = call_linear_head_hvp(kernels, problem, probabilities.data(), threads);
  Sums all = {sums.loss};
  all.insert(all.end(), sums.W.begin(), sums.W.end());
  all.insert(all.end(), sums.bias.begin(), sums.bias.end());
  return all;
}

template <DType dtype, Layout layout>
Sums column_sums(const Kernels& kernels, int64_t first, int64_t end, int threads) {
  Sums sums = call_column_sums(kernels, Array(dtype, layout, rows_of_x(first, end)), leaf_rows, weights_of(first, end),
                               threads);
  sums.pop_back();  // the largest |x| is no sum
  return sums;
}

// The node over 2^level leaves from `first` on: one call up to level `whole`, a sum of two nodes above it.
Sums node(const Kernels& kernels, const SumOfRows& kernel, int64_t first, int64_t rows, int level, int whole) {
  int64_t half = leaf_rows << level >> 1, end = first + 2 * half < rows ? first + 2 * half : rows;
  if (level <= whole) return kernel.sum(kernels, first, end, 1);
  Sums sums = node(kernels, kernel, first, rows, level - 1, whole);
  if (first + half >= rows) return sums;
  Sums right = node(kernels, kernel, first + half, rows, level - 1, whole);
  for (size_t i = 0; i < sums.size(); ++i) sums[i] += right[i];
  return sums;
}

int height_of(int64_t rows) {
  int height = 0;
  while (leaf_rows << height < rows) ++height;
  return height;
}

void check_tree_sums(Context& context) {
  share_always(true);
  const SumOfRows kernels[] = {{"gradient", head_sums<DType::float32, false, false>},
                               {"gradient, sparse", head_sums<DType::float64, true, false>},
                               {"Hessian", head_sums<DType::float64, false, true>},
                               {"Hessian, sparse", head_sums<DType::float32, true, true>},
                               {"columns", column_sums<DType::float32, Layout::contiguous>},
                               {"columns, strided", column_sums<DType::float64, Layout::strided>}};
  for (const SumOfRows& kernel : kernels)
    for (int64_t rows : row_counts) {
      std::string what = text("%s, %d rows", kernel.name, int(rows));
      Sums sums = kernel.sum(context.kernels, 0, rows, 1);
      for (int whole : {0, 1, 2})
        context.report.holds(same_bits(sums, node(context.kernels, kernel, 0, rows, height_of(rows), whole)),
                             what + text(", nodes of %d leaves", 1 << whole));
      for (int threads = 2; threads <= 5; ++threads)
        context.report.holds(same_bits(sums, kernel.sum(context.kernels, 0, rows, threads)),
                             what + text(", %d threads", threads));
    }
}

void check_layouts(Context& context) {
  std::vector<double> weight = weights_of(0, widest);
  for (DType dtype : {DType::float32, DType::float64}) {
    Matrix<double> x = rows_of_x(0, widest);
    Sums plain = call_column_sums(context.kernels, Array(dtype, Layout::contiguous, x), 128, weight);
    for (Layout layout : {Layout::offset, Layout::padded, Layout::strided, Layout::columns, Layout::reversed})
      context.report.holds(same_bits(plain, call_column_sums(context.kernels, Array(dtype, layout, x), 128, weight)),
                           text("sums of columns, %s, %s", format_of(dtype).name, name_of(layout)));
  }
}

const Test sums_test("tree_sum", check_tree_sums);
const Test layouts_test("column_sum_layouts", check_layouts);

}  // namespace
}  // namespace softgrad::native_tests
