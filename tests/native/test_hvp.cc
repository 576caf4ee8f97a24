// Hessian-vector products from logits, products of softmax's Jacobian from its result, and the operators' products.
#include <algorithm>

#include "bounds.h"
#include "calls.h"
#include "families.h"

namespace softgrad::native_tests {
namespace {

struct Products {
  Matrix<Real> value, scale;

  Products(int64_t rows, int64_t classes) : value(rows, classes), scale(rows, classes) {}
};

// H = a·J + b·p pᵀ with a = (M + 2ζ·lse)·s/denominator, b = 2ζ·s/denominator.
Products exact_hvp(const Matrix<double>& z, const HvpProblem& problem, const Matrix<double>& v) {
  Products products(z.rows, z.columns);
  for (int64_t i = 0; i < z.rows; ++i) {
    if (problem.ignores(i)) continue;
    ExactRow row(z.row(i), z.columns);
    JacobianProduct of_p(row.p, v.row(i));
    Real mass = problem.mass.empty() ? 1 : problem.mass[i];
    Real factor = (problem.row_scale.empty() ? 1 : Real(problem.row_scale[i])) / problem.denominator.exact();
    Real twice = 2 * Real(problem.z_loss), a = (mass + twice * row.lse) * factor, b = twice * factor;
    Real mean = of_p.pivot + of_p.mean;
    for (int64_t c = 0; c < z.columns; ++c) {
      products.value(i, c) = a * of_p.value[c] + (b == 0 ? 0 : b * mean * row.p[c]);
      products.scale(i, c) = row.p[c] * (std::fabs(a) * of_p.spread[c] + (b == 0 ? 0 : std::fabs(b * mean)));
    }
  }
  return products;
}

Array columns_of(DType dtype, Layout layout, const Matrix<double>& values, int64_t begin, int64_t end) {
  Matrix<double> part(values.rows, end - begin);
  for (int64_t i = 0; i < part.rows; ++i)
    std::copy(values.row(i) + begin, values.row(i) + end, part.values.begin() + i * part.columns);
  return Array(dtype, layout, part);
}

// The product from three blocks of the classes, of which one is empty.
Array hvp_by_blocks(const Kernels& kernels, DType dtype, Layout layout, const Matrix<double>& z, HvpProblem problem,
                    const Matrix<double>& direction) {
  const int64_t bounds[] = {0, z.columns / 3, z.columns / 3, z.columns};
  std::vector<Array> logits, v;
  std::vector<std::vector<RowStatistics>> of_blocks;
  for (int b = 0; b < 3; ++b) {
    logits.push_back(columns_of(dtype, layout, z, bounds[b], bounds[b + 1]));
    v.push_back(columns_of(dtype, layout, direction, bounds[b], bounds[b + 1]));
    of_blocks.push_back(call_row_statistics(kernels, logits[b], {}));
  }
  std::vector<RowStatistics> statistics = call_merge_statistics(kernels, of_blocks);
  std::vector<std::vector<DirectionStatistics>> parts;
  for (int b = 0; b < 3; ++b) parts.push_back(call_direction_statistics(kernels, logits[b], v[b], statistics));
  std::vector<DirectionStatistics> directions = call_merge_directions(kernels, parts);
  problem.statistics = statistics.data();
  problem.directions = directions.data();
  Array result(dtype, Layout::contiguous, z.rows, z.columns);
  for (int b = 0; b < 3; ++b) {
    Array out(dtype, layout, z.rows, bounds[b + 1] - bounds[b]);
    call_hvp(kernels, logits[b], problem, v[b], out);
    for (int64_t i = 0; i < z.rows; ++i)
      for (int64_t c = 0; c < out.classes(); ++c) result.set(i, bounds[b] + c, out.get(i, c));
  }
  return result;
}

void check_hvp_problem(Context& context, DType dtype, const Matrix<double>& z, const HvpProblem& problem,
                       const std::vector<Layout>& in_layouts, const std::string& what) {
  Matrix<double> direction = normal_matrix(dtype, z.rows, z.columns, 1, 0, 77);
  Products exact = exact_hvp(z, problem, direction);
  for (Layout layout : in_layouts) {
    std::string where = what + ", " + name_of(layout);
    Array logits(dtype, layout, z), v(dtype, layout, direction), out(dtype, layout, z.rows, z.columns);
    call_hvp(context.kernels, logits, problem, v, out);
    check_error(context, Quantity::hvp, dtype, largest_error(out, exact.value, &exact.scale), where);
    context.report.holds(out.gaps_untouched(), where + ": wrote between the rows");
    call_hvp(context.kernels, logits, problem, v, v);
    context.report.holds(v.same_bits(out), where + ": in place");
    Array by_blocks = hvp_by_blocks(context.kernels, dtype, layout, z, problem, direction);
    check_error(context, Quantity::hvp, dtype, largest_error(by_blocks, exact.value, &exact.scale),
                where + ", by blocks");
  }
}

const std::vector<Layout> every_layout(std::begin(layouts), std::end(layouts));

void check_families(Context& context) {
  for (DType dtype : {DType::float32, DType::float64})
    for (const Family& family : families(dtype, context.quick))
      check_hvp_problem(context, dtype, family.logits, {}, {Layout::contiguous}, family.name);
}

void check_options(Context& context) {
  struct Shape {
    int64_t rows, classes;
  };
  const Shape shapes[] = {{5, 7}, {33, 16}, {8, 33}, {17, 100}, {2, 1000}, {1, 33000}, {1, 70001}};
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (const Shape& shape : shapes) {
      if (context.quick && shape.classes == 70001) continue;
      Matrix<double> z = normal_matrix(dtype, shape.rows, shape.classes, 4);
      Random random(5);
      HvpProblem plain, options;
      options.z_loss = 0.3;
      options.denominator = Denominator(Real(shape.rows) / 3);
      for (int64_t i = 0; i < shape.rows; ++i) {
        options.mass.push_back(random.uniform() * 2);
        options.row_scale.push_back(random.normal());
        options.labels.push_back(i % 5 == 3 ? -100 : 0);
      }
      options.ignore_index = -100;
      std::string what = text("%d x %d", int(shape.rows), int(shape.classes));
      check_hvp_problem(context, dtype, z, plain, every_layout, what);
      check_hvp_problem(context, dtype, z, options, every_layout, what + ", options");
    }
}

// A row's softmax in the element type.
Matrix<double> probabilities_of(const Matrix<double>& z, DType dtype) {
  Matrix<double> p(z.rows, z.columns);
  for (int64_t i = 0; i < z.rows; ++i) {
    ExactRow row(z.row(i), z.columns);
    for (int64_t c = 0; c < z.columns; ++c) p(i, c) = rounded_to(double(row.p[c]), dtype);
  }
  return p;
}

std::vector<Real> row_of(const Matrix<double>& p, int64_t i) {
  return std::vector<Real>(p.row(i), p.row(i) + p.columns);
}

void check_softmax_vjp(Context& context, DType dtype, const Matrix<double>& p, const std::vector<Layout>& in_layouts,
                       const std::string& what) {
  Matrix<double> direction = normal_matrix(dtype, p.rows, p.columns, 1, 0, 78);
  Products exact(p.rows, p.columns);
  for (int64_t i = 0; i < p.rows; ++i) {
    JacobianProduct product(row_of(p, i), direction.row(i));
    for (int64_t c = 0; c < p.columns; ++c) {
      exact.value(i, c) = product.value[c];
      exact.scale(i, c) = p(i, c) * product.spread[c];
    }
  }
  for (Layout layout : in_layouts) {
    Array probabilities(dtype, layout, p), v(dtype, layout, direction), out(dtype, layout, p.rows, p.columns);
    call_softmax_vjp(context.kernels, probabilities, v, out);
    check_error(context, Quantity::hvp, dtype, largest_error(out, exact.value, &exact.scale),
                "softmax vjp, " + what + ", " + name_of(layout));
  }
}

void check_softmax_vjps(Context& context) {
  for (DType dtype : {DType::float32, DType::float64})
    for (const Family& family : families(dtype, context.quick))
      check_softmax_vjp(context, dtype, probabilities_of(family.logits, dtype), {Layout::contiguous}, family.name);
  for (DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    for (int64_t n : {7, 33, 100, 33000, 70001}) {
      if (context.quick && n == 70001) continue;
      Matrix<double> p = probabilities_of(normal_matrix(dtype, n > 1000 ? 1 : 17, n, 3), dtype);
      check_softmax_vjp(context, dtype, p, every_layout, text("n=%d", int(n)));
    }
}

// v: `columns` vectors for each row of p, vector k of row i in row i·columns + k.
Products exact_operator(const OperatorProblem& problem, const Matrix<double>& p, const Matrix<double>& v) {
  Products products(v.rows, v.columns);
  for (int64_t r = 0; r < v.rows; ++r) {
    int64_t i = r / problem.columns;
    JacobianProduct product(row_of(p, i), v.row(r));
    Real a = problem.a.empty() ? 1 : problem.a[i], b = problem.b.empty() ? 0 : problem.b[i];
    Real mean = product.pivot + product.mean;
    CompensatedSum sum, magnitude;
    for (int64_t c = 0; c < v.columns; ++c) {
      if (c != problem.top[i]) sum.add(v(r, c));
      magnitude.add(std::fabs(v(r, c)));
    }
    for (int64_t c = 0; c < v.columns; ++c) {
      Real& value = products.value(r, c);
      Real& scale = products.scale(r, c);
      bool at_top = c == problem.top[i];
      switch (problem.kind) {
        case OperatorKind::curvature:
          value = a * product.value[c] + b * mean * p(i, c);
          scale = p(i, c) * (std::fabs(a) * product.spread[c] + std::fabs(b * mean));
          break;
        case OperatorKind::log_softmax:
          value = product.centred[c];
          scale = product.spread[c];
          break;
        case OperatorKind::log_softmax_transposed:
          // At the top class 1 - p is the complement.
          value = at_top ? v(r, c) * Real(problem.complement[i]) - p(i, c) * sum.value()
                         : v(r, c) - p(i, c) * (sum.value() + v(r, problem.top[i]));
          scale = at_top ? std::fabs(v(r, c)) * Real(problem.complement[i]) +
                               p(i, c) * (magnitude.value() - std::fabs(v(r, c)))
                         : std::fabs(v(r, c)) + p(i, c) * magnitude.value();
      }
    }
  }
  return products;
}

const char* name_of(OperatorKind kind) {
  static constexpr const char* names[] = {"curvature", "log-softmax", "log-softmax transposed"};
  return names[static_cast<int>(kind)];
}

void check_operator(Context& context, DType dtype, const OperatorProblem& problem, const Array& probabilities, Array& v,
                    Array& out, const Products& exact, const std::string& what) {
  call_operator(context.kernels, problem, probabilities, v, out);
  check_error(context, Quantity::operator_product, dtype, largest_error(out, exact.value, &exact.scale),
              std::string(name_of(problem.kind)) + ", " + what);
  context.report.holds(out.gaps_untouched(), what + ": wrote between the rows");
}

OperatorProblem operator_problem(OperatorKind kind, const Matrix<double>& p, bool hessian) {
  OperatorProblem problem;
  problem.kind = kind;
  Random random(8);
  for (int64_t i = 0; i < p.rows; ++i) {
    problem.top.push_back(std::max_element(p.row(i), p.row(i) + p.columns) - p.row(i));
    CompensatedSum rest;
    for (int64_t c = 0; c < p.columns; ++c)
      if (c != problem.top[i]) rest.add(p(i, c));
    problem.complement.push_back(static_cast<double>(rest.value()));
    if (!hessian) continue;
    problem.a.push_back(random.uniform() * 3);
    problem.b.push_back(random.uniform());
  }
  return problem;
}

void check_operators(Context& context) {
  for (DType dtype : {DType::float32, DType::float64})
    for (OperatorKind kind : {OperatorKind::curvature, OperatorKind::log_softmax, OperatorKind::log_softmax_transposed})
      for (int64_t n : {1, 5, 32, 33, 100, 16385}) {
        int64_t rows = n > 1000 ? 1 : 17;
        Matrix<double> p = probabilities_of(normal_matrix(dtype, rows, n, 10), dtype);
        OperatorProblem problem = operator_problem(kind, p, kind == OperatorKind::curvature && n % 2);
        Matrix<double> direction = normal_matrix(dtype, rows, n, 1, 0, 79);
        Products exact = exact_operator(problem, p, direction);
        for (Layout layout : layouts) {
          Array probabilities(dtype, layout, p), v(dtype, layout, direction), out(dtype, layout, rows, n);
          check_operator(context, dtype, problem, probabilities, v, out, exact,
                         text("n=%d, %s", int(n), name_of(layout)));
        }
        for (int64_t columns : {3, 8, 19}) {
          problem.columns = columns;
          Array probabilities(dtype, Layout::contiguous, p);
          Array v = Array::blocks(dtype, rows, n, columns), out = Array::blocks(dtype, rows, n, columns);
          Matrix<double> block = normal_matrix(dtype, rows * columns, n, 1, 0, 80);
          v.set(block);
          check_operator(context, dtype, problem, probabilities, v, out, exact_operator(problem, p, block),
                         text("n=%d, %d vectors a row", int(n), int(columns)));
        }
        problem.columns = 1;
      }
}

void check_hvp(Context& context) {
  check_families(context);
  check_options(context);
}

const Test hvp_test("hvp", check_hvp);
const Test vjp_test("softmax_vjp", check_softmax_vjps);
const Test operator_test("operators", check_operators);

}  // namespace
}  // namespace softgrad::native_tests
