// Solutions of L Lᵀ x = b for several right-hand sides, in place. Row j of a factor holds column j of L, from the
// diagonal on.
#pragma once

#include "layout/groups.h"
#include "ops/arguments.h"
#include "simd/lanes.h"

namespace softgrad::SOFTGRAD_ISA {

template <class V>
class CholeskySolve {
  using T = typename V::Scalar;
  static constexpr int most_sides = 4;  // right-hand sides for which a factor is read once

 public:
  explicit CholeskySolve(const CholeskySolveArguments& args) : args_(args) {}

  // Side r of factor f is row r * factors + f of the vectors.
  void run() {
    int64_t sides = args_.vectors / (args_.factors > 0 ? args_.factors : 1);
    int64_t blocks = (sides + most_sides - 1) / most_sides;
    for_shared(args_.factors * blocks, args_.threads, [&](int64_t task, int) {
      int64_t factor = task / blocks, first = task % blocks * most_sides;
      int64_t count = left_of(sides, first, most_sides);
      if (count == 1) solve<1>(factor, first);
      if (count == 2) solve<2>(factor, first);
      if (count == 3) solve<3>(factor, first);
      if (count == 4) solve<4>(factor, first);
    });
  }

 private:
  template <int sides>
  void solve(int64_t factor, int64_t first) const {
    int64_t n = args_.columns;
    const T* L = static_cast<const T*>(args_.L) + factor * n * n;
    T* x[sides];
    for (int r = 0; r < sides; ++r) x[r] = static_cast<T*>(args_.x) + ((first + r) * args_.factors + factor) * n;
    for (int64_t j = 0; j < n; ++j) substitute_forward<sides>(L + j * n, j, x);
    for (int64_t j = n - 1; j >= 0; --j) substitute_back<sides>(L + j * n, j, x);
  }

  template <int sides>
  void substitute_forward(const T* column, int64_t j, T* const* x) const {
    V head[sides];
    for (int r = 0; r < sides; ++r) head[r] = V(-(x[r][j] /= column[j]));
    for_vectors<V>(args_.columns - j - 1, [&](int64_t i, auto lanes) {
      i += j + 1;
      V of_column = lanes.load(column + i, 0);
      for (int r = 0; r < sides; ++r) lanes.store(multiply_add(head[r], of_column, lanes.load(x[r] + i, 0)), x[r] + i);
    });
  }

  template <int sides>
  void substitute_back(const T* column, int64_t j, T* const* x) const {
    V sum[sides];
    for (int r = 0; r < sides; ++r) sum[r] = V(T(0));
    for_vectors<V>(args_.columns - j - 1, [&](int64_t i, auto lanes) {
      i += j + 1;
      V of_column = lanes.load(column + i, 0);
      for (int r = 0; r < sides; ++r) sum[r] = multiply_add(of_column, lanes.load(x[r] + i, 0), sum[r]);
    });
    for (int r = 0; r < sides; ++r) x[r][j] = (x[r][j] - sum_of_lanes(sum[r])) / column[j];
  }

  const CholeskySolveArguments& args_;
};

}  // namespace softgrad::SOFTGRAD_ISA
