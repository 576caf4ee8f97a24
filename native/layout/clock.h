// Clocks, in nanoseconds.
#pragma once

#include <chrono>
#include <cstdint>

#if defined(__unix__) || defined(__APPLE__)
#include <time.h>
#endif

namespace softgrad {

inline int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The time that this thread has run on a CPU, without the time that it waited for one.
inline int64_t cpu_ns() {
#if defined(__unix__) || defined(__APPLE__)
  timespec t;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0) return t.tv_sec * int64_t(1000000000) + t.tv_nsec;
#endif
  return now_ns();
}

}  // namespace softgrad
