#include "module/jax_handlers.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "layout/work_sharing.h"
#include "module/isa.h"
#include "module/threads.h"
#include "module/xla_call.h"

namespace softgrad {
namespace {

using xla::Array;
using xla::Call;
using xla::DataType;
using xla::InvalidArgument;

int64_t bytes_of(DType dtype) { return dtype == DType::float64 ? 8 : dtype == DType::float32 ? 4 : 2; }

// `count` rows of neighbouring elements.
Rows dense_rows(void* data, int64_t count, int64_t classes, int64_t element_bytes) {
  Rows rows;
  rows.data = static_cast<char*>(data);
  rows.count = count;
  rows.classes = classes;
  rows.class_stride = element_bytes;
  if (count == 1) return rows;
  rows.outer_axes = 1;
  rows.outer_shape[0] = count;
  rows.outer_stride[0] = classes * element_bytes;
  return rows;
}

// Floating-point rows along the last axis.
struct ClassRows {
  Array array;
  DType dtype;
  Rows rows;

  explicit ClassRows(const Array& array) : array(array), dtype(array.kernel_dtype()) {
    if (array.rank() < 1) array.reject("at least one axis, of classes");
    rows = dense_rows(array.data<void>(), array.size_of_axes(array.rank() - 1), array.dim(array.rank() - 1),
                      bytes_of(dtype));
  }

  bool empty() const { return rows.count == 0 || rows.classes == 0; }
  int threads() const { return threads_for(rows.count * rows.classes); }

  // Rows of another array of the same shape and dtype.
  Rows like(const Array& other) const {
    other.expect_dtype(array.dtype(), "the dtype of the first argument");
    other.expect_shape(array, array.rank());
    return dense_rows(other.data<void>(), rows.count, rows.classes, bytes_of(dtype));
  }

  // An array with one element for each row.
  void expect_row_shape(const Array& other) const { other.expect_shape(array, array.rank() - 1); }
};

void fill_with_minus_infinity(const Array& out) {
  switch (out.kernel_dtype()) {
    case DType::float16:
      std::fill_n(out.data<uint16_t>(), out.size(), uint16_t{0xfc00});
      return;
    case DType::bfloat16:
      std::fill_n(out.data<uint16_t>(), out.size(), uint16_t{0xff80});
      return;
    case DType::float32:
      std::fill_n(out.data<float>(), out.size(), -std::numeric_limits<float>::infinity());
      return;
    case DType::float64:
      std::fill_n(out.data<double>(), out.size(), -std::numeric_limits<double>::infinity());
      return;
  }
}

void softmax(const Call& call) {
  ClassRows logits(call.argument(0, "logits"));
  Array out = call.result(0, "out");
  int32_t kind = call.attribute<int32_t>("kind");
  if (kind < 0 || kind > static_cast<int32_t>(SoftmaxKind::logsumexp))
    throw InvalidArgument("kind is " + std::to_string(kind) + "; expected 0, 1 or 2");
  SoftmaxArguments args = {};
  args.kind = static_cast<SoftmaxKind>(kind);
  args.dtype = logits.dtype;
  args.logits = logits.rows;
  args.threads = logits.threads();
  if (args.kind == SoftmaxKind::logsumexp) {
    out.expect_dtype(logits.array.dtype(), "the dtype of logits");
    logits.expect_row_shape(out);
    if (logits.empty()) return fill_with_minus_infinity(out);
    args.out = dense_rows(out.data<void>(), logits.rows.count, 1, bytes_of(logits.dtype));
  } else {
    args.out = logits.like(out);
    if (logits.empty()) return;
  }
  kernels_in_use().softmax(args);
}

void softmax_vjp(const Call& call) {
  ClassRows probs(call.argument(0, "probs"));
  SoftmaxVjpArguments args = {};
  args.dtype = probs.dtype;
  args.probs = probs.rows;
  args.v = probs.like(call.argument(1, "v"));
  args.out = probs.like(call.result(0, "out"));
  args.threads = probs.threads();
  if (!probs.empty()) kernels_in_use().softmax_vjp(args);
}

constexpr NamedHandler handlers[] = {
    {"softgrad_softmax", xla::handle<1, 1, softmax>},
    {"softgrad_softmax_vjp", xla::handle<2, 1, softmax_vjp>},
};

}  // namespace

std::span<const NamedHandler> jax_handlers() { return handlers; }

}  // namespace softgrad
