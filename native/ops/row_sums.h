// Sums of float64 rows in double-double, rounded once.
#pragma once

#include "layout/gather.h"
#include "layout/groups.h"
#include "math/sums.h"
#include "ops/arguments.h"

namespace softgrad::SOFTGRAD_ISA {

// Elements of the row in the lanes.
inline double row_sum(const double* x, int64_t n) {
  Sum<F64> sum;
  for_vectors<F64>(n, [&](int64_t i, auto lanes) { sum.add(lanes.load(x + i, 0), F64(0)); });
  ScalarDD exact = total(sum);
  return exact.hi + exact.lo;
}

// One row in each lane, which are adjacent in memory.
inline void adjacent_row_sums(const char* x, int64_t stride, int64_t n, int count, double* out) {
  Sum<F64> sum;
  for (int64_t i = 0; i < n; ++i)
    sum.add(F64::load_first(reinterpret_cast<const double*>(x + i * stride), count, 0), F64(0));
  (sum.value + sum.error).store_first(out, count);
}

inline void sum_rows(const SumArguments& args) {
  const Rows& rows = args.rows;
  bool adjacent = rows.neighbour_stride() == int64_t(sizeof(double)) && rows.class_stride != int64_t(sizeof(double));
  int64_t run = adjacent ? rows.outer_shape[rows.outer_axes - 1] : 1;
  int64_t step = adjacent ? F64::lanes : 1, steps_in_run = (run + step - 1) / step;
  int64_t steps = rows.count / run * steps_in_run;
  int64_t bytes = rows.class_stride == int64_t(sizeof(double)) ? 0 : rows.classes * int64_t(sizeof(double));
  Scratch packed(bytes * args.threads);
  for_shared(steps, args.threads, [&](int64_t i, int thread) {
    int64_t within = i % steps_in_run * step, first = i / steps_in_run * run + within;
    const char* row = rows.row(first);
    if (adjacent)
      return adjacent_row_sums(row, rows.class_stride, rows.classes, lanes_left<F64>(run, within), args.out + first);
    double* buffer = reinterpret_cast<double*>(packed.data() + thread * bytes);
    args.out[first] = row_sum(contiguous(row, rows.class_stride, rows.classes, buffer), rows.classes);
  });
}

}  // namespace softgrad::SOFTGRAD_ISA
