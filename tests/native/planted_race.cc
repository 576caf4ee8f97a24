// A loop whose pieces write the same numbers without synchronisation. ThreadSanitizer must report it: otherwise it does
// not see the threads that share loops, and its silence about the other tests means nothing.
#include <atomic>
#include <chrono>
#include <cstdio>

#include "layout/work_sharing.h"

int main() {
  using Clock = std::chrono::steady_clock;
  int64_t sums[1000] = {};
  std::atomic<bool> helped{false};  // relaxed: it must not synchronise the threads
  auto give_up = Clock::now() + std::chrono::seconds(10);
  softgrad::for_shared(100000, 2, [&](int64_t i, int thread) {
    if (thread == 1) helped.store(true, std::memory_order_relaxed);
    while (i == 0 && !helped.load(std::memory_order_relaxed) && Clock::now() < give_up) continue;
    sums[i % 1000] += i;
  });
  std::printf("%lld\n", static_cast<long long>(sums[0]));
}
