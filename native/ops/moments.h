// Weighted mean and variance of the columns of a matrix, and the largest |x|, in one read: from Σ_n s_n (x_nd - r_d)
// and Σ_n s_n (x_nd - r_d)², r the row of largest weight, which is near enough to the mean that little cancels. A
// column with NaN or infinity has no finite mean. Sums are double, over groups that depend on the shape alone.
#pragma once

#include "layout/gather.h"
#include "layout/groups.h"
#include "ops/arguments.h"
#include "ops/panel_product.h"

namespace softgrad::SOFTGRAD_ISA {

template <class T>
class ColumnMoments {
 public:
  explicit ColumnMoments(const MomentArguments& args)
      : args_(args),
        x_{args.x.data, args.x.neighbour_stride(), args.x.class_stride},
        columns_(args.x.classes),
        padded_((columns_ + F64::lanes - 1) / F64::lanes * F64::lanes),
        groups_(args.x.count, rows_in_group()) {}

  double run() {
    Scratch sums(groups_.count * group_size() * sizeof(double)), reference(padded_ * sizeof(double));
    double* totals = reinterpret_cast<double*>(sums.data());
    origin_ = reinterpret_cast<double*>(reference.data());
    int64_t row = 0;
    for (int64_t n = 1; n < args_.x.count; ++n)
      if (args_.weight[n] > args_.weight[row]) row = n;
    for (int64_t d = 0; d < columns_; ++d) origin_[d] = *element(row, d);
    bool adjacent_rows = x_.row_stride == int64_t(sizeof(T)) && x_.column_stride != int64_t(sizeof(T));
    int64_t scratch = (adjacent_rows ? 64 : columns_) * sizeof(T);
    for_groups(groups_, scratch, args_.threads, [&](int64_t group, int64_t first, int64_t end, char* packed) {
      double* mine = totals + group * group_size();
      std::memset(mine, 0, group_size() * sizeof(double));
      if (adjacent_rows)
        sum_columns(first, end, mine);
      else
        sum_rows(first, end, mine, reinterpret_cast<T*>(packed));
    });
    return merge(totals);
  }

 private:
  // Sums of x - r and of its square, and the largest |x|, with columns or rows in the lanes.
  struct Sums {
    F64 linear, square, largest;

    Sums(const double* from, int64_t step)
        : linear(F64::load(from)), square(F64::load(from + step)), largest(F64::load(from + 2 * step)) {}

    void add(F64 weight, F64 x, F64 origin) {
      F64 offset = x - origin, weighted = weight * offset;
      linear = linear + weighted;
      square = multiply_add(weighted, offset, square);
      largest = maximum(largest, maximum(x, F64(0) - x));
    }

    void store(double* to, int64_t step) const {
      linear.store(to);
      square.store(to + step);
      largest.store(to + 2 * step);
    }
  };

  const T* element(int64_t n, int64_t d) const { return reinterpret_cast<const T*>(x_.at(n, d)); }

  int64_t group_size() const { return 3 * padded_; }

  int64_t rows_in_group() const {
    int64_t rows = moment_elements / (columns_ > 0 ? columns_ : 1);
    int64_t at_least = (args_.x.count + most_moment_groups - 1) / most_moment_groups;
    rows = rows > at_least ? rows : at_least;
    return rows < least_moment_rows ? least_moment_rows : rows;
  }

  void sum_rows(int64_t first, int64_t end, double* mine, T* packed) const {
    bool in_place = x_.column_stride == int64_t(sizeof(T));
    int64_t at_once = in_place ? 8 : 1;
    for (int64_t n = first; n < end; n += at_once) {
      int64_t count = left_of(end, n, at_once);
      const T* row = contiguous(x_.at(n, 0), x_.column_stride, columns_, packed);
      for_vectors<F64>(columns_, [&](int64_t d, auto lanes) {
        F64 origin = lanes.load(origin_ + d, 0);
        Sums sums(mine + d, padded_);
        for (int64_t i = 0; i < count; ++i) {
          auto x = reinterpret_cast<const T*>(reinterpret_cast<const char*>(row + d) + i * x_.row_stride);
          sums.add(F64(args_.weight[n + i]), lanes.load(x, 0), origin);
        }
        sums.store(mine + d, padded_);
      });
    }
  }

  void sum_columns(int64_t first, int64_t end, double* mine) const {
    for (int64_t d = 0; d < columns_; ++d) {
      double partial[3 * F64::lanes] = {};
      Sums sums(partial, F64::lanes);
      const T* column = element(first, d);
      for_vectors<F64>(end - first, [&](int64_t n, auto lanes) {
        F64 x = lanes.load(column + n, static_cast<T>(origin_[d]));
        sums.add(lanes.load(args_.weight + first + n, 0), x, F64(origin_[d]));
      });
      sums.store(partial, F64::lanes);
      for (int lane = 0; lane < F64::lanes; ++lane) {
        mine[d] += partial[lane];
        mine[padded_ + d] += partial[F64::lanes + lane];
        double largest = partial[2 * F64::lanes + lane];
        if (largest > mine[2 * padded_ + d]) mine[2 * padded_ + d] = largest;
      }
    }
  }

  double merge(const double* totals) const {
    double weight = 0, largest = 0;
    for (int64_t n = 0; n < args_.x.count; ++n) weight += args_.weight[n];
    for (int64_t d = 0; d < columns_; ++d) {
      double sum = 0, square = 0;
      for (int64_t g = 0; g < groups_.count; ++g) {
        const double* mine = totals + g * group_size() + d;
        sum += mine[0];
        square += mine[padded_];
        if (mine[2 * padded_] > largest) largest = mine[2 * padded_];
      }
      double shift = sum / weight, variance = square / weight - shift * shift;
      args_.mean[d] = origin_[d] + shift;
      args_.variance[d] = variance < 0 ? 0 : variance;
    }
    return largest;
  }

  const MomentArguments& args_;
  Matrix<T> x_;
  int64_t columns_, padded_;
  Groups groups_;
  double* origin_ = nullptr;
};

}  // namespace softgrad::SOFTGRAD_ISA
