// Compiled once for every instruction set, with SOFTGRAD_COMPILE_<SET> defined.
#include "module/kernels.h"

#include "ops/moments.h"
#include "ops/cross_entropy.h"
#include "ops/hvp.h"
#include "ops/linear_head.h"
#include "ops/operators.h"
#include "ops/row_sums.h"
#include "ops/secular.h"
#include "ops/softmax.h"
#include "ops/statistics.h"
#include "ops/gram.h"

namespace softgrad::SOFTGRAD_ISA {
namespace {

void softmax(const SoftmaxArguments& a) {
  switch (a.dtype) {
    case DType::float16:
      return softmax_rows<F32, Half>(a);
    case DType::bfloat16:
      return softmax_rows<F32, BFloat16>(a);
    case DType::float32:
      return softmax_rows<F32, float>(a);
    case DType::float64:
      return softmax_rows<F64, double>(a);
  }
}

void row_statistics(const StatisticsArguments& a) {
  switch (a.dtype) {
    case DType::float16:
      return statistics_rows<F32, Half>(a);
    case DType::bfloat16:
      return statistics_rows<F32, BFloat16>(a);
    case DType::float32:
      return statistics_rows<F32, float>(a);
    case DType::float64:
      return statistics_rows<F64, double>(a);
  }
}

double cross_entropy(const CrossEntropyArguments& a) {
  switch (a.dtype) {
    case DType::float16:
      return cross_entropy_rows<F32, Half>(a);
    case DType::bfloat16:
      return cross_entropy_rows<F32, BFloat16>(a);
    case DType::float32:
      return cross_entropy_rows<F32, float>(a);
    case DType::float64:
      return cross_entropy_rows<F64, double>(a);
  }
  return 0;
}

template <class V>
void apply_operator_in(const OperatorArguments& a) {
  switch (a.kind) {
    case OperatorKind::curvature:
      return OperatorProduct<V, OperatorKind::curvature>(a).run();
    case OperatorKind::log_softmax:
      return OperatorProduct<V, OperatorKind::log_softmax>(a).run();
    case OperatorKind::log_softmax_transposed:
      return OperatorProduct<V, OperatorKind::log_softmax_transposed>(a).run();
  }
}

void apply_operator(const OperatorArguments& a) {
  if (a.dtype == DType::float32)
    apply_operator_in<F32>(a);
  else
    apply_operator_in<F64>(a);
}

void hvp(const HvpArguments& a) {
  switch (a.dtype) {
    case DType::float16:
      return hvp_rows<F32, Half>(a);
    case DType::bfloat16:
      return hvp_rows<F32, BFloat16>(a);
    case DType::float32:
      return hvp_rows<F32, float>(a);
    case DType::float64:
      return hvp_rows<F64, double>(a);
  }
}

void softmax_vjp(const SoftmaxVjpArguments& a) {
  switch (a.dtype) {
    case DType::float16:
      return softmax_vjp_rows<F32, Half>(a);
    case DType::bfloat16:
      return softmax_vjp_rows<F32, BFloat16>(a);
    case DType::float32:
      return softmax_vjp_rows<F32, float>(a);
    case DType::float64:
      return softmax_vjp_rows<F64, double>(a);
  }
}

double linear_head_gradient(const LinearHeadGradientArguments& a) {
  return a.head.dtype == DType::float32 ? linear_head_pass(a.head, GradientOfRows<F32>{a})
                                        : linear_head_pass(a.head, GradientOfRows<F64>{a});
}

void linear_head_hvp(const LinearHeadHvpArguments& a) {
  if (a.head.dtype == DType::float32)
    linear_head_pass(a.head, HessianOfRows<F32>{a});
  else
    linear_head_pass(a.head, HessianOfRows<F64>{a});
}

void weighted_grams(const GramArguments& a) {
  if (a.dtype == DType::float32)
    weighted_grams_in<F32>(a);
  else
    weighted_grams_in<F64>(a);
}

double column_moments(const MomentArguments& a) {
  return a.dtype == DType::float32 ? ColumnMoments<float>(a).run() : ColumnMoments<double>(a).run();
}

template <class V>
void exp_of(const typename V::Scalar* z, double m, typename V::Scalar* out, int64_t n) {
  using T = typename V::Scalar;
  Pivot<V> pivot(V(static_cast<T>(m)), V(static_cast<T>(headroom_for<T>(1))));
  row_map<V>(z, n, out, false, [&](V x) { return exp_difference(x, pivot).value; });
}

void exp_difference_of(DType dtype, const void* z, double m, void* out, int64_t n) {
  if (dtype == DType::float32)
    exp_of<F32>(static_cast<const float*>(z), m, static_cast<float*>(out), n);
  else
    exp_of<F64>(static_cast<const double*>(z), m, static_cast<double*>(out), n);
}

void log1p_of(const double* s, double* out, int64_t n) {
  row_map<F64>(s, n, out, false, [](F64 x) { return log1p(DD{x, F64(0)}).hi; });
}

}  // namespace

extern const Kernels kernels;
#define SOFTGRAD_STRING(x) #x
#define SOFTGRAD_NAME(x) SOFTGRAD_STRING(x)
const Kernels kernels = {SOFTGRAD_NAME(SOFTGRAD_ISA),
                         softmax,
                         row_statistics,
                         merge_statistics,
                         cross_entropy,
                         apply_operator,
                         hvp,
                         softmax_vjp,
                         secular_rows,
                         sum_rows,
                         linear_head_gradient,
                         linear_head_hvp,
                         weighted_grams,
                         column_moments,
                         exp_difference_of,
                         log1p_of};

}  // namespace softgrad::SOFTGRAD_ISA
