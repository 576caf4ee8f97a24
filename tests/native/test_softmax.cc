// softmax, log_softmax and logsumexp: families of logits, layouts, row counts around the lane counts, long rows.
#include "bounds.h"
#include "calls.h"
#include "families.h"

namespace softgrad::native_tests {
namespace {

constexpr SoftmaxKind kinds[] = {SoftmaxKind::softmax, SoftmaxKind::log_softmax, SoftmaxKind::logsumexp};

Quantity quantity_of(SoftmaxKind kind) {
  return kind == SoftmaxKind::softmax       ? Quantity::softmax
         : kind == SoftmaxKind::log_softmax ? Quantity::log_softmax
                                            : Quantity::logsumexp;
}

Array results_for(SoftmaxKind kind, const Array& logits, Layout layout) {
  return Array(logits.dtype(), layout, logits.count(), kind == SoftmaxKind::logsumexp ? 1 : logits.classes());
}

// The exact results, and the magnitude to which lse is held.
struct ExactResults {
  Matrix<Real> value, scale;

  ExactResults(SoftmaxKind kind, const std::vector<ExactRow>& rows) {
    int64_t n = static_cast<int64_t>(rows.size()), classes = rows[0].p.size();
    value = scale = Matrix<Real>(n, kind == SoftmaxKind::logsumexp ? 1 : classes);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t c = 0; c < value.columns; ++c) {
        value(i, c) = kind == SoftmaxKind::softmax       ? rows[i].p[c]
                      : kind == SoftmaxKind::log_softmax ? rows[i].log_p[c]
                                                         : rows[i].lse;
        if (kind == SoftmaxKind::logsumexp) scale(i, c) = rows[i].magnitude;
      }
  }
};

// Logits and their exact results, to be compared in several layouts.
class Problem {
 public:
  Problem(DType dtype, const Matrix<double>& z) : dtype_(dtype), z_(z) {
    std::vector<ExactRow> rows = exact_rows(z);
    for (SoftmaxKind kind : kinds) exact_.emplace_back(kind, rows);
  }

  void check(Context& context, Layout from, Layout to, const std::string& what) const {
    Array logits(dtype_, from, z_);
    for (size_t k = 0; k < exact_.size(); ++k) {
      Array out = results_for(kinds[k], logits, to);
      call_softmax(context.kernels, kinds[k], logits, out);
      Error error = largest_error(out, exact_[k].value, &exact_[k].scale);
      check_error(context, quantity_of(kinds[k]), dtype_, error, what);
      context.report.holds(out.gaps_untouched(), what + ": wrote between the rows");
    }
  }

 private:
  DType dtype_;
  const Matrix<double>& z_;
  std::vector<ExactResults> exact_;
};

void check_families(Context& context) {
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (const Family& family : families(dtype, context.quick))
      Problem(dtype, family.logits).check(context, Layout::contiguous, Layout::contiguous, family.name);
}

// The other paths through memory, with few classes (one row per lane) and many (lanes along the classes).
void check_layouts(Context& context) {
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (int64_t rows : {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33})
      for (int64_t n : {1, 5, 17, 32, 33, 100}) {
        if (context.quick && (rows == 4 || rows == 8 || rows == 16 || n == 17 || n == 33)) continue;
        Matrix<double> z = normal_matrix(dtype, rows, n, 3, 0, rows);
        Problem problem(dtype, z);
        for (Layout layout : layouts) {
          std::string what = text("%d x %d, %s", int(rows), int(n), name_of(layout));
          problem.check(context, layout, Layout::contiguous, what);
          problem.check(context, layout, layout, what + " throughout");
          problem.check(context, Layout::contiguous, layout, what + " results");
        }
      }
}

// Rows of more than one block; a class axis too long for one row per lane.
void check_long_rows(Context& context) {
  struct Shape {
    DType dtype;
    int64_t rows, classes;
  };
  const Shape shapes[] = {{DType::float32, 2, 65537},  {DType::float32, 1, 150001}, {DType::float64, 2, 32769},
                          {DType::float64, 1, 150001}, {DType::float16, 1, 70001},  {DType::bfloat16, 1, 65537},
                          {DType::float32, 9, 4097},   {DType::float64, 9, 4096},   {DType::float64, 3, 10001}};
  for (const Shape& shape : shapes) {
    if (context.quick && shape.classes > 100000) continue;
    Matrix<double> z = normal_matrix(shape.dtype, shape.rows, shape.classes, 4);
    Problem problem(shape.dtype, z);
    for (Layout layout : {Layout::contiguous, Layout::offset, Layout::strided, Layout::columns})
      problem.check(context, layout, layout, text("%d x %d, %s", int(shape.rows), int(shape.classes), name_of(layout)));
  }
}

// Equal exponentials below the maximum round alike: a sum that lost what rounding takes from each would be off by up to
// half a unit more. As it is, only the final rounding is left.
void check_sums_lose_nothing(Context& context) {
  constexpr double bound = 0.55;
  for (int64_t n : {20, 1000, 40000}) {
    Matrix<double> z(1, n);
    Error largest;
    for (int step = 0; step < (context.quick ? 30 : 100); ++step) {
      for (double& x : z.values) x = -3 - 0.0371 * step;
      z(0, n / 2) = 0;
      Array logits(DType::float64, Layout::contiguous, z), out(DType::float64, Layout::contiguous, 1, n);
      call_softmax(context.kernels, SoftmaxKind::log_softmax, logits, out);
      Error error = error_of(out.get(0, n / 2), exact_rows(z)[0].log_p[n / 2], DType::float64);
      if (error.ulps >= largest.ulps) largest = error;
    }
    context.report.within(largest, bound, "sums of equal exponentials, float64", text("n=%d", int(n)));
  }
}

void check_in_place(Context& context) {
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (int64_t n : {7, 100, 70001})
      for (SoftmaxKind kind : {SoftmaxKind::softmax, SoftmaxKind::log_softmax})
        for (Layout layout : layouts) {
          Matrix<double> z = normal_matrix(dtype, n > 1000 ? 1 : 19, n, 3);
          Array logits(dtype, layout, z), out(dtype, layout, z.rows, n);
          call_softmax(context.kernels, kind, logits, out);
          call_softmax(context.kernels, kind, logits, logits);
          context.report.holds(logits.same_bits(out),
                               text("in place: %s, n=%d, %s", format_of(dtype).name, int(n), name_of(layout)));
        }
}

// Beyond the last-level cache results bypass it: the same bits, every element written.
void check_streamed_rows(Context& context) {
  constexpr int64_t rows = 1000, n = 9001, part = 125;
  Matrix<double> z = normal_matrix(DType::float32, part, n, 3);
  Array block(DType::float32, Layout::contiguous, z), expected(DType::float32, Layout::contiguous, part, n);
  Array logits(DType::float32, Layout::contiguous, rows, n), out(DType::float32, Layout::offset, rows, n);
  for (int64_t first = 0; first < rows; first += part)
    std::memcpy(logits.rows().row(first), block.data(), part * n * sizeof(float));
  for (SoftmaxKind kind : {SoftmaxKind::softmax, SoftmaxKind::log_softmax}) {
    call_softmax(context.kernels, kind, block, expected);
    call_softmax(context.kernels, kind, logits, out);
    for (int64_t first = 0; first < rows; first += part)
      context.report.holds(std::memcmp(out.rows().row(first), expected.data(), part * n * sizeof(float)) == 0,
                           text("streamed rows from %d", int(first)));
  }
}

// Every number of 16 bits: of one class, logsumexp is the logit itself.
void check_half_precision_conversions(Context& context) {
  for (DType dtype : {DType::float16, DType::bfloat16}) {
    Array logits(dtype, Layout::contiguous, 1 << 16, 1), out(dtype, Layout::contiguous, 1 << 16, 1);
    uint16_t* bits = static_cast<uint16_t*>(logits.data());
    for (int i = 0; i < 1 << 16; ++i) bits[i] = static_cast<uint16_t>(i);
    call_softmax(context.kernels, SoftmaxKind::logsumexp, logits, out);
    int64_t wrong = 0;
    for (int i = 0; i < 1 << 16; ++i) {
      double x = logits.get(i, 0), y = out.get(i, 0);
      wrong += !(x == y || (std::isnan(x) && std::isnan(y)));
    }
    context.report.holds(wrong == 0, text("%s: %d numbers do not come back", format_of(dtype).name, int(wrong)));
  }
}

void check_softmax(Context& context) {
  check_families(context);
  check_layouts(context);
  check_long_rows(context);
  check_sums_lose_nothing(context);
  check_in_place(context);
  check_streamed_rows(context);
  check_half_precision_conversions(context);
}

const Test test("softmax", check_softmax);

}  // namespace
}  // namespace softgrad::native_tests
