// Element types of arrays.
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
