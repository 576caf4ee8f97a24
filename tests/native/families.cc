#include "families.h"

#include "check.h"

namespace softgrad::native_tests {

Matrix<double> normal_matrix(DType dtype, int64_t rows, int64_t columns, double scale, double offset, uint64_t seed) {
  Random random(seed * 1000003 + static_cast<uint64_t>(columns));
  Matrix<double> z(rows, columns);
  for (double& x : z.values) x = rounded_to(random.normal() * scale + offset, dtype);
  return z;
}

Matrix<double> soft_targets(DType dtype, int64_t rows, int64_t classes, uint64_t seed) {
  Random random(seed);
  Matrix<double> q(rows, classes);
  for (double& x : q.values) x = random.uniform() < 0.3 ? 0 : rounded_to(random.uniform(), dtype);
  return q;
}

namespace {

// Right answers of probability about 1 - 1e-13.
Matrix<double> confident(DType dtype, int64_t classes) {
  Matrix<double> z = normal_matrix(dtype, 64, classes, 1, 0, 1);
  Random random(1);
  for (int64_t i = 0; i < z.rows; ++i) {
    double& x = z(i, random.below(classes));
    x = rounded_to(x + 30, dtype);
  }
  return z;
}

// Equal logits, and logits that differ in the last places.
Matrix<double> flat(DType dtype, int64_t classes) {
  Matrix<double> z(8, classes);
  double unit = std::ldexp(1.0, 1 - format_of(dtype).digits);
  for (int64_t i = 0; i < z.rows; ++i)
    for (int64_t c = 0; c < classes; ++c) z(i, c) = rounded_to(0.7 + (i < 4 ? 0 : double(c) * unit), dtype);
  return z;
}

// Logits so far below the largest that probabilities run down through the subnormals to zero.
Matrix<double> tails(DType dtype, int64_t rows, int64_t classes) {
  Random random(2);
  Matrix<double> z(rows, classes);
  double reach = dtype == DType::float64 ? 760 : dtype == DType::float16 ? 20 : 110;
  for (double& x : z.values) x = rounded_to(-random.uniform() * reach, dtype);
  for (int64_t i = 0; i < rows; ++i) z(i, 0) = rounded_to(random.normal(), dtype);
  return z;
}

// A third of the classes at minus infinity, the maximum left finite.
Matrix<double> masked(DType dtype, int64_t classes) {
  Matrix<double> z = normal_matrix(dtype, 17, classes, 3, 0, 4);
  Random random(4);
  for (int64_t i = 0; i < z.rows; ++i)
    for (int64_t c = 1; c < classes; ++c)
      if (random.uniform() < 1.0 / 3) z(i, c) = -INFINITY;
  return z;
}

// The maximum several times in a row.
Matrix<double> ties(DType dtype, int64_t classes) {
  Matrix<double> z = normal_matrix(dtype, 17, classes, 3, 0, 5);
  Random random(5);
  for (int64_t i = 0; i < z.rows; ++i)
    for (int64_t n = 0; n < 1 + i % 4; ++n) z(i, random.below(classes)) = 12;
  return z;
}

std::vector<int64_t> class_counts(bool quick) {
  if (quick) return {7, 33, 1000};
  return {2, 3, 7, 10, 16, 31, 32, 33, 64, 100, 1000, 5000};
}

}  // namespace

std::vector<Family> families(DType dtype, bool quick) {
  std::vector<Family> all;
  bool narrow = dtype == DType::float16 || dtype == DType::bfloat16;
  double far = dtype == DType::float64 ? 0x1p40 : 0x1p20;
  std::vector<double> scales = {0.1, 1, 10}, offsets;
  if (!narrow) scales.push_back(40), offsets = {1e4, -1e4, far, -far};
  for (int64_t n : class_counts(quick)) {
    for (double scale : scales)
      all.push_back({text("normal, n=%d, scale=%g", int(n), scale), normal_matrix(dtype, 24, n, scale)});
    for (double offset : offsets)
      all.push_back({text("normal, n=%d, offset=%g", int(n), offset), normal_matrix(dtype, 24, n, 3, offset)});
  }
  for (int64_t n : {10, 50}) {
    if (!narrow) all.push_back({text("confident, n=%d", int(n)), confident(dtype, n)});
    all.push_back({text("masked, n=%d", int(n)), masked(dtype, n)});
    all.push_back({text("ties, n=%d", int(n)), ties(dtype, n)});
  }
  all.push_back({"flat, n=10", flat(dtype, 10)});
  all.push_back({"flat, n=1000", flat(dtype, 1000)});
  all.push_back({"tails, n=20", tails(dtype, 64, 20)});
  all.push_back({"tails, n=400", tails(dtype, 8, 400)});
  all.push_back({"one class", normal_matrix(dtype, 24, 1, 1)});
  return all;
}

const char* name_of(LabelKind kind) {
  static constexpr const char* names[] = {"random labels", "right labels", "wrong labels"};
  return names[static_cast<int>(kind)];
}

std::vector<int64_t> labels_of(const Matrix<double>& logits, LabelKind kind, uint64_t seed) {
  Random random(seed);
  std::vector<int64_t> labels(logits.rows);
  for (int64_t i = 0; i < logits.rows; ++i) {
    const double* z = logits.row(i);
    int64_t y = random.below(logits.columns);
    for (int64_t c = 0; c < logits.columns && kind != LabelKind::random; ++c)
      if (kind == LabelKind::right ? z[c] > z[y] : z[c] < z[y] && z[c] > -INFINITY) y = c;
    labels[i] = y;
  }
  return labels;
}

}  // namespace softgrad::native_tests
