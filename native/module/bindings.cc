// The Python module softgrad._core. Arrays come in through the buffer protocol, or are tensors; _validation.py and
// torch/_arguments.py have checked their types, shapes and values.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "module/huge_pages.h"
#include "module/isa.h"
#include "module/loss_spec_caster.h"
#include "ops/targets.h"
#include "module/threads.h"
#include "layout/tuning.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softgrad {
namespace {

// A view of an array's memory, released at the end of the scope; empty for None. The array is anything with a
// buffer, or a torch.Tensor, which has none, on the CPU and with memory of its own.
class Array {
 public:
  Array(nb::handle object, bool writable) : Array(object, PyBUF_STRIDES, writable) {}

  ~Array() {
    if (held_ && view_.obj) PyBuffer_Release(&view_);
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  template <class T>
  T* data() const {
    return held_ ? static_cast<T*>(view_.buf) : nullptr;
  }
  int64_t size() const { return held_ ? view_.len / view_.itemsize : 0; }
  int64_t item_bytes() const { return held_ ? view_.itemsize : 0; }

  // Rows along `axis`; no axis (-1): every element is a row of its own.
  Rows rows(int axis) const {
    Rows rows;
    if (!held_) return rows;
    rows.data = static_cast<char*>(view_.buf);
    rows.count = 1;
    rows.classes = axis < 0 ? 1 : view_.shape[axis];
    rows.class_stride = axis < 0 ? view_.itemsize : view_.strides[axis];
    if (rows.classes == 1) rows.class_stride = view_.itemsize;
    for (int i = 0; i < view_.ndim; ++i)
      if (i != axis) add_outer_axis(rows, view_.shape[i], view_.strides[i]);
    return rows;
  }

 protected:
  Array(nb::handle object, int layout, bool writable) : held_(!object.is_none()) {
    if (!held_) return;
    if (!PyObject_CheckBuffer(object.ptr()))
      view_tensor(object);
    else if (PyObject_GetBuffer(object.ptr(), &view_, layout | (writable ? PyBUF_WRITABLE : 0)) != 0)
      throw nb::python_error();
  }

 private:
  // Axes that continue one another become one.
  static void add_outer_axis(Rows& rows, int64_t shape, int64_t stride) {
    rows.count *= shape;
    if (shape == 1) return;
    int last = rows.outer_axes - 1;
    if (last >= 0 && rows.outer_stride[last] == shape * stride) {
      rows.outer_shape[last] *= shape;
      rows.outer_stride[last] = stride;
      return;
    }
    rows.outer_shape[rows.outer_axes] = shape;
    rows.outer_stride[rows.outer_axes] = stride;
    ++rows.outer_axes;
  }

  void view_tensor(nb::handle tensor) {
    // Names are made once: that would take as long as the calls.
    static PyObject* const data_ptr = PyUnicode_InternFromString("data_ptr");
    static PyObject* const element_size = PyUnicode_InternFromString("element_size");
    static PyObject* const size = PyUnicode_InternFromString("size");
    static PyObject* const stride = PyUnicode_InternFromString("stride");
    nb::object address = call(tensor, data_ptr), item_bytes = call(tensor, element_size);
    nb::object shape = call(tensor, size), strides = call(tensor, stride);
    view_.obj = nullptr;
    view_.buf = PyLong_AsVoidPtr(address.ptr());
    view_.itemsize = PyLong_AsSsize_t(item_bytes.ptr());
    view_.ndim = static_cast<int>(PyTuple_Size(shape.ptr()));
    view_.shape = extents_;
    view_.strides = extents_ + Rows::max_outer_axes;
    view_.len = view_.itemsize;
    for (int i = 0; i < view_.ndim; ++i) {
      view_.shape[i] = PyLong_AsSsize_t(PyTuple_GetItem(shape.ptr(), i));
      view_.strides[i] = PyLong_AsSsize_t(PyTuple_GetItem(strides.ptr(), i)) * view_.itemsize;
      view_.len *= view_.shape[i];
    }
    if (PyErr_Occurred()) throw nb::python_error();
  }

  static nb::object call(nb::handle tensor, PyObject* method) {
    nb::object result = nb::steal(PyObject_CallMethodNoArgs(tensor.ptr(), method));
    if (!result.is_valid()) throw nb::python_error();
    return result;
  }

  Py_buffer view_;
  Py_ssize_t extents_[2 * Rows::max_outer_axes];
  bool held_;
};

// One whose elements follow one another in memory, as `data` supposes; any other is refused.
class Flat : public Array {
 public:
  Flat(nb::handle object, bool writable) : Array(object, PyBUF_C_CONTIGUOUS, writable) {}
};

void softmax(SoftmaxKind kind, DType dtype, nb::handle logits, int axis, nb::handle out, nb::handle statistics) {
  Array in(logits, false), result(out, true);
  Flat given(statistics, false);
  bool reduces = kind == SoftmaxKind::logsumexp;
  SoftmaxArguments a = {kind, dtype, in.rows(axis), result.rows(reduces ? -1 : axis), given.data<const RowStatistics>(),
                        1};
  a.threads = threads_for(a.logits.count * a.logits.classes);
  nb::gil_scoped_release released;
  kernels_in_use().softmax(a);
}

using SummedWeight = std::optional<std::pair<double, double>>;

// What divides the loss: 1, or for a mean what its targets weigh. Where that is not known, it is summed, and labels
// that are no classes are refused.
void set_denominator(const LossSpec& spec, const Rows& logits, SummedWeight known, Targets& targets) {
  if (!known && targets.labels) {
    int64_t classes = targets.classes ? targets.classes : logits.classes;
    LabelSummary s = summarize_labels(spec, targets.labels, logits.count, classes, targets.class_weight);
    if (s.bad_row >= 0) throw nb::index_error("a label is no class");
    known = {s.weight, s.rest};
  }
  if (spec.reduction != Reduction::mean) return;
  targets.denominator = known ? known->first : static_cast<double>(logits.count);
  targets.denominator_rest = known ? known->second : 0;
}

// The targets of a call, and the arrays that they refer to.
class TargetArrays {
 public:
  TargetArrays(nb::handle labels, nb::handle probabilities, nb::handle class_weight)
      : labels_(labels, false), probabilities_(probabilities, false), class_weight_(class_weight, false) {}

  Targets targets(int axis, DType dtype, int64_t first_class, int64_t classes) const {
    Targets t;
    t.labels = labels_.data<const int64_t>();
    t.probabilities = probabilities_.rows(axis);
    t.dtype = dtype;
    t.class_weight = class_weight_.data<const double>();
    t.first_class = first_class;
    t.classes = classes;
    return t;
  }

 private:
  Flat labels_;
  Array probabilities_;
  Flat class_weight_;
};

double cross_entropy(const LossSpec& spec, DType dtype, nb::handle logits, int axis, nb::handle labels,
                     nb::handle probabilities, DType probabilities_dtype, nb::handle class_weight,
                     SummedWeight summed_weight, nb::handle row_scale, nb::handle loss, nb::handle gradient,
                     nb::handle statistics, int64_t first_class, int64_t classes) {
  TargetArrays targets(labels, probabilities, class_weight);
  Array z(logits, false), g(gradient, true);
  Flat scale(row_scale, false), losses(loss, true), given(statistics, false);
  CrossEntropyArguments a = {};
  a.spec = spec;
  a.targets = targets.targets(axis, probabilities_dtype, first_class, classes);
  a.dtype = dtype;
  a.logits = z.rows(axis);
  a.gradient = g.rows(axis);
  a.statistics = given.data<const RowStatistics>();
  a.row_scale = scale.data<const double>();
  a.loss = losses.data<void>();
  a.threads = threads_for(a.logits.count * a.logits.classes);
  set_denominator(spec, a.logits, summed_weight, a.targets);
  nb::gil_scoped_release released;
  double loss_sum = kernels_in_use().cross_entropy(a);
  return a.dtype == DType::float64 ? loss_sum : static_cast<float>(loss_sum);
}

void row_statistics(const LossSpec& spec, DType dtype, nb::handle logits, int axis, nb::handle out, nb::handle labels,
                    nb::handle probabilities, DType probabilities_dtype, nb::handle class_weight, int64_t first_class,
                    int64_t classes) {
  TargetArrays targets(labels, probabilities, class_weight);
  Array z(logits, false);
  Flat result(out, true);
  StatisticsArguments a = {};
  a.spec = spec;
  a.targets = targets.targets(axis, probabilities_dtype, first_class, classes);
  a.dtype = dtype;
  a.logits = z.rows(axis);
  a.out = result.data<RowStatistics>();
  a.threads = threads_for(a.logits.count * a.logits.classes);
  nb::gil_scoped_release released;
  kernels_in_use().row_statistics(a);
}

void merge_statistics(nb::handle parts, nb::handle out) {
  Flat blocks(parts, false), result(out, true);
  int64_t rows = result.size() / RowStatistics::fields, count = rows ? blocks.size() / result.size() : 0;
  nb::gil_scoped_release released;
  kernels_in_use().merge_statistics(blocks.data<const RowStatistics>(), count, rows, result.data<RowStatistics>());
}

void apply_operator(OperatorKind kind, DType dtype, nb::handle probs, int axis, nb::handle v, nb::handle out,
                    int64_t columns, nb::handle pivot, nb::handle jacobian, nb::handle outer, nb::handle rest) {
  Array p(probs, false), direction(v, false), result(out, true);
  Flat pivots(pivot, false), a_values(jacobian, false), b_values(outer, false), rests(rest, false);
  OperatorArguments a = {};
  a.kind = kind;
  a.rest = rests.data<const double>();
  a.dtype = dtype;
  a.probs = p.rows(axis);
  a.v = direction.rows(axis);
  a.out = result.rows(axis);
  a.columns = columns;
  a.pivot = pivots.data<const int64_t>();
  a.jacobian = a_values.data<const double>();
  a.outer = b_values.data<const double>();
  a.threads = threads_for(a.v.count * a.v.classes);
  nb::gil_scoped_release released;
  kernels_in_use().apply_operator(a);
}

void hvp(const LossSpec& spec, DType dtype, nb::handle logits, int axis, nb::handle v, nb::handle out,
         nb::handle labels, nb::handle mass, SummedWeight summed_weight, nb::handle row_scale, nb::handle statistics) {
  Array z(logits, false), direction(v, false), result(out, true);
  Flat indices(labels, false), masses(mass, false), scale(row_scale, false), given(statistics, false);
  HvpArguments a = {};
  a.spec = spec;
  a.targets.labels = indices.data<const int64_t>();
  a.dtype = dtype;
  a.logits = z.rows(axis);
  a.v = direction.rows(axis);
  a.out = result.rows(axis);
  a.statistics = given.data<const RowStatistics>();
  a.mass = masses.data<const double>();
  a.row_scale = scale.data<const double>();
  a.threads = threads_for(a.logits.count * a.logits.classes);
  set_denominator(spec, a.logits, summed_weight, a.targets);
  nb::gil_scoped_release released;
  kernels_in_use().hvp(a);
}

void softmax_vjp(DType dtype, nb::handle probs, int axis, nb::handle v, nb::handle out) {
  Array p(probs, false), direction(v, false), result(out, true);
  SoftmaxVjpArguments a = {dtype, p.rows(axis), direction.rows(axis), result.rows(axis), 1};
  a.threads = threads_for(a.probs.count * a.probs.classes);
  nb::gil_scoped_release released;
  kernels_in_use().softmax_vjp(a);
}

void secular(int64_t classes, nb::handle probs, nb::handle jacobian, nb::handle outer, nb::handle origin,
             nb::handle offset) {
  Flat p(probs, false), a_values(jacobian, false), b_values(outer, false), origins(origin, true), offsets(offset, true);
  SecularArguments s = {};
  s.rows = p.size() / classes;
  s.classes = classes;
  s.probs = p.data<const double>();
  s.jacobian = a_values.data<const double>();
  s.outer = b_values.data<const double>();
  s.origin = origins.data<double>();
  s.offset = offsets.data<double>();
  s.threads = threads_for(p.size() * classes);
  nb::gil_scoped_release released;
  kernels_in_use().secular(s);
}

void sum_rows(nb::handle x, int axis, nb::handle out) {
  Array in(x, false);
  Flat sums(out, true);
  SumArguments a = {in.rows(axis), sums.data<double>(), 1};
  a.threads = threads_for(a.rows.count * a.rows.classes);
  nb::gil_scoped_release released;
  kernels_in_use().sum_rows(a);
}

// A design matrix: a dense array, or the three of compressed sparse rows.
class Design {
 public:
  Design(nb::handle x, nb::handle data, nb::handle indices, nb::handle starts)
      : dense_(x, false), data_(data, false), indices_(indices, false), starts_(starts, false) {}

  DesignMatrix matrix(int64_t features) const {
    DesignMatrix m = {};
    m.dense = dense_.rows(1);
    m.data = data_.data<void>();
    m.indices = indices_.data<void>();
    m.starts = starts_.data<void>();
    m.wide_indices = indices_.item_bytes() == 8;
    m.entries = data_.size();
    m.rows = m.data ? starts_.size() - 1 : m.dense.count;
    m.features = features;
    return m;
  }

 private:
  Array dense_;
  Flat data_, indices_, starts_;
};

// A linear head, and the arrays that its sums go to.
class HeadArrays {
 public:
  HeadArrays(nb::handle x, nb::handle data, nb::handle indices, nb::handle starts, nb::handle W, nb::handle bias,
             nb::handle weight, nb::handle sum_W, nb::handle sum_bias)
      : design_(x, data, indices, starts),
        W_(W, false),
        bias_(bias, false),
        weight_(weight, false),
        sum_W_(sum_W, true),
        sum_bias_(sum_bias, true) {}

  LinearHead head(DType dtype) const {
    LinearHead h = {};
    h.dtype = dtype;
    h.classes = bias_.size();
    h.x = design_.matrix(W_.size() / h.classes);
    h.W = W_.data<const double>();
    h.bias = bias_.data<const double>();
    h.row_weight = weight_.data<const double>();
    h.sum_W = sum_W_.data<double>();
    h.sum_bias = sum_bias_.data<double>();
    int64_t elements = h.x.data ? h.x.entries : h.x.rows * h.x.features;
    int64_t products = h.classes < least_products ? least_products : h.classes;
    h.threads = threads_for(elements * products / products_per_element);
    return h;
  }

 private:
  Design design_;
  Flat W_, bias_, weight_, sum_W_, sum_bias_;
};

double linear_head_gradient(const LossSpec& spec, DType dtype, nb::handle x, nb::handle data, nb::handle indices,
                            nb::handle starts, nb::handle W, nb::handle bias, nb::handle labels,
                            nb::handle probabilities, nb::handle row_weight, nb::handle probs, nb::handle sum_W,
                            nb::handle sum_bias) {
  HeadArrays arrays(x, data, indices, starts, W, bias, row_weight, sum_W, sum_bias);
  Flat targets(labels, false), target_rows(probabilities, false), kept(probs, true);
  LinearHeadGradientArguments a = {arrays.head(dtype), spec, targets.data<const int64_t>(),
                                   target_rows.data<const double>(), kept.data<void>()};
  nb::gil_scoped_release released;
  return kernels_in_use().linear_head_gradient(a);
}

void linear_head_hvp(DType dtype, nb::handle x, nb::handle data, nb::handle indices, nb::handle starts, nb::handle W,
                     nb::handle bias, nb::handle mass, nb::handle probs, nb::handle sum_W, nb::handle sum_bias) {
  HeadArrays arrays(x, data, indices, starts, W, bias, mass, sum_W, sum_bias);
  Flat p(probs, false);
  LinearHeadHvpArguments a = {arrays.head(dtype), p.data<const void>()};
  nb::gil_scoped_release released;
  kernels_in_use().linear_head_hvp(a);
}

void weighted_grams(DType dtype, nb::handle x, nb::handle data, nb::handle indices, nb::handle starts, nb::handle index,
                    nb::handle weights, nb::handle mean, nb::handle inverse_scale, bool intercept, nb::handle grams) {
  Design design(x, data, indices, starts);
  Flat rows(index, false), of_rows(weights, false), centre(mean, false), scale(inverse_scale, false);
  Flat result(grams, true);
  GramArguments a = {};
  a.dtype = dtype;
  a.x = design.matrix(centre.size());
  a.index = rows.data<const int64_t>();
  a.rows = rows.size();
  a.weights = of_rows.data<const double>();
  a.classes = a.rows ? of_rows.size() / a.rows : 0;
  a.mean = centre.data<void>();
  a.inverse_scale = scale.data<void>();
  a.intercept = intercept;
  a.grams = result.data<void>();
  a.threads = threads_for(a.rows * a.x.features * a.classes);
  nb::gil_scoped_release released;
  kernels_in_use().weighted_grams(a);
}

double column_moments(DType dtype, nb::handle x, nb::handle weight, nb::handle mean, nb::handle variance) {
  Array matrix(x, false);
  Flat weights(weight, false), means(mean, true), variances(variance, true);
  MomentArguments a = {};
  a.dtype = dtype;
  a.x = matrix.rows(1);
  a.weight = weights.data<const double>();
  a.mean = means.data<double>();
  a.variance = variances.data<double>();
  a.threads = threads_for(a.x.count * a.x.classes);
  nb::gil_scoped_release released;
  return kernels_in_use().column_moments(a);
}

nb::tuple check_labels(const LossSpec& spec, nb::handle labels, int64_t classes, nb::handle class_weight) {
  Flat indices(labels, false), w(class_weight, false);
  LabelSummary s =
      summarize_labels(spec, indices.data<const int64_t>(), indices.size(), classes, w.data<const double>());
  return nb::make_tuple(s.bad_row, s.weight, s.rest);
}

int64_t check_probabilities(nb::handle probabilities, DType dtype, int axis) {
  Array probs(probabilities, false);
  Rows rows = probs.rows(axis);
  nb::gil_scoped_release released;
  return first_bad_probabilities(rows, dtype, threads_for(rows.count * rows.classes));
}

void sum_probabilities_of(nb::handle probabilities, DType dtype, int axis, nb::handle class_weight, nb::handle out) {
  Array probs(probabilities, false);
  Flat w(class_weight, false), sums(out, true);
  Rows rows = probs.rows(axis);
  nb::gil_scoped_release released;
  sum_probabilities(rows, dtype, w.data<const double>(), sums.data<double>(), threads_for(rows.count * rows.classes));
}

void exp_difference(DType dtype, nb::handle z, double m, nb::handle out) {
  Flat in(z, false), result(out, true);
  kernels_in_use().exp_difference(dtype, in.data<void>(), m, result.data<void>(), in.size());
}

void log1p_of(nb::handle s, nb::handle out) {
  Flat in(s, false), result(out, true);
  kernels_in_use().log1p(in.data<double>(), result.data<double>(), in.size());
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* k : supported_kernels()) names.push_back(k->name);
  return names;
}

}  // namespace
}  // namespace softgrad

NB_MODULE(_core, m) {
  using namespace softgrad;
  m.doc() = "Compiled kernels of softgrad; use them through the functions of the package.";
  nb::enum_<DType>(m, "DType", "Element types of the kernels' arrays.")
      .value("float16", DType::float16)
      .value("bfloat16", DType::bfloat16)
      .value("float32", DType::float32)
      .value("float64", DType::float64);
  nb::enum_<Reduction>(m, "Reduction", "How the losses of the rows become one.")
      .value("mean", Reduction::mean)
      .value("sum", Reduction::sum)
      .value("none", Reduction::none);
  nb::enum_<SoftmaxKind>(m, "SoftmaxKind")
      .value("softmax", SoftmaxKind::softmax)
      .value("log_softmax", SoftmaxKind::log_softmax)
      .value("logsumexp", SoftmaxKind::logsumexp);
  nb::enum_<OperatorKind>(m, "OperatorKind")
      .value("curvature", OperatorKind::curvature)
      .value("log_softmax", OperatorKind::log_softmax)
      .value("log_softmax_transposed", OperatorKind::log_softmax_transposed);

  m.def("softmax", &softmax, "kind"_a, "dtype"_a, "logits"_a, "axis"_a, "out"_a, "statistics"_a.none() = nb::none(),
        "Write softmax, log_softmax or logsumexp of every row into out.");
  m.def("row_statistics", &row_statistics, "spec"_a, "dtype"_a, "logits"_a, "axis"_a, "out"_a, nb::kw_only(),
        "labels"_a.none() = nb::none(), "probabilities"_a.none() = nb::none(), "probabilities_dtype"_a = DType::float64,
        "class_weight"_a.none() = nb::none(), "first_class"_a = 0, "classes"_a = 0,
        "Write the statistics of the rows, of which the logits are the classes from first_class on, into float64 out "
        "of shape (rows, statistics_fields).");
  m.def("merge_statistics", &merge_statistics, "parts"_a, "out"_a,
        "Write the statistics of rows from those of blocks of their classes, (blocks, rows, statistics_fields).");
  m.attr("statistics_fields") = RowStatistics::fields;
  m.def("cross_entropy", &cross_entropy, "spec"_a, "dtype"_a, "logits"_a, "axis"_a, nb::kw_only(),
        "labels"_a.none() = nb::none(), "probabilities"_a.none() = nb::none(), "probabilities_dtype"_a = DType::float64,
        "class_weight"_a.none() = nb::none(), "summed_weight"_a.none() = nb::none(), "row_scale"_a.none() = nb::none(),
        "loss"_a.none() = nb::none(), "gradient"_a.none() = nb::none(), "statistics"_a.none() = nb::none(),
        "first_class"_a = 0, "classes"_a = 0,
        "The loss, or the rows' losses into loss; the gradient, times row_scale, into gradient. A mean is divided by "
        "summed_weight, a number in two parts. Without it labels are checked, IndexError where one is no class, and "
        "their weight is summed.");
  m.def("check_labels", &check_labels, "spec"_a, "labels"_a, "classes"_a, "class_weight"_a.none(),
        nb::sig("def check_labels(spec: softgrad._loss_spec.LossSpec, labels: object, classes: int, "
                "class_weight: object | None) -> tuple[int, float, float]"),
        "The first row whose label is out of range, or -1; the summed weight of the labels that count, in two parts.");
  m.def("check_probabilities", &check_probabilities, "probabilities"_a, "dtype"_a, "axis"_a,
        "The first row that holds a negative or infinite probability, or -1.");
  m.def("sum_probabilities", &sum_probabilities_of, "probabilities"_a, "dtype"_a, "axis"_a, "class_weight"_a.none(),
        "out"_a, "Write the sum of every row's class probabilities, times the class weights, into float64 out.");
  m.def("apply_operator", &apply_operator, "kind"_a, "dtype"_a, "probs"_a, "axis"_a, "v"_a, "out"_a, "columns"_a,
        "pivot"_a, "jacobian"_a.none(), "outer"_a.none(), "rest"_a.none(),
        "Write (a (Diag(p) - p p^T) + b p p^T) v (curvature; a is jacobian or 1, b outer or 0), v - 1 p^T v "
        "(log_softmax) "
        "or v - p 1^T v (log_softmax_transposed) into out, for every row of probs.");
  m.def("hvp", &hvp, "spec"_a, "dtype"_a, "logits"_a, "axis"_a, "v"_a, "out"_a, nb::kw_only(),
        "labels"_a.none() = nb::none(), "mass"_a.none() = nb::none(), "summed_weight"_a.none() = nb::none(),
        "row_scale"_a.none() = nb::none(), "statistics"_a.none() = nb::none(),
        "Write the Hessian of the cross-entropy, times v and row_scale, into out.");
  m.def("softmax_vjp", &softmax_vjp, "dtype"_a, "probs"_a, "axis"_a, "v"_a, "out"_a,
        "Write the Jacobian of softmax, times v, into out, for every row of softmax's result probs.");
  m.def("secular", &secular, "classes"_a, "probs"_a, "jacobian"_a, "outer"_a, "origin"_a, "offset"_a,
        "Write the eigenvalues of a (Diag(p) - p p^T) + b p p^T of every row of ascending float64 probs, times "
        "secular_unit, "
        "each as a pole and an offset from it.");
  m.attr("secular_unit") = secular_unit;
  m.def("sum_rows", &sum_rows, "x"_a, "axis"_a, "out"_a,
        "Write the sums of float64 x along an axis, as if in twice the precision, into out.");
  m.def("linear_head_gradient", &linear_head_gradient, "spec"_a, "dtype"_a, "x"_a.none(), "data"_a.none(),
        "indices"_a.none(), "starts"_a.none(), "W"_a, "bias"_a, "labels"_a.none(), "probabilities"_a.none(),
        "row_weight"_a, "probs"_a.none(), "sum_W"_a, "sum_bias"_a,
        "Write sum g x^T and sum g over the rows x, with g the gradient of the weighted cross-entropy of logits "
        "W x + bias, whose sum is returned; their softmax into probs.");
  m.def("linear_head_hvp", &linear_head_hvp, "dtype"_a, "x"_a.none(), "data"_a.none(), "indices"_a.none(),
        "starts"_a.none(), "W"_a, "bias"_a, "mass"_a, "probs"_a, "sum_W"_a, "sum_bias"_a,
        "Write sum h x^T and sum h over the rows x, with h the Hessian of the cross-entropy at the rows of probs, of "
        "targets of that mass, times W x + bias.");
  m.def("weighted_grams", &weighted_grams, "dtype"_a, "x"_a.none(), "data"_a.none(), "indices"_a.none(),
        "starts"_a.none(), "index"_a, "weights"_a, "mean"_a, "inverse_scale"_a, "intercept"_a, "grams"_a,
        "Add the Gram matrices of standardised rows of x, weighted for each class, to the upper triangles of grams.");
  m.def("column_moments", &column_moments, "dtype"_a, "x"_a, "weight"_a, "mean"_a, "variance"_a,
        "Write the weighted mean and variance of every column of a dense matrix; return the largest |x|. "
        "A column with NaN or infinity has no finite mean.");
  m.def("prefer_huge_pages", &prefer_huge_pages, "address"_a, "bytes"_a,
        "Ask the system to back memory that has not been touched yet by huge pages.");
  m.def("exp_difference", &exp_difference, "dtype"_a, "z"_a, "m"_a, "out"_a,
        "Write exp(z - m), times 2^64 (float32) or 2^512 (float64), into out.");
  m.def("log1p", &log1p_of, "s"_a, "out"_a, "Write log(1 + s) of float64 s >= 0 into out.");
  m.def("num_threads", &num_threads, "The largest number of threads that a call may use.");
  m.def("set_num_threads", &set_num_threads, "n"_a, "Set the largest number of threads that a call may use.");
  m.def("instruction_sets", &instruction_sets, "The instruction sets that this machine can run, best first.");
  m.def("instruction_set", [] { return std::string(kernels_in_use().name); }, "The instruction set in use.");
  m.def("use_instruction_set", &use_kernels, "name"_a, "Switch to another instruction set; for tests and measuring.");
  m.def(
      "has_openmp",
      [] {
#ifdef _OPENMP
        return true;
#else
        return false;
#endif
      },
      "Whether calls can use several threads.");
}
