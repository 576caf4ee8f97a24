#include "module/threads.h"

#include <atomic>
#include <cstdlib>
#include <thread>

#include "layout/tuning.h"

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
  unsigned cpus = std::thread::hardware_concurrency();
  return cpus ? static_cast<int>(cpus) : 1;
}

int initial_limit() {
  if (const char* text = std::getenv("SOFTGRAD_NUM_THREADS")) {
    int n = std::atoi(text);
    if (n > 0) return n;
  }
  return usable_cpus();
}

std::atomic<int> limit{initial_limit()};

}  // namespace

int num_threads() { return limit; }
void set_num_threads(int n) { limit = n; }

int threads_for(int64_t elements) { return elements < serial_below ? 1 : num_threads(); }

}  // namespace softgrad
