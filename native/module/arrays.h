// Python's arrays as arguments of the kernels: single arrays, targets, design matrices and linear heads. An array is
// any object with the buffer protocol, or a torch.Tensor, which lacks it, on the CPU and with memory of its own. Python
// has checked types, shapes and values.
#pragma once

#include <nanobind/nanobind.h>

#include <optional>
#include <utility>

#include "layout/tuning.h"
#include "module/threads.h"
#include "ops/arguments.h"

namespace softgrad {

namespace nb = nanobind;

// A view of the memory of an array; empty for None.
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
  const Py_buffer& view() const { return view_; }

  // Rows along `axis`; for axis -1 every element is a row.
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
  // Merges the axis with the last one if both have a common stride.
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
    // Static, because creating the names takes as long as the calls.
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

// A C-contiguous array, as `data` requires; raises BufferError for any other.
class Flat : public Array {
 public:
  Flat(nb::handle object, bool writable) : Array(object, PyBUF_C_CONTIGUOUS, writable) {}
};

using SummedWeight = std::optional<std::pair<double, double>>;

// Sets the denominator of the loss: 1, or for a mean the summed weight of the targets. If that is not known, sums it
// and raises IndexError for a label out of range.
inline void set_denominator(const LossSpec& spec, const Rows& logits, SummedWeight known, Targets& targets) {
  if (!known && targets.labels) {
    int64_t classes = targets.classes ? targets.classes : logits.classes;
    LabelSummary s = summarise_labels(spec, targets.labels, logits.count, classes, targets.class_weight);
    if (s.bad_row >= 0) throw nb::index_error("a label is no class");
    known = {s.weight, s.rest};
  }
  if (spec.reduction != Reduction::mean) return;
  targets.denominator = known ? known->first : static_cast<double>(logits.count);
  targets.denominator_rest = known ? known->second : 0;
}

// The arrays of targets.
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

// The arrays of a design matrix: a dense one, or three of CSR.
class DesignArrays {
 public:
  DesignArrays(nb::handle x, nb::handle data, nb::handle indices, nb::handle starts)
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

// The arrays of a linear head and of its sums.
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

  LinearHead head(DType dtype, int64_t leaf_rows) const {
    LinearHead h = {};
    h.dtype = dtype;
    h.classes = bias_.size();
    h.x = design_.matrix(W_.size() / h.classes);
    h.leaf_rows = leaf_rows;
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
  DesignArrays design_;
  Flat W_, bias_, weight_, sum_W_, sum_bias_;
};

}  // namespace softgrad
