#include "module/threads.h"

#include <algorithm>
#include <atomic>
#include <limits>
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
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::atomic<int> limit{0}, cpu_limit{std::numeric_limits<int>::max()};

}  // namespace

int num_threads() {
  int n = limit;
  return n ? n : std::min(usable_cpus(), cpu_limit.load());
}

void set_num_threads(int n) { limit = n; }
bool has_default_threads() { return limit == 0; }
void set_cpu_limit(int cpus) { cpu_limit = cpus; }

int threads_for(int64_t elements) { return elements < serial_below ? 1 : std::min(num_threads(), most_threads); }

}  // namespace softgrad
