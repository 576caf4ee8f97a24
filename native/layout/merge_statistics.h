// The statistics of a row from those of blocks of its classes; nothing cancels:
//
//   m = max m_b
//   Σ_{z < m} exp(z - m) = Σ_{m_b = m} rest_b + Σ_{m_b < m} (ties_b + rest_b)·exp(m_b - m)
//   Σ y·(m - z) = Σ_b (dot_b + mass_b·(m - m_b))
#pragma once

#include "layout/batch_statistics.h"
#include "layout/row_statistics.h"
#include "math/multiply_exp.h"

namespace softgrad::SOFTGRAD_ISA {

// A double-double sum; the parts of an infinite one would be NaN.
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

// Beside a finite maximum NaN is in the sum alone, which would be lost if the maximum of another block is infinite.
inline double maximum_or_nan(const RowStatistics& block) {
  bool nan = block.rest_hi != block.rest_hi && block.maximum - block.maximum == 0;
  return nan ? block.rest_hi : block.maximum;
}

// blocks: those of one row, `step` apart; headroom: that of all sums.
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

// Fills row i of a batch, whose sums have a headroom of their own.
inline void set_statistics(const RowStatistics& row, int i, BatchStatistics& batch) {
  DD rest = ldexp_floor(broadcast(row.rest_hi, row.rest_lo), F64(batch.headroom[i] - RowStatistics::headroom));
  batch.set_row(i, row.maximum, first_lane(rest.hi), first_lane(rest.lo), row.ties);
}

// The reverse.
inline RowStatistics statistics_of(const BatchStatistics& batch, int i) {
  double change = RowStatistics::headroom - batch.headroom[i];
  DD rest = ldexp_floor(broadcast(batch.rest_hi[i], batch.rest_lo[i]), F64(change));
  return {batch.maximum[i], first_lane(rest.hi), first_lane(rest.lo), batch.ties[i]};
}

}  // namespace softgrad::SOFTGRAD_ISA
