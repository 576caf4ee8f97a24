// Products of a matrix with a panel of few columns, which are in the lanes:
//
//   sum(i, c) = Σ_k a(i, k) b(k, c)
//
// a is any strided matrix; each element is broadcast once. b has `vectors` vectors in row k, and rows are `step`
// elements apart. Exchanging the strides of a gives aᵀ b.
#pragma once

#include "math/sums.h"
#include "simd/vec.h"

namespace softgrad::SOFTGRAD_ISA {

template <class T>
struct Matrix {
  const char* data;
  int64_t row_stride, column_stride;  // bytes
  int64_t ahead = 0;                  // bytes from each element to one to prefetch

  const char* at(int64_t i, int64_t k) const { return data + i * row_stride + k * column_stride; }
};

// Rows of a whose sums fit in the registers, together with one row of b and a broadcast element.
template <class V, int vectors>
inline constexpr int panel_rows = (V::lanes * sizeof(typename V::Scalar) == 64) ? (vectors == 1   ? 8
                                                                                   : vectors == 2 ? 8
                                                                                   : vectors == 3 ? 8
                                                                                                  : 6)
                                                                                : (vectors == 1   ? 8
                                                                                   : vectors == 2 ? 6
                                                                                   : vectors == 3 ? 3
                                                                                                  : 2);

template <class V, int vectors, int rows>
[[gnu::always_inline]] inline void panel_block(const Matrix<typename V::Scalar>& a, int64_t first, int64_t depth,
                                               const typename V::Scalar* b, int64_t step, V (&result)[rows][vectors]) {
  using T = typename V::Scalar;
  // A local copy: GCC would store `result` to memory after every addition.
  V sum[rows][vectors];
#pragma GCC unroll 64
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[i][v] = V(T(0));
  const char* element = a.at(first, 0);
  for (int64_t k = 0; k < depth; ++k, element += a.column_stride, b += step) {
    V of_b[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) of_b[v] = V::load(b + v * V::lanes);
    __builtin_prefetch(element + a.ahead, 0, 2);
#pragma GCC unroll 64
    for (int i = 0; i < rows; ++i) {
      V x(*reinterpret_cast<const T*>(element + i * a.row_stride));
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[i][v] = multiply_add(x, of_b[v], sum[i][v]);
    }
  }
#pragma GCC unroll 64
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) result[i][v] = sum[i][v];
}

// Calls emit(i, sums of row i) for rows 0 to count - 1 of a.
template <class V, int vectors, int rows = panel_rows<V, vectors>, class Emit>
inline void panel_product(const Matrix<typename V::Scalar>& a, int64_t first, int64_t count, int64_t depth,
                          const typename V::Scalar* b, int64_t step, Emit emit) {
  for (; first + rows <= count; first += rows) {
    V sum[rows][vectors];
    panel_block<V, vectors, rows>(a, first, depth, b, step, sum);
    for (int i = 0; i < rows; ++i) emit(first + i, sum[i]);
  }
  if constexpr (rows > 1)
    if (first < count) panel_product<V, vectors, rows / 2>(a, first, count, depth, b, step, emit);
}

inline void add_to(double* total, F64 x) { (F64::load(total) + x).store(total); }
inline void add_to(double* total, F32 x) {
  add_to(total, lower(x));
  add_to(total + F64::lanes, upper(x));
}

inline float sum_of_lanes(F32 x) { return static_cast<float>(sum_of_lanes(lower(x) + upper(x))); }

}  // namespace softgrad::SOFTGRAD_ISA
