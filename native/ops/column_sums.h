// Σ_n s_n (x_nd - r_d) and Σ_n s_n (x_nd - r_d)² for every column d of a matrix, and the largest |x|, in one read: the
// weighted mean and variance, if r is near enough to the mean that little cancels. A column with NaN or infinity has no
// finite sums. The sums of a leaf add row after row, whatever the strides; those of the leaves are added by their tree.
#pragma once

#include "layout/gather.h"
#include "layout/tree_sum.h"
#include "ops/arguments.h"
#include "ops/panel_product.h"

namespace softgrad::SOFTGRAD_ISA {

template <class V>
class ColumnSums {
  using T = typename V::Scalar;

 public:
  explicit ColumnSums(const ColumnSumArguments& args)
      : args_(args),
        x_{args.x.data, args.x.neighbour_stride(), args.x.class_stride},
        columns_(args.x.classes),
        padded_((columns_ + F64::lanes - 1) / F64::lanes * F64::lanes) {}

  double run() const {
    Groups leaves(args_.x.count, args_.leaf_rows);
    Scratch largest_of_leaves(leaves.count * int64_t(sizeof(double)));
    double* largest_of = reinterpret_cast<double*>(largest_of_leaves.data());
    TreeSum tree(leaves, 2 * padded_, args_.threads);
    auto leaf = [&](int64_t k, int64_t first, int64_t end, double* sums, char* tile) {
      std::memset(sums, 0, 2 * padded_ * sizeof(double));
      largest_of[k] = sum_leaf(first, end, sums, reinterpret_cast<T*>(tile));
    };
    write(tree.run(in_place() ? 0 : tile_rows * tile_columns * sizeof(T), leaf));
    double largest = 0;
    for (int64_t k = 0; k < leaves.count; ++k) largest = largest_of[k] > largest ? largest_of[k] : largest;
    return largest;
  }

 private:
  static constexpr int64_t rows_at_once = 8;
  static constexpr int64_t tile_rows = 64, tile_columns = column_sum_tile_bytes / (tile_rows * int64_t(sizeof(T)));

  bool in_place() const { return x_.column_stride == int64_t(sizeof(T)); }

  // Adds the sums of a leaf, and returns its largest |x|.
  double sum_leaf(int64_t first, int64_t end, double* sums, T* tile) const {
    F64 largest(0);
    if (in_place())
      add_rows({x_.at(first, 0), x_.row_stride, x_.column_stride}, first, end - first, 0, columns_, sums, largest);
    else
      for (int64_t d = 0; d < columns_; d += tile_columns)
        for (int64_t n = first; n < end; n += tile_rows)
          add_tile(n, left_of(end, n, tile_rows), d, left_of(columns_, d, tile_columns), sums, tile, largest);
    double of_lanes[F64::lanes], result = 0;
    largest.store(of_lanes);
    for (double of_lane : of_lanes) result = of_lane > result ? of_lane : result;
    return result;
  }

  // Rows whose elements are not neighbours in memory are copied.
  void add_tile(int64_t first, int64_t rows, int64_t column, int64_t columns, double* sums, T* tile,
                F64& largest) const {
    if (x_.row_stride == int64_t(sizeof(T)))
      transpose_columns(first, rows, column, columns, tile);
    else
      for (int64_t i = 0; i < rows; ++i)
        gather(x_.at(first + i, column), x_.column_stride, columns, tile + i * tile_columns);
    Matrix<T> copy{reinterpret_cast<const char*>(tile), tile_columns * int64_t(sizeof(T)), int64_t(sizeof(T))};
    add_rows(copy, first, rows, column, columns, sums, largest);
  }

  // From columns whose elements are neighbours in memory.
  void transpose_columns(int64_t first, int64_t rows, int64_t column, int64_t columns, T* tile) const {
    constexpr int W = V::lanes;
    for (int64_t c = 0; c < columns; c += W)
      for_vectors<V>(rows, [&](int64_t i, auto lanes) {
        V square[W];
#pragma GCC unroll 16
        for (int k = 0; k < W; ++k) {
          int64_t d = column + (c + k < columns ? c + k : columns - 1);  // spare lanes repeat the last column
          square[k] = lanes.load(reinterpret_cast<const T*>(x_.at(first + i, d)), 0);
        }
        transpose(square);
#pragma GCC unroll 16
        for (int k = 0; k < W; ++k) square[k].store(tile + (i + k) * tile_columns + c);
      });
  }

  // A few rows at once, so that their sums stay in registers and those of several columns overlap.
  void add_rows(const Matrix<T>& x, int64_t first, int64_t rows, int64_t column, int64_t columns, double* sums,
                F64& largest) const {
    for (int64_t i = 0; i < rows; i += rows_at_once)
      add_few_rows({x.at(i, 0), x.row_stride, x.column_stride}, first + i, left_of(rows, i, rows_at_once), column,
                   columns, sums, largest);
  }

  // Row 0 of x is row `first` of the matrix; its elements, those from `column` on, are neighbours.
  void add_few_rows(const Matrix<T>& x, int64_t first, int64_t rows, int64_t column, int64_t columns, double* sums,
                    F64& largest) const {
    double *linear_sums = sums + column, *square_sums = linear_sums + padded_;
    for_vectors<F64>(columns, [&](int64_t d, auto lanes) {
      F64 origin = lanes.load(args_.origin + column + d, 0);
      F64 linear = lanes.load(linear_sums + d, 0), square = lanes.load(square_sums + d, 0);
      for (int64_t i = 0; i < rows; ++i) {
        F64 value = lanes.load(reinterpret_cast<const T*>(x.at(i, d)), 0);
        F64 offset = value - origin, weighted = F64(args_.weight[first + i]) * offset;
        linear = linear + weighted;
        square = multiply_add(weighted, offset, square);
        largest = maximum(largest, maximum(value, F64(0) - value));
      }
      lanes.store(linear, linear_sums + d);
      lanes.store(square, square_sums + d);
    });
  }

  // sums: nullptr if there are no rows.
  void write(const double* sums) const {
    for (int64_t d = 0; d < columns_; ++d) {
      args_.sums[d] = sums ? sums[d] : 0;
      args_.sums[columns_ + d] = sums ? sums[padded_ + d] : 0;
    }
  }

  const ColumnSumArguments& args_;
  Matrix<T> x_;
  int64_t columns_, padded_;
};

}  // namespace softgrad::SOFTGRAD_ISA
