// Strided elements into contiguous memory, and back.
#pragma once

#include "layout/rows.h"
#include "simd/vec.h"

namespace softgrad::SOFTGRAD_ISA {

template <class S>
inline void gather(const char* from, int64_t stride, int64_t n, S* to, int64_t to_step = 1) {
  for (int64_t i = 0; i < n; ++i) __builtin_memcpy(to + i * to_step, from + i * stride, sizeof(S));
}
template <class S>
inline void scatter(const S* from, int64_t n, char* to, int64_t stride, int64_t from_step = 1) {
  for (int64_t i = 0; i < n; ++i) __builtin_memcpy(to + i * stride, from + i * from_step, sizeof(S));
}

// The elements of a row as contiguous memory: where they are, or gathered into buffer.
template <class S>
inline const S* contiguous(const char* row, int64_t stride, int64_t n, S* buffer) {
  if (stride == static_cast<int64_t>(sizeof(S))) return reinterpret_cast<const S*>(row);
  gather(row, stride, n, buffer);
  return buffer;
}

// The n elements of a row from `begin` on.
template <class S>
inline const S* contiguous(const Rows& rows, int64_t row, int64_t begin, int64_t n, S* buffer) {
  return contiguous(rows.row(row) + begin * rows.class_stride, rows.class_stride, n, buffer);
}

// Writes zeros, for a row that the target ignores.
inline void zero_row(const Rows& rows, int64_t index, int64_t element_bytes) {
  char* p = rows.row(index);
  for (int64_t c = 0; c < rows.classes; ++c) __builtin_memset(p + c * rows.class_stride, 0, element_bytes);
}

}  // namespace softgrad::SOFTGRAD_ISA
