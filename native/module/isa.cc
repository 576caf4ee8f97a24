#include "module/isa.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(SOFTGRAD_WITH_AVX512) || defined(SOFTGRAD_WITH_AVX2)
#include <cpuid.h>
#endif

namespace softgrad {

#ifdef SOFTGRAD_WITH_AVX512
namespace avx512 {
extern const Kernels kernels;
}
#endif
#ifdef SOFTGRAD_WITH_AVX2
namespace avx2 {
extern const Kernels kernels;
}
#endif
namespace generic {
extern const Kernels kernels;
}

#ifdef SOFTGRAD_WITH_AVX2
namespace {

// Clang's __builtin_cpu_supports does not know "f16c" before version 19.
bool has_f16c() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}

}  // namespace
#endif

std::vector<const Kernels*> supported_kernels() {
  std::vector<const Kernels*> sets;
#if defined(SOFTGRAD_WITH_AVX512) || defined(SOFTGRAD_WITH_AVX2)
  __builtin_cpu_init();
#endif
#ifdef SOFTGRAD_WITH_AVX512
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    sets.push_back(&avx512::kernels);
#endif
#ifdef SOFTGRAD_WITH_AVX2
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) sets.push_back(&avx2::kernels);
#endif
  sets.push_back(&generic::kernels);
  return sets;
}

namespace {

const Kernels* find_kernels(const std::string& name) {
  std::string names;
  for (const Kernels* k : supported_kernels()) {
    if (name == k->name) return k;
    names += names.empty() ? k->name : std::string(", ") + k->name;
  }
  throw std::invalid_argument("SOFTGRAD_ISA='" + name + "': this machine runs " + names +
                              "; unset the variable to use the best of them");
}

std::atomic<const Kernels*> in_use{nullptr};

}  // namespace

const Kernels& kernels_in_use() {
  const Kernels* k = in_use.load(std::memory_order_relaxed);
  if (!k) {
    const char* forced = std::getenv("SOFTGRAD_ISA");
    k = forced && *forced ? find_kernels(forced) : supported_kernels().front();
    in_use = k;
  }
  return *k;
}

void use_kernels(const std::string& name) { in_use = find_kernels(name); }

}  // namespace softgrad
