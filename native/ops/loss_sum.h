// Losses of rows, written or summed: in a group per row of a batch, then over groups, in order.
#pragma once

#include <new>

#include "layout/batch_statistics.h"
#include "layout/groups.h"
#include "math/sums.h"
#include "ops/arguments.h"

namespace softgrad::SOFTGRAD_ISA {

// A double-double sum and the plain one, which replaces it if it is infinite.
struct Total {
  ScalarDD exact;
  double plain = 0;

  void add(const Total& other) {
    exact.add(other.exact);
    plain += other.plain;
  }
};

// The sum of the losses of a group, for each row of its batches.
struct LossSum {
  alignas(64) double hi[batch_rows] = {};
  alignas(64) double lo[batch_rows] = {};
  alignas(64) double plain[batch_rows] = {};

  void add(const double* loss_hi, const double* loss_lo) {
    for (int i = 0; i < batch_rows; i += F64::lanes) {
      DD loss = {F64::load(loss_hi + i), F64::load(loss_lo + i)};
      store(softgrad::SOFTGRAD_ISA::add(DD{F64::load(hi + i), F64::load(lo + i)}, loss), hi + i, lo + i);
      (F64::load(plain + i) + loss.hi).store(plain + i);
    }
  }

  Total total() const {
    DD exact = {F64(0), F64(0)};
    F64 all(0);
    for (int i = 0; i < batch_rows; i += F64::lanes) {
      exact = softgrad::SOFTGRAD_ISA::add(exact, DD{F64::load(hi + i), F64::load(lo + i)});
      all = all + F64::load(plain + i);
    }
    return {total_of_lanes(exact.hi, exact.lo), sum_of_lanes(all)};
  }
};

template <class Number>
inline Number denominator_of(const Targets& targets) {
  return number<Number>(F64(targets.denominator), F64(targets.denominator_rest));
}

inline double mean_loss(const CrossEntropyArguments& args, const Total& sum) {
  double quotient[F64::lanes];
  DD mean = divide(DD{F64(sum.exact.hi), F64(sum.exact.lo)}, denominator_of<DD>(args.targets));
  (mean.hi + mean.lo).store(quotient);
  return quotient[0] == quotient[0] ? quotient[0] : sum.plain / args.targets.denominator;
}

// Writes the losses of a batch, or adds them to the sum of their group; those of rows from `count` on are 0.
inline void emit_losses(const CrossEntropyArguments& args, int64_t first, int count, const double* hi, const double* lo,
                        LossSum& sum) {
  if (!args.loss) {
    sum.add(hi, lo);
    return;
  }
  for_vectors<F64>(count, [&](int64_t i, auto lanes) {
    F64 loss = F64::load(hi + i) + F64::load(lo + i);
    if (args.dtype == DType::float64)
      lanes.store(loss, static_cast<double*>(args.loss) + first + i);
    else
      lanes.store(loss, static_cast<float*>(args.loss) + first + i);
  });
}

// One LossSum for each group.
class GroupSums {
 public:
  explicit GroupSums(int64_t groups) : groups_(groups), memory_(groups * int64_t(sizeof(LossSum))) {
    for (int64_t g = 0; g < groups; ++g) new (memory_.data() + g * sizeof(LossSum)) LossSum;
  }
  LossSum& operator[](int64_t group) { return reinterpret_cast<LossSum*>(memory_.data())[group]; }
  double mean(const CrossEntropyArguments& args) {
    Total sum;
    for (int64_t g = 0; g < groups_; ++g) sum.add((*this)[g].total());
    return mean_loss(args, sum);
  }

 private:
  int64_t groups_;
  Scratch memory_;
};

}  // namespace softgrad::SOFTGRAD_ISA
