// Element types of the arrays that come from Python, and how the 16-bit ones convert.
#pragma once

#include <cstdint>
#include <cstring>

namespace softgrad {

enum class DType : int { float16 = 0, bfloat16 = 1, float32 = 2, float64 = 3 };

struct Half {
  uint16_t bits;
};

struct BFloat16 {
  uint16_t bits;
};

}  // namespace softgrad
