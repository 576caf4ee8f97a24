// NaN, infinities and masked rows: they stay in their rows, and mean what docs/design.md says.
#include "bounds.h"
#include "calls.h"
#include "families.h"

namespace softgrad::native_tests {
namespace {

// Few classes, many, and rows of more than one block.
std::vector<int64_t> class_counts(DType dtype) { return {3, 40, dtype == DType::float64 ? 32769 : 65537}; }
constexpr Layout several_layouts[] = {Layout::contiguous, Layout::strided, Layout::columns};

// Rows 2 to 6 are hostile, all others ordinary.
enum Row : int64_t { with_nan = 2, with_infinity = 3, all_masked = 4, masked_target = 5, nan_and_infinity = 6 };

int64_t rows_for(int64_t n) { return n > 1000 ? 7 : 20; }

// The same logits with those rows and without them.
struct Logits {
  DType dtype;
  int64_t rows, n;
  std::vector<int64_t> labels;
  Matrix<double> ordinary, hostile, v;

  Logits(DType dtype, int64_t n)
      : dtype(dtype),
        rows(rows_for(n)),
        n(n),
        ordinary(normal_matrix(dtype, rows, n, 2, 0, 31)),
        hostile(ordinary),
        v(normal_matrix(dtype, rows, n, 1, 0, 32)) {
    for (int64_t i = 0; i < rows; ++i) labels.push_back(i * 7919 % n);
    hostile(with_nan, n - 1) = NAN;
    hostile(with_infinity, 0) = INFINITY;
    for (int64_t c = 0; c < n; ++c) hostile(all_masked, c) = -INFINITY;
    hostile(masked_target, labels[masked_target]) = -INFINITY;
    hostile(nan_and_infinity, n - 1) = INFINITY;
    hostile(nan_and_infinity, 0) = NAN;
  }
};

bool has_no_softmax(int64_t row) {
  return row == with_nan || row == with_infinity || row == all_masked || row == nan_and_infinity;
}

bool all_nan(const Array& array, int64_t row) {
  for (int64_t c = 0; c < array.classes(); ++c)
    if (!std::isnan(array.get(row, c))) return false;
  return true;
}

bool all_zero(const Array& array, int64_t row) {
  for (int64_t c = 0; c < array.classes(); ++c)
    if (array.get(row, c) != 0) return false;
  return true;
}

bool all_finite(const Array& array, int64_t row) {
  for (int64_t c = 0; c < array.classes(); ++c)
    if (!std::isfinite(array.get(row, c))) return false;
  return true;
}

// The results of ordinary rows have the same bits as without the hostile ones.
void check_other_rows(Context& context, const Array& got, const Array& clean, const std::string& what) {
  bool same = true;
  for (int64_t i = 0; i < got.count(); ++i)
    for (int64_t c = 0; c < got.classes() && (i < with_nan || i > nan_and_infinity); ++c)
      same = same && got.get(i, c) == clean.get(i, c);
  context.report.holds(same, what + ": a row changes with its neighbours");
}

// One layout of them.
struct Case {
  Context& context;
  DType dtype;
  int64_t rows, n;
  Layout layout;
  std::vector<int64_t> labels;
  Array hostile, ordinary, v;
  std::string what;

  Case(Context& context, const Logits& z, Layout layout)
      : context(context),
        dtype(z.dtype),
        rows(z.rows),
        n(z.n),
        layout(layout),
        labels(z.labels),
        hostile(dtype, layout, z.hostile),
        ordinary(dtype, layout, z.ordinary),
        v(dtype, layout, z.v),
        what(text("%s, n=%d, %s", format_of(dtype).name, int(n), name_of(layout))) {}

  Array results() const { return Array(dtype, layout, rows, n); }
  Array row_losses() const { return Array(loss_dtype(dtype), Layout::contiguous, rows, 1); }
  void holds(bool fact, const std::string& which) const { context.report.holds(fact, which + ", " + what); }
};

void check_softmax(const Case& c) {
  const Kernels& kernels = c.context.kernels;
  for (SoftmaxKind kind : {SoftmaxKind::softmax, SoftmaxKind::log_softmax}) {
    Array out = c.results(), clean = c.results();
    call_softmax(kernels, kind, c.hostile, out);
    call_softmax(kernels, kind, c.ordinary, clean);
    check_other_rows(c.context, out, clean, "softmax, " + c.what);
    for (int64_t i = with_nan; i <= nan_and_infinity; ++i)
      c.holds(has_no_softmax(i) == all_nan(out, i), text("softmax of row %d", int(i)));
    double expected = kind == SoftmaxKind::softmax ? 0 : -INFINITY;
    c.holds(out.get(masked_target, c.labels[masked_target]) == expected, "softmax of a masked class");
  }
  Array lse(c.dtype, Layout::contiguous, c.rows, 1);
  call_softmax(kernels, SoftmaxKind::logsumexp, c.hostile, lse);
  c.holds(std::isnan(lse.get(with_nan, 0)) && std::isnan(lse.get(nan_and_infinity, 0)), "lse of NaN");
  c.holds(lse.get(with_infinity, 0) == INFINITY, "lse of infinity");
  c.holds(lse.get(all_masked, 0) == -INFINITY, "lse of a masked row");
  c.holds(std::isfinite(lse.get(masked_target, 0)), "lse beside a masked class");
}

void check_losses(const Case& c, const LossProblem& problem, const std::string& targets) {
  Array gradient = c.results(), clean_gradient = c.results(), losses = c.row_losses(), clean_losses = c.row_losses();
  call_cross_entropy(c.context.kernels, c.hostile, problem, &gradient, &losses);
  call_cross_entropy(c.context.kernels, c.ordinary, problem, &clean_gradient, &clean_losses);
  check_other_rows(c.context, gradient, clean_gradient, "gradient, " + targets + c.what);
  check_other_rows(c.context, losses, clean_losses, "loss, " + targets + c.what);
  for (int64_t i = with_nan; i <= nan_and_infinity; ++i) {
    if (i == masked_target) continue;
    c.holds(std::isnan(losses.get(i, 0)), targets + text("loss of row %d", int(i)));
    c.holds(all_nan(gradient, i), targets + text("gradient of row %d", int(i)));
  }
  c.holds(losses.get(masked_target, 0) == INFINITY, targets + "the loss of a masked target");
  c.holds(all_finite(gradient, masked_target), targets + "the gradient at a masked target");
  c.holds(gradient.get(masked_target, c.labels[masked_target]) == -1, targets + "the masked target's own gradient");
}

void check_cross_entropy(const Case& c) {
  LossProblem labelled, dense;
  labelled.labels = c.labels;
  check_losses(c, labelled, "labels, ");
  Matrix<double> one_hot(c.rows, c.n);
  for (int64_t i = 0; i < c.rows; ++i) one_hot(i, c.labels[i]) = 1;
  Array probabilities(DType::float32, Layout::contiguous, one_hot);
  dense.probabilities = &probabilities;
  check_losses(c, dense, "probabilities, ");
}

// Whatever an ignored row holds, it adds nothing.
void check_ignored_rows(const Case& c) {
  for (double smoothing : {0.0, 0.1}) {
    LossProblem problem;
    problem.labels = c.labels;
    problem.ignore_index = -100;
    problem.label_smoothing = smoothing;
    for (int64_t i = with_nan; i <= nan_and_infinity; ++i) problem.labels[i] = -100;
    Array gradient = c.results(), losses = c.row_losses();
    call_cross_entropy(c.context.kernels, c.hostile, problem, &gradient, &losses);
    bool nothing = std::isfinite(call_cross_entropy(c.context.kernels, c.hostile, problem, &gradient, nullptr));
    for (int64_t i = with_nan; i <= nan_and_infinity; ++i)
      nothing = nothing && losses.get(i, 0) == 0 && all_zero(gradient, i);
    c.holds(nothing, text("ignored rows, smoothing %g", smoothing));
  }
}

void check_hvp(const Case& c) {
  Array out = c.results(), clean = c.results();
  call_hvp(c.context.kernels, c.hostile, {}, c.v, out);
  call_hvp(c.context.kernels, c.ordinary, {}, c.v, clean);
  check_other_rows(c.context, out, clean, "hvp, " + c.what);
  for (int64_t i = with_nan; i <= nan_and_infinity; ++i)
    c.holds(has_no_softmax(i) == all_nan(out, i), text("hvp of row %d", int(i)));
  c.holds(out.get(masked_target, c.labels[masked_target]) == 0, "hvp of a masked class");
  HvpProblem problem;
  problem.labels = c.labels;
  problem.ignore_index = -100;
  for (int64_t i = with_nan; i <= nan_and_infinity; ++i) problem.labels[i] = -100;
  call_hvp(c.context.kernels, c.hostile, problem, c.v, out);
  bool nothing = true;
  for (int64_t i = with_nan; i <= nan_and_infinity; ++i) nothing = nothing && all_zero(out, i);
  c.holds(nothing, "ignored rows, hvp");
}

// A sum that overflows is infinite, not NaN.
void check_overflow(Context& context) {
  for (DType dtype : {DType::float32, DType::float64}) {
    double far = (dtype == DType::float32 ? double(FLT_MAX) : DBL_MAX) * 0.9;
    Matrix<double> z(1, 2);
    z.values = {rounded_to(-far, dtype), rounded_to(far, dtype)};
    Array logits(dtype, Layout::contiguous, z), losses(dtype, Layout::contiguous, 1, 1);
    LossProblem problem;
    problem.labels = {0};
    double sum = call_cross_entropy(context.kernels, logits, problem, nullptr, nullptr);
    call_cross_entropy(context.kernels, logits, problem, nullptr, &losses);
    bool infinite = (dtype == DType::float32 ? float(sum) : sum) == INFINITY && losses.get(0, 0) == INFINITY;
    context.report.holds(infinite, text("a loss beyond %s", format_of(dtype).name));
  }
}

void check_no_rows(Context& context) {
  Array logits(DType::float64, Layout::contiguous, 0, 3), gradient(DType::float64, Layout::contiguous, 0, 3);
  LossProblem problem;
  problem.probabilities = &logits;
  call_softmax(context.kernels, SoftmaxKind::softmax, logits, gradient);
  context.report.holds(call_cross_entropy(context.kernels, logits, problem, &gradient, nullptr) == 0, "no rows");
}

void check_special_values(Context& context) {
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (int64_t n : class_counts(dtype)) {
      Logits logits(dtype, n);
      for (Layout layout : several_layouts) {
        if (n > 1000 && layout == Layout::columns && context.quick) continue;
        Case c(context, logits, layout);
        check_softmax(c);
        check_cross_entropy(c);
        check_ignored_rows(c);
        check_hvp(c);
      }
    }
  check_overflow(context);
  check_no_rows(context);
}

const Test test("special_values", check_special_values);

}  // namespace
}  // namespace softgrad::native_tests
