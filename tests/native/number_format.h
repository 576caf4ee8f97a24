// The formats of array elements: their precision, and how 16-bit ones are read and written.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstring>

#include "simd/dtype.h"

namespace softgrad::native_tests {

using Real = long double;
static_assert(LDBL_MANT_DIG >= 64, "the oracles need a long double of at least 64 bits");

struct NumberFormat {
  const char* name;
  int64_t bytes;
  int digits;       // of the significand
  int least, most;  // exponents of the normal numbers
};

inline const NumberFormat& format_of(DType dtype) {
  static constexpr NumberFormat formats[] = {{"float16", 2, 11, -14, 15},
                                             {"bfloat16", 2, 8, -126, 127},
                                             {"float32", 4, 24, -126, 127},
                                             {"float64", 8, 53, -1022, 1023}};
  return formats[static_cast<int>(dtype)];
}

// The type in which losses of these logits are returned.
inline DType loss_dtype(DType logits) { return logits == DType::float64 ? DType::float64 : DType::float32; }

// The unit in the last place of the format at x.
inline Real ulp(Real x, const NumberFormat& format) {
  int exponent = x == 0 || !std::isfinite(x) ? format.least : std::ilogb(x);
  return std::ldexp(Real(1), (exponent < format.least ? format.least : exponent) - format.digits + 1);
}

// The nearest number of the format, ties to even.
inline double rounded_to(double x, DType dtype) {
  const NumberFormat& format = format_of(dtype);
  if (dtype == DType::float64 || !std::isfinite(x) || x == 0) return x;
  if (dtype == DType::float32) return static_cast<float>(x);
  Real unit = ulp(x, format);
  Real nearest = std::nearbyint(x / unit) * unit;
  return std::fabs(nearest) >= std::ldexp(Real(1), format.most + 1) ? std::copysign(INFINITY, x) : double(nearest);
}

inline uint16_t half_bits(double x) {
  uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return sign | 0x7e00;
  x = std::fabs(rounded_to(x, DType::float16));
  if (std::isinf(x)) return sign | 0x7c00;
  if (x < 0x1p-14) return sign | static_cast<uint16_t>(x * 0x1p24);
  int exponent = std::ilogb(x);
  return sign | static_cast<uint16_t>((exponent + 15) << 10) |
         static_cast<uint16_t>(std::ldexp(x, 10 - exponent) - 1024);
}

inline double of_half_bits(uint16_t bits) {
  int exponent = bits >> 10 & 31, significand = bits & 1023;
  double magnitude = exponent == 31  ? (significand ? NAN : INFINITY)
                     : exponent == 0 ? std::ldexp(significand, -24)
                                     : std::ldexp(1024 + significand, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

inline void write_number(double x, DType dtype, void* to) {
  float single = static_cast<float>(rounded_to(x, dtype == DType::bfloat16 ? dtype : DType::float64));
  uint32_t bits;
  std::memcpy(&bits, &single, 4);
  uint16_t narrow = dtype == DType::float16 ? half_bits(x) : static_cast<uint16_t>(bits >> 16);
  switch (dtype) {
    case DType::float16:
    case DType::bfloat16:
      std::memcpy(to, &narrow, 2);
      return;
    case DType::float32:
      std::memcpy(to, &single, 4);
      return;
    case DType::float64:
      std::memcpy(to, &x, 8);
  }
}

inline double read_number(DType dtype, const void* from) {
  uint16_t narrow;
  uint32_t bits;
  float single;
  double wide;
  switch (dtype) {
    case DType::float16:
      std::memcpy(&narrow, from, 2);
      return of_half_bits(narrow);
    case DType::bfloat16:
      std::memcpy(&narrow, from, 2);
      bits = uint32_t(narrow) << 16;
      std::memcpy(&single, &bits, 4);
      return single;
    case DType::float32:
      std::memcpy(&single, from, 4);
      return single;
    case DType::float64:
      std::memcpy(&wide, from, 8);
      return wide;
  }
  return NAN;
}

}  // namespace softgrad::native_tests
