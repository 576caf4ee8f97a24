// The rows x_n of a linear head, dense or sparse (CSR), and their products with panels.
#pragma once

#include "layout/tuning.h"
#include "ops/arguments.h"
#include "ops/panel_product.h"
#include "simd/convert.h"
#include "simd/lanes.h"

namespace softgrad::SOFTGRAD_ISA {

// Rows of a matrix in row-major order, `step` elements apart.
template <class T>
inline Rows matrix_rows(const T* data, int64_t count, int64_t classes, int64_t step) {
  Rows rows;
  rows.data = reinterpret_cast<char*>(const_cast<T*>(data));
  rows.count = count;
  rows.classes = classes;
  rows.class_stride = sizeof(T);
  rows.outer_axes = 1;
  rows.outer_shape[0] = count;
  rows.outer_stride[0] = step * sizeof(T);
  return rows;
}

template <class T>
struct DenseMatrix {
  Matrix<T> x;
  int64_t features;

  explicit DenseMatrix(const DesignMatrix& m)
      : x{m.dense.data, m.dense.neighbour_stride(), m.dense.class_stride}, features(m.features) {}

  // Rows without a gap.
  DenseMatrix(const T* rows, int64_t n)
      : x{reinterpret_cast<const char*>(rows), n * int64_t(sizeof(T)), int64_t(sizeof(T))}, features(n) {}

  static int64_t bytes(const DesignMatrix& m) { return m.rows * m.features * int64_t(sizeof(T)); }

  // The first n entries of a row.
  void copy_row(int64_t row, int64_t n, T* to) const {
    if (x.column_stride == int64_t(sizeof(T)))
      std::memcpy(to, x.at(row, 0), n * sizeof(T));
    else
      for (int64_t d = 0; d < n; ++d) to[d] = *reinterpret_cast<const T*>(x.at(row, d));
  }

  // logits(i, c) += Σ_d x(first + i, d) panel(d, c)
  template <class V, int vectors>
  void add_logits(int64_t first, int count, const T* panel, T* logits, int64_t step) const {
    constexpr int64_t depth = product_depth;
    for (int64_t d = 0; d < features; d += depth) {
      Matrix<T> part{x.at(first, d), x.row_stride, x.column_stride};
      int64_t n = left_of(features, d, depth);
      constexpr int width = vectors * V::lanes;
      panel_product<V, vectors>(part, 0, count, n, panel + d * width, width, [&](int64_t i, const V* sum) {
        T* to = logits + i * step;
        for (int v = 0; v < vectors; ++v) (V::load(to + v * V::lanes) + sum[v]).store(to + v * V::lanes);
      });
    }
  }

  // As add_logits, for the rows in an index, of which `gathered` is a copy.
  template <class V, int vectors>
  void add_logits_of(const int64_t*, int count, const T* gathered, const T* panel, T* logits, int64_t step) const {
    DenseMatrix(gathered, features).template add_logits<V, vectors>(0, count, panel, logits, step);
  }

  int64_t gathered_elements(int64_t rows) const { return rows * features; }

  void gather(const int64_t* index, int count, T* gathered) const {
    for (int i = 0; i < count; ++i) copy_row(index[i], features, gathered + i * features);
  }

  // total(d, c) += Σ_i x(first + i, d) g(i, c); from_zero: whatever total holds, take 0 for it.
  template <class V, int vectors>
  void add_outer(int64_t first, int count, const T* g, double* total, bool from_zero) const {
    Matrix<T> transposed{x.at(first, 0), x.column_stride, x.row_stride, count * x.row_stride};
    panel_product<V, vectors>(transposed, 0, features, count, g, vectors * V::lanes, [&](int64_t d, const V* sum) {
      double* to = total + d * vectors * V::lanes;
      if (from_zero)
        for (int v = 0; v < vectors; ++v) store_wide(sum[v], to + v * V::lanes);
      else
        for (int v = 0; v < vectors; ++v) add_to(to + v * V::lanes, sum[v]);
    });
  }
};

template <class T, class Index>
struct SparseMatrix {
  const T* data;
  const Index* indices;
  const Index* starts;
  int64_t features;

  explicit SparseMatrix(const DesignMatrix& m)
      : data(static_cast<const T*>(m.data)),
        indices(static_cast<const Index*>(m.indices)),
        starts(static_cast<const Index*>(m.starts)),
        features(m.features) {}

  static int64_t bytes(const DesignMatrix& m) { return m.entries * int64_t(sizeof(T) + sizeof(Index)); }

  void copy_row(int64_t row, int64_t n, T* to) const {
    for (int64_t d = 0; d < n; ++d) to[d] = 0;
    for (int64_t e = starts[row]; e < starts[row + 1]; ++e)
      if (indices[e] < n) to[indices[e]] += data[e];
  }

  template <class V, int vectors>
  void add_logits(int64_t first, int count, const T* panel, T* logits, int64_t step) const {
    for (int i = 0; i < count; ++i) {
      T* to = logits + i * step;
      V sum[vectors];
      for (int v = 0; v < vectors; ++v) sum[v] = V::load(to + v * V::lanes);
      for (int64_t e = starts[first + i]; e < starts[first + i + 1]; ++e) {
        const T* w = panel + int64_t(indices[e]) * vectors * V::lanes;
        for (int v = 0; v < vectors; ++v) sum[v] = multiply_add(V(data[e]), V::load(w + v * V::lanes), sum[v]);
      }
      for (int v = 0; v < vectors; ++v) sum[v].store(to + v * V::lanes);
    }
  }

  // Sparse rows are used where they lie.
  template <class V, int vectors>
  void add_logits_of(const int64_t* index, int count, const T*, const T* panel, T* logits, int64_t step) const {
    for (int i = 0; i < count; ++i) add_logits<V, vectors>(index[i], 1, panel, logits + i * step, step);
  }

  int64_t gathered_elements(int64_t) const { return 0; }
  void gather(const int64_t*, int, T*) const {}

  template <class V, int vectors>
  void add_outer(int64_t first, int count, const T* g, double* total, bool from_zero) const {
    constexpr int width = vectors * V::lanes;
    if (from_zero) std::memset(total, 0, features * width * sizeof(double));
    for (int i = 0; i < count; ++i)
      for (int64_t e = starts[first + i]; e < starts[first + i + 1]; ++e) {
        double* to = total + int64_t(indices[e]) * width;
        F64 x(static_cast<double>(data[e]));
        for (int c = 0; c < width; c += F64::lanes)
          multiply_add(x, F64::load(g + i * width + c), F64::load(to + c)).store(to + c);
      }
  }
};

// Calls body(matrix) with a design matrix of its own type.
template <class T, class Body>
inline auto with_matrix(const DesignMatrix& m, Body body) {
  if (m.data == nullptr) return body(DenseMatrix<T>(m));
  if (m.wide_indices) return body(SparseMatrix<T, int64_t>(m));
  return body(SparseMatrix<T, int32_t>(m));
}

}  // namespace softgrad::SOFTGRAD_ISA
