#include "module/jax_handlers.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>
#include <vector>

#include "layout/work_sharing.h"
#include "module/isa.h"
#include "module/threads.h"
#include "module/xla_call.h"

namespace softgrad {
namespace {

using xla::Array;
using xla::bytes_of;
using xla::Call;
using xla::DataType;
using xla::InvalidArgument;

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

// The elements of an array as T: in place, or widened from Narrow.
template <class T, class Narrow>
class Widened {
 public:
  Widened(const Array& array, const char* expected) : data_(array.data<const T>()) {
    if (array.dtype() == xla::data_type<T>) return;
    array.expect_dtype(xla::data_type<Narrow>, expected);
    copy_.assign(array.data<const Narrow>(), array.data<const Narrow>() + array.size());
    data_ = copy_.data();
  }
  Widened(const Widened&) = delete;
  Widened& operator=(const Widened&) = delete;

  const T* data() const { return data_; }

 private:
  std::vector<T> copy_;
  const T* data_;
};

using Labels = Widened<int64_t, int32_t>;
using Reals = Widened<double, float>;

LossSpec loss_spec(const Call& call) {
  LossSpec spec;
  spec.reduction = Reduction::none;
  spec.has_ignore_index = call.attribute<bool>("has_ignore_index");
  spec.ignore_index = call.attribute<int64_t>("ignore_index");
  spec.label_smoothing = call.attribute<double>("label_smoothing");
  spec.z_loss = call.attribute<double>("z_loss");
  return spec;
}

// The arguments that all calls of a loss have, and its options.
class Loss {
 public:
  explicit Loss(const Call& call) : logits(call.argument(0, "logits")), spec(loss_spec(call)) {
    if (logits.rows.classes == 0)
      throw InvalidArgument("logits has shape " + logits.array.shape() + ": no classes along axis " +
                            std::to_string(logits.array.rank() - 1) + "; expected at least one");
    set_targets(call.argument(1, "target"));
    set_class_weight(call.argument(2, "weight"));
  }

  CrossEntropyArguments arguments() const {
    CrossEntropyArguments args = {};
    args.spec = spec;
    args.targets = targets;
    args.dtype = logits.dtype;
    args.logits = logits.rows;
    args.threads = logits.threads();
    return args;
  }

  // The memory for the losses of rows, in the type in which kernels write them.
  void* memory_of_losses(const Array& losses) const {
    bool wide = logits.dtype == DType::float64;
    losses.expect_dtype(wide ? DataType::f64 : DataType::f32, "float64 for float64 logits, else float32");
    logits.expect_row_shape(losses);
    return losses.data<void>();
  }

  // A factor for every row.
  Reals row_factors(const Array& factors) const {
    logits.expect_row_shape(factors);
    return Reals(factors, "factors of float32 or float64");
  }

  const ClassRows logits;
  const LossSpec spec;
  Targets targets;

 private:
  void set_targets(const Array& target) {
    if (target.is_floating()) {
      target.expect_shape(logits.array, logits.array.rank());
      targets.dtype = target.kernel_dtype();
      targets.probabilities =
          dense_rows(target.data<void>(), logits.rows.count, logits.rows.classes, bytes_of(targets.dtype));
      return;
    }
    labels_.emplace(target, "labels of int32 or int64, or floating-point probabilities");
    logits.expect_row_shape(target);
    targets.labels = labels_->data();
    LabelSummary summary = summarise_labels(spec, targets.labels, logits.rows.count, logits.rows.classes, nullptr);
    if (summary.bad_row >= 0) reject_label(target, summary.bad_row);
  }

  void set_class_weight(const Array& weight) {
    weight_.emplace(weight, "class weights of float32 or float64");
    if (weight.rank() != 1 || (weight.dim(0) != 0 && weight.dim(0) != logits.rows.classes))
      weight.reject("shape (" + std::to_string(logits.rows.classes) + ",), or (0,) for no weights");
    if (weight.dim(0)) targets.class_weight = weight_->data();
  }

  // The text is that of reject_label in src/softgrad/_validation.py.
  [[noreturn]] void reject_label(const Array& target, int64_t row) const {
    std::string label = std::to_string(targets.labels[row]), position;
    for (int64_t axis = target.rank() - 1; axis >= 0; --axis) {
      position = std::to_string(row % target.dim(axis)) + (position.empty() ? "" : ", ") + position;
      row /= target.dim(axis);
    }
    throw InvalidArgument("target" + (position.empty() ? "" : "[" + position + "]") + " is " + label +
                          "; expected a class index from 0 to " + std::to_string(logits.rows.classes - 1) +
                          (label[0] == '-' ? "; to drop such rows write ignore_index=" + label : ""));
  }

  std::optional<Labels> labels_;
  std::optional<Reals> weight_;
};

void loss(const Call& call) {
  Loss loss(call);
  CrossEntropyArguments args = loss.arguments();
  args.loss = loss.memory_of_losses(call.result(0, "loss"));
  kernels_in_use().cross_entropy(args);
}

void gradient(const Call& call) {
  Loss loss(call);
  Reals s = loss.row_factors(call.argument(3, "s"));
  CrossEntropyArguments args = loss.arguments();
  args.row_scale = s.data();
  args.gradient = loss.logits.like(call.result(0, "gradient"));
  kernels_in_use().cross_entropy(args);
}

float to_float(uint16_t bits, DType dtype) {
  if (dtype == DType::bfloat16) return std::bit_cast<float>(uint32_t{bits} << 16);
  uint32_t sign = (bits & 0x8000u) << 16, magnitude = (bits & 0x7fffu) << 13;
  if (magnitude >= 0x7c00u << 13) return std::bit_cast<float>(sign | 0x7f800000u | magnitude);
  // 2^112 moves the exponent's bias from 15 to 127, and normalises subnormals on the way.
  return std::bit_cast<float>(sign | magnitude) * 0x1p112f;
}

// Σ_c w_c q_c of every row. Rows of 16-bit types are widened one at a time.
void sum_targets(const Targets& targets, double* sums, int threads) {
  const Rows& q = targets.probabilities;
  if (bytes_of(targets.dtype) > 2) return sum_probabilities(q, targets.dtype, targets.class_weight, sums, threads);
  for_shared(q.count, threads, [&](int64_t i, int) {
    std::vector<float> row(static_cast<size_t>(q.classes));
    const uint16_t* narrow = reinterpret_cast<const uint16_t*>(q.row(i));
    for (size_t c = 0; c < row.size(); ++c) row[c] = to_float(narrow[c], targets.dtype);
    Rows wide = dense_rows(row.data(), 1, q.classes, sizeof(float));
    sum_probabilities(wide, DType::float32, targets.class_weight, sums + i, 1);
  });
}

// Σ_c y_c of every row, as Targets.mass in src/softgrad/_targets.py; empty if it is 1.
std::vector<double> mass_of_rows(const Loss& loss) {
  const Targets& targets = loss.targets;
  std::vector<double> mass;
  if (targets.labels && !targets.class_weight) return mass;
  mass.resize(static_cast<size_t>(loss.logits.rows.count));
  if (targets.labels)
    std::transform(targets.labels, targets.labels + mass.size(), mass.begin(),
                   [&](int64_t label) { return loss.spec.ignores(label) ? 0 : targets.class_weight[label]; });
  else
    sum_targets(targets, mass.data(), loss.logits.threads());
  if (loss.spec.label_smoothing == 0) return mass;
  double mean_weight = 1;
  if (const double* weight = targets.class_weight) {
    int64_t classes = loss.logits.rows.classes;
    sum_probabilities(dense_rows(const_cast<double*>(weight), 1, classes, sizeof(double)), DType::float64, nullptr,
                      &mean_weight, 1);
    mean_weight /= static_cast<double>(classes);
  }
  for (double& m : mass) m = (1 - loss.spec.label_smoothing) * m + loss.spec.label_smoothing * mean_weight;
  return mass;
}

void hvp(const Call& call) {
  Loss loss(call);
  Reals s = loss.row_factors(call.argument(3, "s"));
  HvpArguments args = {};
  args.spec = loss.spec;
  args.targets = loss.targets;
  args.dtype = loss.logits.dtype;
  args.logits = loss.logits.rows;
  args.v = loss.logits.like(call.argument(4, "v"));
  args.out = loss.logits.like(call.result(0, "out"));
  args.row_scale = s.data();
  args.threads = loss.logits.threads();
  std::vector<double> mass = mass_of_rows(loss);
  args.mass = mass.empty() ? nullptr : mass.data();
  kernels_in_use().hvp(args);
}

constexpr NamedHandler handlers[] = {
    {"softgrad_softmax", xla::handle<1, 1, softmax>},
    {"softgrad_loss", xla::handle<3, 1, loss>},
    {"softgrad_gradient", xla::handle<4, 1, gradient>},
    {"softgrad_hvp", xla::handle<5, 1, hvp>},
};

}  // namespace

std::span<const NamedHandler> jax_handlers() { return handlers; }

}  // namespace softgrad
