#include <cstring>

#include "elementary.h"

namespace softgrad {
#ifdef SOFTGRAD_WITH_AVX512
namespace avx512 {
extern const native_tests::Elementary elementary;
}
#endif
#ifdef SOFTGRAD_WITH_AVX2
namespace avx2 {
extern const native_tests::Elementary elementary;
}
#endif
namespace generic {
extern const native_tests::Elementary elementary;
}
}  // namespace softgrad

namespace softgrad::native_tests {

const Elementary* elementary_of(const char* instruction_set) {
  static constexpr const Elementary* sets[] = {
#ifdef SOFTGRAD_WITH_AVX512
      &avx512::elementary,
#endif
#ifdef SOFTGRAD_WITH_AVX2
      &avx2::elementary,
#endif
      &generic::elementary};
  for (const Elementary* set : sets)
    if (std::strcmp(set->name, instruction_set) == 0) return set;
  return nullptr;
}

}  // namespace softgrad::native_tests
