// Compiled once for every instruction set, with SOFTGRAD_COMPILE_<SET> defined.
#include "elementary.h"

#include "log1p.h"

namespace softgrad::SOFTGRAD_ISA {
namespace {

void log1p_in_two_parts(const double* hi, const double* lo, double* out_hi, double* out_lo, int64_t n) {
  for (int64_t i = 0; i < n; i += F64::lanes)
    store(log1p(DD{F64::load(hi + i), F64::load(lo + i)}), out_hi + i, out_lo + i);
}

void log1p_plain(const double* s, double* out, int64_t n) {
  for (int64_t i = 0; i < n; i += F64::lanes) log1p(F64::load(s + i)).store(out + i);
}

}  // namespace

#define SOFTGRAD_STRING(x) #x
#define SOFTGRAD_NAME(x) SOFTGRAD_STRING(x)
extern const native_tests::Elementary elementary;
const native_tests::Elementary elementary = {SOFTGRAD_NAME(SOFTGRAD_ISA), log1p_in_two_parts, log1p_plain};

}  // namespace softgrad::SOFTGRAD_ISA
