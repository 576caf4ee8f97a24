// Pages of 2 MiB for large results, because the first write to each page is expensive. They are not always cheaper: the
// system may have to compact memory first, and a hypervisor may have taken free ones back.
#pragma once

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>

#include <atomic>

#include "layout/clock.h"
#include "layout/tuning.h"
#endif

namespace softgrad {

#if defined(__linux__) && defined(MADV_HUGEPAGE)

// Bytes of a huge page, and of a small one.
inline constexpr uintptr_t huge_page = 2 << 20, small_page = page_bytes;

// Small pages that are timed for comparison.
inline constexpr uintptr_t sampled_pages = 16;

// A huge page may take this multiple of the time of the small pages that it replaces: it also saves entries of the TLB.
// One that a hypervisor had taken back took four times as long as those.
inline constexpr int64_t most_slowdown = 2;

// After a slow one, huge pages are not tried for this multiple of the time lost, so that about 3 % is lost at most.
inline constexpr int64_t rest_from_huge_pages = 32;

// Writes to each of the pages, and returns the CPU time that this took.
inline int64_t time_first_writes(uintptr_t address, uintptr_t pages) {
  int64_t start = cpu_ns();
  for (uintptr_t i = 0; i < pages; ++i) *reinterpret_cast<volatile char*>(address + i * small_page) = 0;
  return cpu_ns() - start;
}

// Requests huge pages one by one, until one takes longer than small pages would; the rest is left to the system.
inline void prefer_huge_pages(uintptr_t address, uintptr_t bytes) {
  static std::atomic<int64_t> rest_ends = 0;
  uintptr_t sample = (address + small_page - 1) / small_page * small_page, end = address + bytes;
  uintptr_t begin = (sample + sampled_pages * small_page + huge_page - 1) / huge_page * huge_page;
  if (begin + huge_page > end || now_ns() < rest_ends.load()) return;
  int64_t sample_time = time_first_writes(sample, sampled_pages);
  int64_t small_pages_time = sample_time * static_cast<int64_t>(huge_page / small_page / sampled_pages);
  for (uintptr_t page = begin; page + huge_page <= end; page += huge_page) {
    madvise(reinterpret_cast<void*>(page), huge_page, MADV_HUGEPAGE);  // may fail, if the system has no huge pages
    int64_t time = time_first_writes(page, 1);
    if (time > most_slowdown * small_pages_time) {
      rest_ends.store(now_ns() + rest_from_huge_pages * (time - small_pages_time));
      return;
    }
  }
}

#else

inline void prefer_huge_pages(uintptr_t, uintptr_t) {}

#endif

}  // namespace softgrad
