// Requests pages of 2 MiB for fresh memory, because the first write to each page is expensive.
#pragma once

#include <cstdint>

#include "layout/tuning.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace softgrad {

inline void prefer_huge_pages(uintptr_t address, uintptr_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t page = page_bytes;
  uintptr_t begin = (address + page - 1) / page * page, end = (address + bytes) / page * page;
  // May fail, if the system has no huge pages.
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace softgrad
