// A call from XLA: its arrays and attributes, checked as they are read, and its errors.
#pragma once

#include <cfenv>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include "module/huge_pages.h"
#include "module/xla_ffi.h"
#include "simd/dtype.h"

namespace softgrad::xla {

// An error of the caller, with the code INVALID_ARGUMENT.
struct InvalidArgument : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

inline std::string text_of_shape(const int64_t* dims, int64_t rank) {
  std::string text = "(";
  for (int64_t i = 0; i < rank; ++i) text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + (rank == 1 ? ",)" : ")");
}

template <class T>
extern const DataType data_type;
template <>
inline constexpr DataType data_type<bool> = DataType::pred;
template <>
inline constexpr DataType data_type<int32_t> = DataType::s32;
template <>
inline constexpr DataType data_type<int64_t> = DataType::s64;
template <>
inline constexpr DataType data_type<float> = DataType::f32;
template <>
inline constexpr DataType data_type<double> = DataType::f64;

inline int64_t bytes_of(DType dtype) { return dtype == DType::float64 ? 8 : dtype == DType::float32 ? 4 : 2; }

// A dense array in row-major order.
class Array {
 public:
  Array(const Buffer& buffer, const char* name) : buffer_(buffer), name_(name) {}

  template <class T>
  T* data() const {
    return static_cast<T*>(buffer_.data);
  }
  DataType dtype() const { return buffer_.dtype; }
  bool is_floating() const {
    return dtype() == DataType::f16 || dtype() == DataType::bf16 || dtype() == DataType::f32 ||
           dtype() == DataType::f64;
  }
  int64_t rank() const { return buffer_.rank; }
  int64_t dim(int64_t axis) const { return buffer_.dims[axis]; }
  std::string shape() const { return text_of_shape(buffer_.dims, rank()); }

  int64_t size() const { return size_of_axes(rank()); }
  // Elements along the first axes.
  int64_t size_of_axes(int64_t axes) const {
    int64_t n = 1;
    for (int64_t i = 0; i < axes; ++i) n *= dim(i);
    return n;
  }

  // The element type of the kernels.
  DType kernel_dtype() const {
    switch (dtype()) {
      case DataType::f16:
        return DType::float16;
      case DataType::bf16:
        return DType::bfloat16;
      case DataType::f32:
        return DType::float32;
      case DataType::f64:
        return DType::float64;
      default:
        reject("an array of float16, bfloat16, float32 or float64");
    }
  }

  void expect_dtype(DataType expected, const char* text) const {
    if (dtype() != expected) reject(text);
  }

  // The shape of the first axes of another array.
  void expect_shape(const Array& other, int64_t axes) const {
    bool same = rank() == axes;
    for (int64_t i = 0; same && i < axes; ++i) same = dim(i) == other.dim(i);
    if (!same) reject("shape " + text_of_shape(other.buffer_.dims, axes));
  }

  [[noreturn]] void reject(const std::string& expected) const {
    throw InvalidArgument(std::string(name_) + " has XLA type " + std::to_string(static_cast<int>(dtype())) +
                          " and shape " + shape() + "; expected " + expected);
  }

 private:
  const Buffer& buffer_;
  const char* name_;
};

// Bytes from which huge pages are requested for a result, as NumPy and softgrad.torch do.
inline constexpr int64_t huge_result_bytes = 4 << 20;

class Call {
 public:
  Call(const CallFrame& frame, int64_t arguments, int64_t results) : frame_(frame) {
    if (frame.arguments.size != arguments || frame.results.size != results)
      throw InvalidArgument("the call has " + std::to_string(frame.arguments.size) + " arguments and " +
                            std::to_string(frame.results.size) + " results; expected " + std::to_string(arguments) +
                            " and " + std::to_string(results));
  }

  Array argument(int64_t i, const char* name) const { return array(frame_.arguments, i, name); }

  // An array that the handler must overwrite: the request for huge pages may zero it.
  Array result(int64_t i, const char* name) const {
    Array result = array(frame_.results, i, name);
    int64_t bytes = result.size() * bytes_of(result.kernel_dtype());
    if (bytes >= huge_result_bytes && !is_argument(result.data<char>()))
      prefer_huge_pages(reinterpret_cast<uintptr_t>(result.data<char>()), static_cast<uintptr_t>(bytes));
    return result;
  }

  template <class T>
  T attribute(std::string_view name) const {
    const Attributes& all = frame_.attributes;
    for (int64_t i = 0; i < all.size; ++i) {
      if (std::string_view(all.names[i]->data, all.names[i]->size) != name) continue;
      const Scalar& scalar = *static_cast<const Scalar*>(all.values[i]);
      if (all.types[i] != AttributeType::scalar || scalar.dtype != data_type<T>) break;
      T value;
      std::memcpy(&value, scalar.value, sizeof value);
      return value;
    }
    throw InvalidArgument("the call has no attribute " + std::string(name) + ", a scalar of XLA type " +
                          std::to_string(static_cast<int>(data_type<T>)));
  }

 private:
  static Array array(const Buffers& buffers, int64_t i, const char* name) {
    return {*static_cast<const Buffer*>(buffers.buffers[i]), name};
  }

  // The caller may let a result overwrite an argument.
  bool is_argument(const char* data) const {
    for (int64_t i = 0; i < frame_.arguments.size; ++i)
      if (array(frame_.arguments, i, "an argument").data<char>() == data) return true;
    return false;
  }

  const CallFrame& frame_;
};

inline Error* create_error(const CallFrame& frame, ErrorCode code, const char* message) {
  CreateErrorArguments args = {offsetof(CreateErrorArguments, code) + sizeof code, nullptr, message, code};
  return frame.api->create_error(&args);
}

// Answers a query of the handler's version; returns whether the call is one.
inline bool answer_metadata_query(const CallFrame& frame) {
  for (const Extension* e = frame.extensions; e; e = e->next) {
    if (e->type != ExtensionType::metadata) continue;
    Metadata& metadata = *reinterpret_cast<const MetadataExtension*>(e)->metadata;
    metadata.api_version.major_version = api_major;
    metadata.api_version.minor_version = api_minor;
    metadata.traits = 0;
    return true;
  }
  return false;
}

// The default floating-point environment while it lives: that of XLA's threads flushes subnormal numbers to 0.
class DefaultFloatingPoint {
 public:
  DefaultFloatingPoint() {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultFloatingPoint() { std::fesetenv(&before_); }
  DefaultFloatingPoint(const DefaultFloatingPoint&) = delete;
  DefaultFloatingPoint& operator=(const DefaultFloatingPoint&) = delete;

 private:
  std::fenv_t before_;
};

// The handler that runs a function of a call.
template <int64_t arguments, int64_t results, void (*run)(const Call&)>
Error* handle(CallFrame* frame) {
  if (answer_metadata_query(*frame)) return nullptr;
  DefaultFloatingPoint default_floating_point;
  try {
    run(Call(*frame, arguments, results));
    return nullptr;
  } catch (const InvalidArgument& error) {
    return create_error(*frame, ErrorCode::invalid_argument, error.what());
  } catch (const std::exception& error) {
    return create_error(*frame, ErrorCode::internal, error.what());
  }
}

}  // namespace softgrad::xla
