// Functions of the kernels' headers that no kernel offers by itself, compiled once per instruction set.
#pragma once

#include <cstdint>

namespace softgrad::native_tests {

// n: a multiple of 8, the most lanes of doubles that a set has.
struct Elementary {
  const char* name;
  void (*log1p_in_two_parts)(const double* hi, const double* lo, double* out_hi, double* out_lo, int64_t n);
  void (*log1p_plain)(const double* s, double* out, int64_t n);
  // a·exp(-distance), one after the other.
  void (*multiply_exp)(const double* a_hi, const double* a_lo, const double* distance_hi, const double* distance_lo,
                       double* out_hi, double* out_lo, int64_t n);
};

// nullptr: not compiled.
const Elementary* elementary_of(const char* instruction_set);

}  // namespace softgrad::native_tests
