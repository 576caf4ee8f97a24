// Compiled once for each instruction set, with SOFTGRAD_COMPILE_<SET> defined.
#include "module/kernels.h"

#include "ops/cholesky_solve.h"
#include "ops/class_weights.h"
#include "ops/column_sums.h"
#include "ops/cross_entropy.h"
#include "ops/directions.h"
#include "ops/gram.h"
#include "ops/hvp.h"
#include "ops/linear_head.h"
#include "ops/operators.h"
#include "ops/row_sums.h"
#include "ops/secular.h"
#include "ops/softmax.h"
#include "ops/statistics.h"

namespace softgrad::SOFTGRAD_ISA {
namespace {

// The element type of an array, and the vectors in which it is computed.
template <class V, class S>
struct Elements {};

template <class Body>
auto with_elements(DType dtype, Body body) {
  switch (dtype) {
    case DType::float16:
      return body(Elements<F32, Half>());
    case DType::bfloat16:
      return body(Elements<F32, BFloat16>());
    case DType::float32:
      return body(Elements<F32, float>());
    case DType::float64:
      return body(Elements<F64, double>());
  }
  __builtin_unreachable();
}

// For kernels that take float32 and float64 only.
template <class Body>
auto with_vectors(DType dtype, Body body) {
  return dtype == DType::float32 ? body(Elements<F32, float>()) : body(Elements<F64, double>());
}

void softmax(const SoftmaxArguments& args) {
  with_elements(args.dtype, [&]<class V, class S>(Elements<V, S>) { softmax_rows<V, S>(args); });
}

void row_statistics(const StatisticsArguments& args) {
  with_elements(args.dtype, [&]<class V, class S>(Elements<V, S>) { statistics_rows<V, S>(args); });
}

double cross_entropy(const CrossEntropyArguments& args) {
  return with_elements(args.dtype, [&]<class V, class S>(Elements<V, S>) { return cross_entropy_rows<V, S>(args); });
}

void direction_statistics(const DirectionArguments& args) {
  with_elements(args.dtype, [&]<class V, class S>(Elements<V, S>) { direction_rows<V, S>(args); });
}

void hvp(const HvpArguments& args) {
  with_elements(args.dtype, [&]<class V, class S>(Elements<V, S>) { hvp_rows<V, S>(args); });
}

void softmax_vjp(const SoftmaxVjpArguments& args) {
  with_elements(args.dtype, [&]<class V, class S>(Elements<V, S>) { softmax_vjp_rows<V, S>(args); });
}

template <class V>
void apply_operator_in(const OperatorArguments& args) {
  switch (args.kind) {
    case OperatorKind::curvature:
      return OperatorProduct<V, OperatorKind::curvature>(args).run();
    case OperatorKind::log_softmax:
      return OperatorProduct<V, OperatorKind::log_softmax>(args).run();
    case OperatorKind::log_softmax_transposed:
      return OperatorProduct<V, OperatorKind::log_softmax_transposed>(args).run();
  }
}

void apply_operator(const OperatorArguments& args) {
  with_vectors(args.dtype, [&]<class V, class T>(Elements<V, T>) { apply_operator_in<V>(args); });
}

double linear_head_gradient(const LinearHeadGradientArguments& args) {
  return with_vectors(args.head.dtype, [&]<class V, class T>(Elements<V, T>) {
    return linear_head_pass(args.head, GradientOfRows<V>{args});
  });
}

void linear_head_hvp(const LinearHeadHvpArguments& args) {
  with_vectors(args.head.dtype,
               [&]<class V, class T>(Elements<V, T>) { linear_head_pass(args.head, HessianOfRows<V>{args}); });
}

void class_weights(const ClassWeightArguments& args) {
  with_vectors(args.dtype, [&]<class V, class T>(Elements<V, T>) { class_weights_in<V>(args); });
}

void cholesky_solve(const CholeskySolveArguments& args) {
  with_vectors(args.dtype, [&]<class V, class T>(Elements<V, T>) { CholeskySolve<V>(args).run(); });
}

void weighted_grams(const GramArguments& args) {
  with_vectors(args.dtype, [&]<class V, class T>(Elements<V, T>) { weighted_grams_in<V>(args); });
}

double column_sums(const ColumnSumArguments& args) {
  return with_vectors(args.dtype, [&]<class V, class T>(Elements<V, T>) { return ColumnSums<V>(args).run(); });
}

void exp_difference_of(DType dtype, const void* z, double m, void* out, int64_t n) {
  with_vectors(dtype, [&]<class V, class T>(Elements<V, T>) {
    ReducedMaximum<V> reduced(V(static_cast<T>(m)), V(static_cast<T>(headroom_for<T>(1))));
    auto exp_of = [&](V x) { return exp_difference(x, reduced).value; };
    row_map<V>(static_cast<const T*>(z), n, static_cast<T*>(out), false, exp_of);
  });
}

void log1p_of(const double* s, double* out, int64_t n) {
  row_map<F64>(s, n, out, false, [](F64 x) { return log1p(DD{x, F64(0)}).hi; });
}

}  // namespace

extern const Kernels kernels;
const Kernels kernels = {
    set_name,
    softmax,
    row_statistics,
    merge_statistics,
    cross_entropy,
    apply_operator,
    direction_statistics,
    merge_directions,
    hvp,
    softmax_vjp,
    secular_rows,
    sum_rows,
    linear_head_gradient,
    linear_head_hvp,
    class_weights,
    weighted_grams,
    cholesky_solve,
    column_sums,
    exp_difference_of,
    log1p_of,
};

}  // namespace softgrad::SOFTGRAD_ISA
