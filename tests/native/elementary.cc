// Compiled once for every instruction set, with SOFTGRAD_COMPILE_<SET> defined.
#include "elementary.h"

#include "math/log1p.h"
#include "layout/merge_statistics.h"

namespace softgrad::SOFTGRAD_ISA {
namespace {

void log1p_in_two_parts(const double* hi, const double* lo, double* out_hi, double* out_lo, int64_t n) {
  for (int64_t i = 0; i < n; i += F64::lanes)
    store(log1p(DD{F64::load(hi + i), F64::load(lo + i)}), out_hi + i, out_lo + i);
}

void log1p_plain(const double* s, double* out, int64_t n) {
  for (int64_t i = 0; i < n; i += F64::lanes) log1p(F64::load(s + i)).store(out + i);
}

void multiply_exp_of(const double* a_hi, const double* a_lo, const double* distance_hi, const double* distance_lo,
                     double* out_hi, double* out_lo, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    DD product = multiply_exp(broadcast(a_hi[i], a_lo[i]), broadcast(distance_hi[i], distance_lo[i]));
    out_hi[i] = first_lane(product.hi);
    out_lo[i] = first_lane(product.lo);
  }
}

}  // namespace

extern const native_tests::Elementary elementary;
const native_tests::Elementary elementary = {SOFTGRAD_ISA::set_name, log1p_in_two_parts, log1p_plain, multiply_exp_of};

}  // namespace softgrad::SOFTGRAD_ISA
