// Statistics of blocks of the classes, merged into those of the rows: softmax, loss and gradient from them, a block at
// a time, are as exact as those of whole rows.
#include <algorithm>

#include "bounds.h"
#include "calls.h"
#include "families.h"
#include "loss_problems.h"

namespace softgrad::native_tests {
namespace {

struct Block {
  int64_t begin, n;
};

// Sizes of blocks, taken in turn: single classes, uneven ones, and such that a vector fits or does not.
struct Sizes {
  int64_t first, second;
};
const Sizes several_sizes[] = {{1, 1}, {7, 2}, {33, 1}, {16, 64}};

std::vector<Block> blocks_of(int64_t classes, Sizes sizes) {
  std::vector<Block> blocks;
  for (int64_t begin = 0; begin < classes; begin += blocks.back().n) {
    int64_t size = blocks.size() % 2 ? sizes.second : sizes.first;
    blocks.push_back({begin, std::min(size, classes - begin)});
  }
  return blocks;
}

std::string text_of(Sizes sizes) { return text("blocks of %d and %d", int(sizes.first), int(sizes.second)); }

Matrix<double> columns_of(const Matrix<double>& z, Block block) {
  Matrix<double> part(z.rows, block.n);
  for (int64_t i = 0; i < z.rows; ++i) std::copy_n(z.row(i) + block.begin, block.n, &part(i, 0));
  return part;
}

// A block of the classes, and the problem on it.
struct Part {
  Block block;
  Array logits, probabilities;
  LossProblem problem;

  Part(DType dtype, Layout layout, const Matrix<double>& z, const LossProblem& whole, Block block)
      : block(block),
        logits(dtype, layout, columns_of(z, block)),
        probabilities(part_of(whole, block)),
        problem(whole) {
    problem.first_class = block.begin;
    problem.classes = z.columns;
    if (whole.probabilities) problem.probabilities = &probabilities;
  }
  Part(const Part&) = delete;

  Array like_logits() const { return Array(logits.dtype(), Layout::contiguous, logits.count(), logits.classes()); }

 private:
  static Array part_of(const LossProblem& whole, Block block) {
    if (!whole.probabilities) return Array(DType::float64, Layout::contiguous, 0, 0);
    return Array(whole.probabilities->dtype(), Layout::strided, columns_of(whole.probabilities->values(), block));
  }
};

std::vector<RowStatistics> merged(const Kernels& kernels, DType dtype, Layout layout, const Matrix<double>& z,
                                  const LossProblem& problem, const std::vector<Block>& blocks) {
  std::vector<std::vector<RowStatistics>> parts;
  for (Block block : blocks) {
    Part part(dtype, layout, z, problem, block);
    parts.push_back(call_row_statistics(kernels, part.logits, part.problem));
  }
  return call_merge_statistics(kernels, parts);
}

// Everything that follows from the statistics of the rows, a block of the classes at a time.
struct ByBlocks {
  Array softmax, log_softmax, logsumexp, gradient, losses;
  std::vector<double> sums;         // of the losses, from each block
  bool losses_are_the_same = true;  // from each block

  ByBlocks(const Kernels& kernels, DType dtype, Layout layout, const Matrix<double>& z, const LossProblem& problem,
           const std::vector<RowStatistics>& statistics, const std::vector<Block>& blocks)
      : softmax(dtype, Layout::contiguous, z.rows, z.columns),
        log_softmax(dtype, Layout::contiguous, z.rows, z.columns),
        logsumexp(dtype, Layout::contiguous, z.rows, 1),
        gradient(dtype, Layout::contiguous, z.rows, z.columns),
        losses(loss_dtype(dtype), Layout::contiguous, z.rows, 1) {
    for (Block block : blocks) {
      Part part(dtype, layout, z, problem, block);
      part.problem.statistics = statistics.data();
      add(kernels, part, block.begin == 0);
    }
  }

 private:
  void add(const Kernels& kernels, const Part& part, bool first) {
    const RowStatistics* statistics = part.problem.statistics;
    Array out = part.like_logits(), again(losses.dtype(), Layout::contiguous, losses.count(), 1);
    call_softmax(kernels, SoftmaxKind::softmax, part.logits, out, 1, statistics);
    copy(out, part.block, softmax);
    call_softmax(kernels, SoftmaxKind::log_softmax, part.logits, out, 1, statistics);
    copy(out, part.block, log_softmax);
    call_softmax(kernels, SoftmaxKind::logsumexp, part.logits, logsumexp, 1, statistics);
    sums.push_back(call_cross_entropy(kernels, part.logits, part.problem, &out, nullptr));
    copy(out, part.block, gradient);
    call_cross_entropy(kernels, part.logits, part.problem, nullptr, first ? &losses : &again);
    losses_are_the_same = losses_are_the_same && (first || again.same_bits(losses));
  }

  static void copy(const Array& from, Block block, Array& to) {
    for (int64_t i = 0; i < from.count(); ++i)
      for (int64_t c = 0; c < block.n; ++c) to.set(i, block.begin + c, from.get(i, c));
  }
};

void check_softmax(Context& context, const ByBlocks& got, const std::vector<ExactRow>& rows, const std::string& what) {
  DType dtype = got.softmax.dtype();
  int64_t n = got.softmax.classes();
  Matrix<Real> p(rows.size(), n), log_p(rows.size(), n), lse(rows.size(), 1), magnitude(rows.size(), 1);
  for (int64_t i = 0; i < p.rows; ++i) {
    std::copy_n(rows[i].p.data(), n, &p(i, 0));
    std::copy_n(rows[i].log_p.data(), n, &log_p(i, 0));
    lse(i, 0) = rows[i].lse;
    magnitude(i, 0) = rows[i].magnitude;
  }
  check_error(context, Quantity::softmax, dtype, largest_error(got.softmax, p), what);
  check_error(context, Quantity::log_softmax, dtype, largest_error(got.log_softmax, log_p), what);
  check_error(context, Quantity::logsumexp, dtype, largest_error(got.logsumexp, lse, &magnitude), what);
}

void check_loss(Context& context, const ByBlocks& got, const LossProblem& problem, const ExactLoss& exact,
                const std::string& what) {
  DType dtype = got.gradient.dtype(), of_loss = got.losses.dtype();
  Matrix<Real> scale = gradient_scale(problem, dtype, exact);
  check_error(context, Quantity::gradient, dtype, largest_error(got.gradient, exact.gradient, &scale), what);
  context.report.holds(got.losses_are_the_same, what + ": the losses from each block");
  if (problem.denominator.value == 1)  // losses of rows are not divided
    check_error(context, Quantity::loss, of_loss, largest_error(got.losses, exact.losses, &exact.loss_scale), what);
  for (double sum : got.sums) {
    double rounded = of_loss == DType::float32 ? float(sum) : sum;
    check_error(context, Quantity::loss, of_loss, error_of(rounded, exact.sum, of_loss, exact.sum_scale),
                what + ", summed");
  }
}

void check_problem(Context& context, DType dtype, Layout layout, const Matrix<double>& z, const LossProblem& problem,
                   const std::vector<ExactRow>& rows, const ExactLoss& exact, Sizes sizes, const std::string& name) {
  std::string what = name + ", " + text_of(sizes);
  std::vector<Block> blocks = blocks_of(z.columns, sizes);
  std::vector<RowStatistics> statistics = merged(context.kernels, dtype, layout, z, problem, blocks);
  ByBlocks got(context.kernels, dtype, layout, z, problem, statistics, blocks);
  if (!problem.ignore_index) check_softmax(context, got, rows, what);  // an ignored row may have no statistics
  check_loss(context, got, problem, exact, what);
}

void check_families(Context& context) {
  for (DType dtype : {DType::float32, DType::float64})
    for (const Family& family : families(dtype, context.quick)) {
      const Matrix<double>& z = family.logits;
      if (z.columns > (context.quick ? 50 : 400)) continue;
      std::vector<ExactRow> rows = exact_rows(z);
      for (LabelKind kind : label_kinds) {
        LossProblem problem;
        problem.labels = labels_of(z, kind);
        ExactLoss exact(rows, problem);
        for (Sizes sizes : several_sizes)
          check_problem(context, dtype, Layout::contiguous, z, problem, rows, exact, sizes,
                        family.name + ", " + name_of(kind));
      }
    }
}

void check_class_probabilities(Context& context) {
  for (DType dtype : {DType::float32, DType::float64})
    for (const Family& family : families(dtype, context.quick)) {
      const Matrix<double>& z = family.logits;
      if (z.columns > (context.quick ? 33 : 100)) continue;
      std::vector<ExactRow> rows = exact_rows(z);
      Matrix<double> q = soft_targets(dtype, z.rows, z.columns);
      for (size_t i = 0; i < q.values.size(); ++i)
        if (z.values[i] == -INFINITY) q.values[i] = 0;
      Array probabilities(dtype, Layout::contiguous, q);
      LossProblem problem;
      problem.probabilities = &probabilities;
      ExactLoss exact(rows, problem);
      for (Sizes sizes : several_sizes)
        check_problem(context, dtype, Layout::contiguous, z, problem, rows, exact, sizes,
                      family.name + ", probabilities");
    }
}

// Every option and layout, of labels and of class probabilities.
void check_options(Context& context) {
  Matrix<double> z;
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (int64_t n : {5, 40}) {
      if (context.quick && n == 5) continue;
      z = normal_matrix(dtype, 17, n, 3);
      std::vector<ExactRow> rows = exact_rows(z);
      Array q(DType::float32, Layout::contiguous, soft_targets(DType::float32, z.rows, n));
      for (const Options& o : options)
        for (const Array* probabilities : {static_cast<const Array*>(nullptr), static_cast<const Array*>(&q)}) {
          LossProblem problem = problem_with(o, z, probabilities);
          ExactLoss exact(rows, problem);
          for (Layout layout : layouts)
            check_problem(context, dtype, layout, z, problem, rows, exact, {9, 14},
                          text("%s, %s, n=%d, %s%s", o.name, format_of(dtype).name, int(n), name_of(layout),
                               probabilities ? ", probabilities" : ""));
        }
    }
}

// Blocks that are themselves long rows of several blocks.
void check_long_blocks(Context& context) {
  for (DType dtype : {DType::float32, DType::float64}) {
    int64_t n = dtype == DType::float32 ? 150001 : 75001;
    Matrix<double> z = normal_matrix(dtype, 2, n, 4);
    std::vector<ExactRow> rows = exact_rows(z);
    for (const Options& o : {options[0], options[7]}) {
      if (context.quick && o.label_smoothing != 0) continue;
      LossProblem problem = problem_with(o, z, nullptr);
      check_problem(context, dtype, Layout::contiguous, z, problem, rows, ExactLoss(rows, problem), {n / 2, 1001},
                    text("%s, n=%d", o.name, int(n)));
    }
  }
}

// Probabilities below the subnormals keep their digits, and a weight brings them back.
void check_tails(Context& context) {
  for (DType dtype : {DType::float32, DType::float64}) {
    Matrix<double> z(4, 2);
    z.values = dtype == DType::float64 ? std::vector<double>{0, -700, 0, -715, 0, -740, 0, -745}
                                       : std::vector<double>{0, -80, 0, -90, 0, -100, 0, -103};
    std::vector<ExactRow> rows = exact_rows(z);
    for (double weight : {1e-15, 1.0, 1e4, 1e15}) {
      LossProblem problem;
      problem.labels.assign(z.rows, 0);
      problem.weight = {weight, 1};
      check_problem(context, dtype, Layout::contiguous, z, problem, rows, ExactLoss(rows, problem), {1, 1},
                    text("tails, weight %g", weight));
    }
  }
}

void check_special_values(Context& context) {
  constexpr double inf = INFINITY;
  Matrix<double> z(9, 6);
  z.values = {1,    -inf, 2,    0,    -inf, -inf,  // a block of only -inf
              -inf, -inf, -inf, -inf, -inf, -inf,  //
              inf,  0,    0,    0,    0,    0,     //
              0,    0,    0,    0,    NAN,  0,     //
              -inf, -inf, NAN,  -inf, -inf, 1,     //
              inf,  0,    0,    0,    NAN,  0,     //
              -inf, -inf, 0,    0,    inf,  inf,   //
              5,    5,    5,    5,    5,    5,     // ties across the blocks
              0,    -inf, 3,    1,    2,    9};    // the label at -inf
  const std::vector<int64_t> labels = {2, 0, 0, 0, 0, 0, 4, 4, 1};
  std::vector<ExactRow> rows = exact_rows(z);
  Matrix<double> one_hot(z.rows, z.columns);
  for (int64_t i = 0; i < z.rows; ++i) one_hot(i, labels[i]) = 1;
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    Array q(dtype, Layout::contiguous, one_hot);
    LossProblem labelled, dense;
    labelled.labels = labels;
    dense.probabilities = &q;
    for (const LossProblem* problem : {&labelled, &dense})
      for (Sizes sizes : {Sizes{1, 1}, Sizes{2, 2}, Sizes{2, 1}, Sizes{4, 2}})
        check_problem(context, dtype, Layout::contiguous, z, *problem, rows, ExactLoss(rows, *problem), sizes,
                      text("special values, %s%s", format_of(dtype).name, problem == &dense ? ", probabilities" : ""));
  }
}

// How far apart two sums of two parts are, in units of 2^-60 of them: what long double can show.
Error difference(double a_hi, double a_lo, double b_hi, double b_lo) {
  Real a = Real(a_hi) + a_lo, b = Real(b_hi) + b_lo;
  double units = a == b ? 0 : static_cast<double>(std::fabs(a - b) / std::fabs(b) * 0x1p60L);
  return {units, 0, 0, a, b};
}

void check_same_statistics(Context& context, const std::vector<RowStatistics>& a, const std::vector<RowStatistics>& b,
                           const std::string& what) {
  auto same_sum = [&](double a_hi, double a_lo, double b_hi, double b_lo) {
    context.report.within(difference(a_hi, a_lo, b_hi, b_lo), 1, "merged statistics, of 2^-60", what);
  };
  for (size_t i = 0; i < a.size(); ++i) {
    context.report.holds(a[i].maximum == b[i].maximum && a[i].ties == b[i].ties && a[i].label == b[i].label,
                         what + ": maximum, ties, label");
    same_sum(a[i].rest_hi, a[i].rest_lo, b[i].rest_hi, b[i].rest_lo);
    same_sum(a[i].mass_hi, a[i].mass_lo, b[i].mass_hi, b[i].mass_lo);
    same_sum(a[i].below_hi, a[i].below_lo, b[i].below_hi, b[i].below_lo);
    same_sum(a[i].dot_hi, a[i].dot_lo, b[i].dot_hi, b[i].dot_lo);
  }
}

// Merging in steps, and in another order, is merging at once.
void check_steps(Context& context) {
  const Kernels& kernels = context.kernels;
  Matrix<double> z = normal_matrix(DType::float64, 30, 90, 20);
  for (int64_t i = 0; i < 10; ++i) z(i, 7) = z(i, 31) = z(i, 88) = 100;
  Array q(DType::float64, Layout::contiguous, soft_targets(DType::float64, z.rows, z.columns));
  for (const Array* probabilities : {static_cast<const Array*>(nullptr), static_cast<const Array*>(&q)}) {
    LossProblem problem = problem_with(options[0], z, probabilities);
    std::vector<std::vector<RowStatistics>> parts;
    for (Block block : blocks_of(z.columns, {10, 7})) {
      Part part(DType::float64, Layout::contiguous, z, problem, block);
      parts.push_back(call_row_statistics(kernels, part.logits, part.problem));
    }
    std::vector<RowStatistics> at_once = call_merge_statistics(kernels, parts);
    auto left = call_merge_statistics(kernels, {parts.begin(), parts.begin() + 4});
    auto right = call_merge_statistics(kernels, {parts.begin() + 4, parts.end()});
    std::string targets = probabilities ? "probabilities" : "labels";
    check_same_statistics(context, call_merge_statistics(kernels, {right, left}), at_once, "in steps, " + targets);
    std::reverse(parts.begin(), parts.end());
    check_same_statistics(context, call_merge_statistics(kernels, parts), at_once, "in another order, " + targets);
  }
}

// With the statistics of whole rows, results have the same bits as without.
struct WholeRows {
  Context& context;
  const Matrix<double>& z;
  DType dtype;
  Layout layout;
  Array logits;

  WholeRows(Context& context, const Matrix<double>& z, DType dtype, Layout layout)
      : context(context), z(z), dtype(dtype), layout(layout), logits(dtype, layout, z) {}

  Array results() const { return Array(dtype, layout, z.rows, z.columns); }
  void same(const Array& a, const Array& b, const std::string& which) const {
    context.report.holds(a.same_bits(b), text("%s given the statistics of the rows, %s, n=%d, %s", which.c_str(),
                                              format_of(dtype).name, int(z.columns), name_of(layout)));
  }

  void check_softmax() const {
    std::vector<RowStatistics> statistics = call_row_statistics(context.kernels, logits, {});
    for (SoftmaxKind kind : {SoftmaxKind::softmax, SoftmaxKind::log_softmax}) {
      Array given = results(), without = results();
      call_softmax(context.kernels, kind, logits, given, 1, statistics.data());
      call_softmax(context.kernels, kind, logits, without);
      same(given, without, "softmax");
    }
    Array given(dtype, Layout::contiguous, z.rows, 1), without(dtype, Layout::contiguous, z.rows, 1);
    call_softmax(context.kernels, SoftmaxKind::logsumexp, logits, given, 1, statistics.data());
    call_softmax(context.kernels, SoftmaxKind::logsumexp, logits, without);
    same(given, without, "logsumexp");
  }

  void check_cross_entropy(LossProblem problem) const {
    std::vector<RowStatistics> statistics = call_row_statistics(context.kernels, logits, problem);
    Array given = results(), without = results();
    Array given_losses(loss_dtype(dtype), Layout::contiguous, z.rows, 1),
        losses(given_losses.dtype(), Layout::contiguous, z.rows, 1);
    call_cross_entropy(context.kernels, logits, problem, &without, &losses);
    problem.statistics = statistics.data();
    call_cross_entropy(context.kernels, logits, problem, &given, &given_losses);
    same(given, without, "gradient");
    same(given_losses, losses, "loss");
  }

  void check_hvp(double z_loss) const {
    std::vector<RowStatistics> statistics = call_row_statistics(context.kernels, logits, {});
    Array v(dtype, layout, normal_matrix(dtype, z.rows, z.columns, 1, 0, 61)), given = results(), without = results();
    HvpProblem problem;
    problem.z_loss = z_loss;
    call_hvp(context.kernels, logits, problem, v, without);
    problem.statistics = statistics.data();
    call_hvp(context.kernels, logits, problem, v, given);
    same(given, without, "hvp");
  }
};

void check_whole_rows(Context& context) {
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (int64_t n : {5, 33, 200, 70000}) {
      if (context.quick && n > 1000 && format_of(dtype).bytes == 2) continue;
      Matrix<double> z = normal_matrix(dtype, n > 1000 ? 2 : 19, n, 4);
      Array q(DType::float32, Layout::contiguous, soft_targets(DType::float32, z.rows, n));
      for (Layout layout : {Layout::contiguous, Layout::padded, Layout::columns, Layout::reversed}) {
        WholeRows rows(context, z, dtype, layout);
        rows.check_softmax();
        for (const Options& o : options) {
          rows.check_cross_entropy(problem_with(o, z, nullptr));
          if (n <= 1000) rows.check_cross_entropy(problem_with(o, z, &q));
        }
        for (double z_loss : {0.0, 0.3}) rows.check_hvp(z_loss);
      }
    }
}

void check_statistics(Context& context) {
  check_families(context);
  check_class_probabilities(context);
  check_options(context);
  check_long_blocks(context);
  check_tails(context);
  check_special_values(context);
  check_steps(context);
  check_whole_rows(context);
}

const Test test("statistics", check_statistics);

}  // namespace
}  // namespace softgrad::native_tests
