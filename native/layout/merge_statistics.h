// Statistics of a row from those of blocks of its classes, in which nothing cancels:
//
//   m = max m_b
//   Σ_{z < m} exp(z - m) = Σ_{m_b = m} rest_b + Σ_{m_b < m} (ties_b + rest_b)·exp(m_b - m)
//   Σ y·(m - z) = Σ_b (dot_b + mass_b·(m - m_b))
#pragma once

#include "layout/batch_statistics.h"
#include "layout/row_statistics.h"

namespace softgrad::SOFTGRAD_ISA {

inline double first_lane(F64 v) {
  double lanes[F64::lanes];
  v.store(lanes);
  return lanes[0];
}

inline DD broadcast(double hi, double lo) { return {F64(hi), F64(lo)}; }
inline DD broadcast(ScalarDD x) { return broadcast(x.hi, x.lo); }
inline DD broadcast_first(DD x) { return broadcast(first_lane(x.hi), first_lane(x.lo)); }

// a·exp(-distance), distance >= 0, to about 2^-95: exp(r) = (1 + expm1(r/2^8))^(2^8) after the reduction by log(2).
inline DD multiply_exp(DD a, DD distance) {
  constexpr double inverse_ln2 = 0x1.71547652b82fep0, ln2_hi = 0x1.62e42fefa39efp-1, ln2_lo = 0x1.abc9e3b39803fp-56;
  constexpr double vanishes = 1416;  // the product is below 2^-1023 even for a of 2^1020
  constexpr int halvings = 8, degree = 9;
  double rough = first_lane(distance.hi);
  if (rough >= vanishes) return broadcast(0, 0);
  const F64 magic = FloatFormat<double>::integer_magic;
  F64 n = (magic - distance.hi * F64(inverse_ln2)) - magic;
  DD r = add(negative(distance), negative(multiply(broadcast(ln2_hi, ln2_lo), n)));
  r = ldexp_floor(r, F64(-halvings));
  DD series = broadcast(1, 0);
  for (int k = degree; k > 1; --k) series = add(divide(multiply(series, r), broadcast(k, 0)), F64(1));
  DD e = multiply(series, r);
  for (int i = 0; i < halvings; ++i) e = add(add(e, e), multiply(e, e));
  double power = first_lane(n), half = __builtin_floor(power / 2);  // 2^n itself may be out of range
  return ldexp_floor(ldexp_floor(multiply(a, add(e, F64(1))), F64(half)), F64(power - half));
}

// A sum whose parts are not numbers where it is infinite.
struct InfiniteSum {
  DD exact = broadcast(0, 0);
  double plain = 0;

  void add(DD x) {
    exact = SOFTGRAD_ISA::add(exact, x);
    plain += first_lane(x.hi);
  }
  void store(double& hi, double& lo) const {
    bool infinite = plain - plain != 0;
    hi = infinite ? plain : first_lane(exact.hi);
    lo = infinite ? 0 : first_lane(exact.lo);
  }
};

// NaN beside a finite maximum is in the sum alone, which vanishes where the maximum of another block is infinite.
inline double maximum_or_nan(const RowStatistics& block) {
  bool nan = block.rest_hi != block.rest_hi && block.maximum - block.maximum == 0;
  return nan ? block.rest_hi : block.maximum;
}

// blocks: those of a row, `step` apart; headroom: of their sums, and of the row's.
inline RowStatistics merged(const RowStatistics* blocks, int64_t count, int64_t step, double headroom) {
  if (count == 1) return blocks[0];
  RowStatistics row;
  for (int64_t b = 0; b < count; ++b) {
    double m = maximum_or_nan(blocks[b * step]);
    if (m > row.maximum || m != m) row.maximum = m;
  }
  DD rest = broadcast(0, 0), mass = rest, below = rest;
  InfiniteSum dot;
  for (int64_t b = 0; b < count; ++b) {
    const RowStatistics& block = blocks[b * step];
    DD block_rest = broadcast(block.rest_hi, block.rest_lo), block_mass = broadcast(block.mass_hi, block.mass_lo);
    mass = add(mass, block_mass);
    dot.add(broadcast(block.dot_hi, block.dot_lo));
    if (block.label > row.label) row.label = block.label;
    if (block.maximum == row.maximum) {
      rest = add(rest, block_rest);
      row.ties += block.ties;
      below = add(below, broadcast(block.below_hi, block.below_lo));
      continue;
    }
    DD distance = two_sum(F64(row.maximum), F64(-block.maximum));
    bool infinite = row.maximum - block.maximum == __builtin_inf();
    if (infinite) distance = broadcast(__builtin_inf(), 0);
    DD sum = add(block_rest, ldexp_floor(F64(block.ties), F64(headroom)));
    rest = add(rest, multiply_exp(sum, distance));
    below = add(below, block_mass);
    if (block.mass_hi > 0) dot.add(infinite ? distance : multiply(block_mass, distance));
  }
  row.rest_hi = first_lane(rest.hi), row.rest_lo = first_lane(rest.lo);
  row.mass_hi = first_lane(mass.hi), row.mass_lo = first_lane(mass.lo);
  row.below_hi = first_lane(below.hi), row.below_lo = first_lane(below.lo);
  dot.store(row.dot_hi, row.dot_lo);
  return row;
}

// The statistics of a row in lane i of a batch, whose sums have a headroom of their own.
inline void set_statistics(const RowStatistics& row, int i, Batch& batch) {
  DD rest = ldexp_floor(broadcast(row.rest_hi, row.rest_lo), F64(batch.headroom[i] - RowStatistics::headroom));
  batch.maximum[i] = row.maximum;
  batch.rest_hi[i] = first_lane(rest.hi);
  batch.rest_lo[i] = first_lane(rest.lo);
  batch.ties[i] = row.ties;
}

// And back.
inline RowStatistics statistics_of(const Batch& batch, int i) {
  RowStatistics row;
  double change = RowStatistics::headroom - batch.headroom[i];
  DD rest = ldexp_floor(broadcast(batch.rest_hi[i], batch.rest_lo[i]), F64(change));
  row.maximum = batch.maximum[i];
  row.rest_hi = first_lane(rest.hi);
  row.rest_lo = first_lane(rest.lo);
  row.ties = batch.ties[i];
  return row;
}

}  // namespace softgrad::SOFTGRAD_ISA
