#include "module/plain_calls.h"

#include <algorithm>
#include <optional>

#include "module/arrays.h"
#include "module/isa.h"
#include "module/released_gil.h"

using namespace nanobind::literals;

namespace softgrad {
namespace {

// Calls on fewer elements, a few microseconds of work, keep the interpreter's lock. Releasing it costs 0.1 µs, and more
// if another thread runs Python code, which then keeps the lock for up to 5 ms: 0.6 ms a call instead of 3 µs, on
// average.
constexpr int64_t keep_lock_below = 4096;

// An element type of logits.
struct Floating {
  DType kernel;
  nb::object dtype;
  nb::object number;  // an array without axes; indexing it makes a scalar in a fifth of the time of the scalar's type
  void* memory;       // of the number
};

// The objects of NumPy that calls need.
struct NumPy {
  nb::module_ module = nb::module_::import_("numpy");
  nb::object array_type = module.attr("ndarray"), empty = module.attr("empty");
  nb::tuple empty_tuple = nb::make_tuple();
  nb::object dtype_name = nb::steal(PyUnicode_InternFromString("dtype"));
  nb::object shape_name = nb::steal(PyUnicode_InternFromString("shape"));
  nb::object int64 = dtype("int64");
  Floating float32 = floating(DType::float32, "float32"), float64 = floating(DType::float64, "float64");

  nb::object dtype(const char* name) const { return module.attr("dtype")(name); }

  Floating floating(DType kernel, const char* name) const {
    nb::object number = empty(empty_tuple, dtype(name));
    return {kernel, dtype(name), number, Array(number, true).data<void>()};
  }
};

// Made with the module, and never destroyed, because the interpreter ends first.
const NumPy* numpy = nullptr;

// Makes new objects start no garbage collection, as from Python 3.12 on. It would run finalizers, which may be waiting
// for the interpreter's lock when the process ends; Python then ends a daemon thread by unwinding its stack, and
// nanobind's functions crash.
class CollectionOff {
#if PY_VERSION_HEX < 0x030C0000
 public:
  CollectionOff() : was_on_(PyGC_Disable()) {}
  ~CollectionOff() {
    if (was_on_) PyGC_Enable();
  }
  CollectionOff(const CollectionOff&) = delete;
  CollectionOff& operator=(const CollectionOff&) = delete;

 private:
  int was_on_;
#endif
};

// The dtype of an array; empty for any other object, and for an array of a subclass.
nb::object dtype_of(nb::handle object) {
  return object.type().is(numpy->array_type) ? nb::object(object.attr(numpy->dtype_name)) : nb::object();
}

// NumPy has one object for each dtype in native byte order; rare copies of it, made by unpickling, are not recognised.
const Floating* floating_of(nb::handle object) {
  nb::object dtype = dtype_of(object);
  if (dtype.is(numpy->float32.dtype)) return &numpy->float32;
  return dtype.is(numpy->float64.dtype) ? &numpy->float64 : nullptr;
}

// The class axis, counted from the front; -1 if the argument is no int or out of range.
int class_axis(nb::handle axis, int axes) {
  if (!PyLong_CheckExact(axis.ptr())) return -1;
  int overflow;
  long index = PyLong_AsLongAndOverflow(axis.ptr(), &overflow);
  if (overflow || index < -axes || index >= axes) return -1;
  return static_cast<int>(index < 0 ? index + axes : index);
}

// The memory of a NumPy array.
class Memory : public Array {
 public:
  explicit Memory(nb::handle array) : Array(array, false) {}

  int axes() const { return view().ndim; }
  const Py_ssize_t* shape() const { return view().shape; }
  bool is_writable() const { return !view().readonly; }

  // Whether the kernels can use it as it is: aligned, C-contiguous and not empty.
  bool is_plain() const {
    return first() % view().itemsize == 0 && PyBuffer_IsContiguous(&view(), 'C') && view().len > 0;
  }

  bool is_apart_from(const Memory& other) const { return end() <= other.first() || other.end() <= first(); }

 private:
  uintptr_t first() const { return reinterpret_cast<uintptr_t>(view().buf); }
  uintptr_t end() const { return first() + view().len; }
};

// Logits and the axis of their classes; valid if their memory is plain and the axis exists.
class Logits : public Memory {
 public:
  Logits(nb::handle array, nb::handle axis) : Logits(array, axis, floating_of(array)) {}

  bool valid() const { return axis_ >= 0 && is_plain(); }
  const Floating& type() const { return *type_; }
  Rows rows_of(const Array& array) const { return array.rows(axis_); }
  Rows rows() const { return rows_of(*this); }

  // The array for a result of their shape and dtype: `out`, or a new one if it is None; empty if the dtype differs.
  nb::object result(nb::handle out) const {
    if (out.is_none()) {
      [[maybe_unused]] CollectionOff off;
      return numpy->empty(array_.attr(numpy->shape_name), type_->dtype);
    }
    return dtype_of(out).is(type_->dtype) ? nb::borrow(out) : nb::object();
  }

  // Whether the kernels can write such a result to an array: to the logits, or to other plain memory of their shape.
  bool can_write(nb::handle array, const Memory& memory) const {
    return memory.is_writable() &&
           (array.is(array_) || (memory.is_plain() && memory.axes() == axes() &&
                                 std::equal(shape(), shape() + axes(), memory.shape()) && memory.is_apart_from(*this)));
  }

  // An array of their shape without the class axis.
  nb::object row_result() const {
    [[maybe_unused]] CollectionOff off;
    nb::object all = array_.attr(numpy->shape_name);
    return numpy->empty(all[nb::slice(0, axis_)] + all[nb::slice(axis_ + 1, axes())], type_->dtype);
  }

  bool are_labelled_by(const Memory& labels) const {
    return labels.is_plain() && labels.axes() == axes() - 1 && std::equal(shape(), shape() + axis_, labels.shape()) &&
           std::equal(shape() + axis_ + 1, shape() + axes(), labels.shape() + axis_);
  }

 private:
  Logits(nb::handle array, nb::handle axis, const Floating* type)
      : Memory(type ? array : nb::handle(Py_None)),
        array_(array),
        type_(type),
        axis_(type ? class_axis(axis, axes()) : -1) {}

  nb::handle array_;
  const Floating* type_;
  int axis_;
};

template <class Kernel>
void run(int64_t elements, Kernel kernel) {
  std::optional<ReleasedGil> released;
  if (elements >= keep_lock_below) released.emplace();
  kernel();
}

void run_softmax(SoftmaxKind kind, const Logits& z, const Rows& out) {
  SoftmaxArguments args = {kind, z.type().kernel, z.rows(), out, nullptr, threads_for(z.size())};
  run(z.size(), [&] { kernels_in_use().softmax(args); });
}

template <SoftmaxKind kind>
nb::object try_softmax(nb::handle logits, nb::handle axis, nb::handle out) {
  Logits z(logits, axis);
  if (!z.valid()) return nb::none();
  nb::object result = z.result(out);
  if (!result.is_valid()) return nb::none();
  Memory memory(result);
  if (!z.can_write(result, memory)) return nb::none();
  run_softmax(kind, z, z.rows_of(memory));
  return result;
}

nb::object try_logsumexp(nb::handle logits, nb::handle axis) {
  Logits z(logits, axis);
  if (!z.valid()) return nb::none();
  nb::object result = z.row_result();
  run_softmax(SoftmaxKind::logsumexp, z, Memory(result).rows(-1));
  return z.axes() == 1 ? nb::object(result[numpy->empty_tuple]) : result;
}

nb::object scalar(const Floating& type, double value) {
  if (type.kernel == DType::float32)
    *static_cast<float*>(type.memory) = static_cast<float>(value);
  else
    *static_cast<double*>(type.memory) = value;
  return type.number[numpy->empty_tuple];
}

double run_cross_entropy(const CrossEntropyArguments& args) {
  double loss;
  run(args.logits.count * args.logits.classes, [&] { loss = kernels_in_use().cross_entropy(args); });
  return loss;
}

enum class Results { loss, gradient, loss_and_gradient };

// The mean of the losses and its gradient.
template <Results results>
nb::object try_cross_entropy(nb::handle logits, nb::handle target, nb::handle axis, nb::handle out) {
  Logits z(logits, axis);
  if (!z.valid() || !dtype_of(target).is(numpy->int64)) return nb::none();
  Memory labels(target);
  if (!z.are_labelled_by(labels)) return nb::none();

  CrossEntropyArguments args = {};
  args.dtype = z.type().kernel;
  args.logits = z.rows();
  args.targets.labels = labels.data<const int64_t>();
  args.threads = threads_for(z.size());
  LabelSummary summary =
      summarise_labels(args.spec, args.targets.labels, args.logits.count, args.logits.classes, nullptr);
  if (summary.bad_row >= 0) return nb::none();
  args.targets.denominator = summary.weight;
  if constexpr (results == Results::loss) return scalar(z.type(), run_cross_entropy(args));

  nb::object gradient = z.result(out);
  if (!gradient.is_valid()) return nb::none();
  Memory memory(gradient);
  if (!z.can_write(gradient, memory) || !memory.is_apart_from(labels)) return nb::none();
  args.gradient = z.rows_of(memory);
  double loss = run_cross_entropy(args);
  if constexpr (results == Results::gradient) return gradient;
  [[maybe_unused]] CollectionOff off;
  return nb::make_tuple(scalar(z.type(), loss), gradient);
}

nb::object try_loss(nb::handle logits, nb::handle target, nb::handle axis) {
  return try_cross_entropy<Results::loss>(logits, target, axis, nb::handle(Py_None));
}

}  // namespace

void define_plain_calls(nb::module_& m) {
  numpy = new NumPy;
  auto logits = "logits"_a.none(), target = "target"_a.none(), axis = "axis"_a.none(), out = "out"_a.none();
  m.def("try_softmax", &try_softmax<SoftmaxKind::softmax>, logits, axis, out,
        nb::sig("def try_softmax(logits: object, axis: object, out: object) -> softgrad._typing.Array | None"),
        "Return softmax of plain arguments, None for any others.");
  m.def("try_log_softmax", &try_softmax<SoftmaxKind::log_softmax>, logits, axis, out,
        nb::sig("def try_log_softmax(logits: object, axis: object, out: object) -> softgrad._typing.Array | None"),
        "Return log_softmax of plain arguments, None for any others.");
  m.def("try_logsumexp", &try_logsumexp, logits, axis,
        nb::sig("def try_logsumexp(logits: object, axis: object) -> softgrad._typing.Array | None"),
        "Return logsumexp of plain arguments, None for any others.");
  m.def("try_cross_entropy", &try_loss, logits, target, axis,
        nb::sig("def try_cross_entropy(logits: object, target: object, axis: object) -> typing.Any | None"),
        "Return the mean cross-entropy of plain arguments, None for any others.");
  m.def("try_cross_entropy_grad", &try_cross_entropy<Results::gradient>, logits, target, axis, out,
        nb::sig("def try_cross_entropy_grad(logits: object, target: object, axis: object, out: object) -> "
                "softgrad._typing.Array | None"),
        "Return the gradient of the mean cross-entropy of plain arguments, None for any others.");
  m.def("try_cross_entropy_value_and_grad", &try_cross_entropy<Results::loss_and_gradient>, logits, target, axis, out,
        nb::sig("def try_cross_entropy_value_and_grad(logits: object, target: object, axis: object, out: object) -> "
                "tuple[typing.Any, softgrad._typing.Array] | None"),
        "Return the mean cross-entropy of plain arguments and its gradient, None for any others.");
}

}  // namespace softgrad
