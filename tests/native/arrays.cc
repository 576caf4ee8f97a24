#include "arrays.h"

namespace softgrad::native_tests {

const char* name_of(Layout layout) {
  static constexpr const char* names[] = {"contiguous", "offset", "padded", "strided", "columns", "reversed", "split"};
  return names[static_cast<int>(layout)];
}

namespace {

// The innermost of the two axes that `split` makes of the rows.
int64_t inner_rows(int64_t rows) {
  int64_t inner = 1;
  for (int64_t n = 2; n <= 12; ++n)
    if (rows % n == 0) inner = n;
  return inner;
}

}  // namespace

Array::Array(DType dtype, Layout layout, int64_t rows, int64_t classes) : Array(dtype) {
  rows_.count = rows;
  rows_.classes = classes;
  arrange(layout, rows, classes);
}

void Array::arrange(Layout layout, int64_t rows, int64_t classes) {
  int64_t all = rows * classes, pitch = classes + 3, inner = inner_rows(rows);
  switch (layout) {
    case Layout::contiguous:
      add_axis(rows, classes);
      return allocate(all, 0, 1);
    case Layout::offset:
      add_axis(rows, classes);
      return allocate(all + 1, 1, 1);
    case Layout::padded:
      add_axis(rows, pitch);
      return allocate(rows ? (rows - 1) * pitch + classes : 0, 0, 1);
    case Layout::strided:
      add_axis(rows, 2 * classes);
      return allocate(all ? 2 * all - 1 : 0, 0, 2);
    case Layout::columns:
      add_axis(rows, 1);
      return allocate(all, 0, rows);
    case Layout::reversed:
      add_axis(rows, -classes);
      return allocate(all, all - 1, -1);
    case Layout::split:
      add_axis(rows / inner, inner * classes);
      add_axis(inner, 1);
      return allocate(all, 0, inner);
  }
}

Array::Array(DType dtype, Layout layout, const Matrix<double>& values)
    : Array(dtype, layout, values.rows, values.columns) {
  set(values);
}

Array Array::blocks(DType dtype, int64_t rows, int64_t classes, int64_t vectors) {
  Array array(dtype);
  array.rows_.count = rows * vectors;
  array.rows_.classes = classes;
  array.add_axis(rows, classes * vectors);
  array.add_axis(vectors, 1);
  array.allocate(rows * classes * vectors, 0, vectors);
  return array;
}

// As bindings.cc does: an axis of one element says nothing.
void Array::add_axis(int64_t extent, int64_t stride) {
  if (extent == 1) return;
  rows_.outer_shape[rows_.outer_axes] = extent;
  rows_.outer_stride[rows_.outer_axes] = stride * format_of(dtype_).bytes;
  ++rows_.outer_axes;
}

void Array::allocate(int64_t elements, int64_t first, int64_t class_stride) {
  int64_t size = format_of(dtype_).bytes;
  bytes_ = elements * size;
  memory_.reset(new char[bytes_]);
  std::memset(memory_.get(), 0xff, bytes_);
  rows_.data = memory_.get() + (elements ? first : 0) * size;
  rows_.class_stride = (rows_.classes == 1 ? 1 : class_stride) * size;
}

void Array::set(const Matrix<double>& values) {
  for (int64_t i = 0; i < values.rows; ++i)
    for (int64_t c = 0; c < values.columns; ++c) set(i, c, values(i, c));
}

Matrix<double> Array::values() const {
  Matrix<double> result(count(), classes());
  for (int64_t i = 0; i < count(); ++i)
    for (int64_t c = 0; c < classes(); ++c) result(i, c) = get(i, c);
  return result;
}

bool Array::same_bits(const Array& other) const {
  int64_t size = format_of(dtype_).bytes;
  for (int64_t i = 0; i < count(); ++i)
    for (int64_t c = 0; c < classes(); ++c)
      if (std::memcmp(at(i, c), other.at(i, c), size) != 0) return false;
  return true;
}

bool Array::gaps_untouched() const {
  int64_t size = format_of(dtype_).bytes;
  if (bytes_ == count() * classes() * size) return true;
  std::vector<char> rest(memory_.get(), memory_.get() + bytes_);
  for (int64_t i = 0; i < count(); ++i)
    for (int64_t c = 0; c < classes(); ++c) std::memset(&rest[at(i, c) - memory_.get()], 0xff, size);
  for (char byte : rest)
    if (byte != char(0xff)) return false;
  return true;
}

}  // namespace softgrad::native_tests
