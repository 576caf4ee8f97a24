#include "module/threads.h"

#include <atomic>
#include <cstdlib>

#include "layout/tuning.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

namespace softgrad {
namespace {

int usable_cpus() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
#ifdef _OPENMP
  return omp_get_num_procs();
#else
  return 1;
#endif
}

int initial_limit() {
  if (const char* text = std::getenv("SOFTGRAD_NUM_THREADS")) {
    int n = std::atoi(text);
    if (n > 0) return n;
  }
  return usable_cpus();
}

std::atomic<int> limit{initial_limit()};
std::atomic<bool> forked{false};

#if defined(__unix__) || defined(__APPLE__)
const int registered = pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif

}  // namespace

int num_threads() { return limit; }
void set_num_threads(int n) { limit = n; }

int threads_for(int64_t elements) {
#ifdef _OPENMP
  if (elements < serial_below || forked || omp_in_parallel()) return 1;
  return limit < omp_get_max_threads() ? limit.load() : omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace softgrad
