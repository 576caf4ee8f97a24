// Element types of the arrays that come from Python, and how the 16-bit ones convert.
#pragma once

#include <cstdint>
#include <cstring>

namespace softgrad {

enum class DType : int { float16, bfloat16, float32, float64 };

struct Half {
  uint16_t bits;
};

struct BFloat16 {
  uint16_t bits;
};

}  // namespace softgrad
