// Arrays of any element type and layout, in memory of exactly their size: under AddressSanitizer a read or a write one
// element beyond them is reported, and without it one into the gaps between their elements is noticed.
#pragma once

#include <memory>
#include <vector>

#include "number_format.h"
#include "layout/rows.h"

namespace softgrad::native_tests {

enum class Layout {
  contiguous,
  offset,    // contiguous, one element away from the alignment of the memory
  padded,    // three elements between the rows
  strided,   // every other element
  columns,   // the classes outermost, neighbouring rows adjacent
  reversed,  // both strides negative
  split,     // the classes in the middle of three axes
};

inline constexpr Layout layouts[] = {Layout::contiguous, Layout::offset,   Layout::padded, Layout::strided,
                                     Layout::columns,    Layout::reversed, Layout::split};
const char* name_of(Layout layout);

// Numbers of a matrix, row by row.
template <class T>
struct Matrix {
  int64_t rows = 0, columns = 0;
  std::vector<T> values;

  Matrix() = default;
  Matrix(int64_t rows, int64_t columns) : rows(rows), columns(columns), values(rows * columns) {}
  T& operator()(int64_t i, int64_t j) { return values[i * columns + j]; }
  const T& operator()(int64_t i, int64_t j) const { return values[i * columns + j]; }
  const T* row(int64_t i) const { return values.data() + i * columns; }
};

class Array {
 public:
  // Holds NaN everywhere.
  Array(DType dtype, Layout layout, int64_t rows, int64_t classes);
  Array(DType dtype, Layout layout, const Matrix<double>& values);

  // Vectors side by side for each row: (rows, classes, vectors), seen as rows * vectors rows.
  static Array blocks(DType dtype, int64_t rows, int64_t classes, int64_t vectors);

  DType dtype() const { return dtype_; }
  int64_t count() const { return rows_.count; }
  int64_t classes() const { return rows_.classes; }
  const Rows& rows() const { return rows_; }
  void* data() const { return rows_.data; }

  double get(int64_t row, int64_t c) const { return read_number(dtype_, at(row, c)); }
  void set(int64_t row, int64_t c, double value) { write_number(value, dtype_, at(row, c)); }
  void set(const Matrix<double>& values);
  Matrix<double> values() const;

  bool same_bits(const Array& other) const;
  bool gaps_untouched() const;

 private:
  explicit Array(DType dtype) : dtype_(dtype) {}

  void arrange(Layout layout, int64_t rows, int64_t classes);
  // Strides in elements; `first` is where element (0, 0) lies.
  void allocate(int64_t elements, int64_t first, int64_t class_stride);
  void add_axis(int64_t extent, int64_t stride);
  char* at(int64_t row, int64_t c) const { return rows_.row(row) + c * rows_.class_stride; }

  DType dtype_;
  Rows rows_;
  int64_t bytes_ = 0;
  std::unique_ptr<char[]> memory_;
};

}  // namespace softgrad::native_tests
