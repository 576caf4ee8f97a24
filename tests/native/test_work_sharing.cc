// Shared loops: every piece runs exactly once, whatever the number of threads, of callers and of loops within loops; an
// exception reaches the caller once. Under ThreadSanitizer, results written by one thread are read by another.
#include <atomic>
#include <cfenv>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "layout/work_sharing.h"

namespace softgrad::native_tests {
namespace {

constexpr int thread_counts[] = {1, 2, 3, 8, 64};

struct Piece {
  int64_t runs = 0, value = 0;  // not atomic: one thread runs it, and the caller reads it afterwards
  int thread = -1;
};

// Runs a loop and returns whether every piece ran once, in a thread with a valid number.
bool runs_every_piece_once(int64_t count, int threads) {
  std::vector<Piece> pieces(count);
  int64_t offset = count + threads;  // what helpers must see of the caller's memory
  for_shared(count, threads, [&](int64_t i, int thread) {
    ++pieces[i].runs;
    pieces[i].value = i + offset;
    pieces[i].thread = thread;
  });
  for (int64_t i = 0; i < count; ++i)
    if (pieces[i].runs != 1 || pieces[i].value != i + offset || pieces[i].thread < 0 || pieces[i].thread >= threads)
      return false;
  return true;
}

void check_pieces(Context& context) {
  for (int threads : thread_counts)
    for (int64_t count : {0, 1, 2, 3, 64, 1000}) {
      bool good = true;
      for (int repeat = 0; repeat < (context.quick ? 20 : 200); ++repeat) good &= runs_every_piece_once(count, threads);
      context.report.holds(good, text("%d pieces, %d threads", int(count), threads));
    }
  context.report.holds(runs_every_piece_once(2000, 2147483647), "the largest number of threads");
}

// Pieces long enough for the others to take some: without it, the other checks might see the caller alone.
void check_helpers(Context& context) {
  using Clock = std::chrono::steady_clock;
  auto busy_until = [](Clock::time_point end) {
    while (Clock::now() < end) continue;
  };
  std::atomic<int> helped{0};
  auto give_up = Clock::now() + std::chrono::seconds(20);
  while (!helped && Clock::now() < give_up)
    for_shared(1000, 2, [&](int64_t, int thread) {
      busy_until(Clock::now() + std::chrono::microseconds(20));
      if (thread == 1) ++helped;
    });
  context.report.holds(helped > 0, "another thread helps");
}

// Helpers round as the caller does.
void check_rounding(Context& context) {
  std::atomic<int> others{0};
  std::fesetround(FE_UPWARD);
  for (int threads : thread_counts)
    for_shared(500, threads, [&](int64_t, int) {
      std::this_thread::yield();
      if (std::fegetround() != FE_UPWARD) ++others;
    });
  std::fesetround(FE_TONEAREST);
  context.report.holds(others == 0, "rounding");
}

// No two pieces of a loop run at the same time with the same number of a thread: scratch memory goes by it.
void check_numbers(Context& context) {
  for (int threads : thread_counts) {
    std::vector<std::atomic<int>> in_use(threads);
    std::atomic<int> shared{0};
    for (int repeat = 0; repeat < 50; ++repeat)
      for_shared(200, threads, [&](int64_t, int thread) {
        if (in_use[thread].fetch_add(1)) ++shared;
        std::this_thread::yield();
        in_use[thread].fetch_sub(1);
      });
    context.report.holds(shared == 0, text("numbers of %d threads", threads));
  }
}

void check_exceptions(Context& context) {
  for (int threads : thread_counts) {
    int caught = 0;
    std::atomic<int> thrown{0};
    for (int repeat = 0; repeat < 50; ++repeat) try {
        for_shared(100, threads, [&](int64_t i, int) {
          if (i % 10 != 3) return;
          ++thrown;
          throw std::runtime_error("piece");
        });
      } catch (const std::runtime_error& error) {
        caught += error.what() == std::string("piece");
      }
    context.report.holds(caught == 50 && thrown >= 50, text("exceptions of %d threads", threads));
    context.report.holds(runs_every_piece_once(1000, threads), text("%d threads after exceptions", threads));
  }
}

void check_nested_loops(Context& context) {
  for (int threads : thread_counts) {
    std::atomic<int> wrong{0};
    for (int repeat = 0; repeat < 10; ++repeat)
      for_shared(20, threads, [&](int64_t i, int) {
        if (!runs_every_piece_once(i, threads)) ++wrong;
      });
    context.report.holds(wrong == 0, text("loops within a loop, %d threads", threads));
  }
}

// More callers than loops that can be shared at a time.
void check_many_callers(Context& context) {
  for (int threads : {2, 64}) {
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 48; ++caller)
      callers.emplace_back([&, caller] {
        for (int repeat = 0; repeat < (context.quick ? 20 : 200); ++repeat)
          if (!runs_every_piece_once(caller, 48 * threads)) ++wrong;
      });
    for (std::thread& caller : callers) caller.join();
    context.report.holds(wrong == 0, text("many callers, %d threads each", threads));
  }
}

void check_work_sharing(Context& context) {
  share_always(true);
  check_helpers(context);
  check_pieces(context);
  check_rounding(context);
  check_numbers(context);
  check_exceptions(context);
  check_nested_loops(context);
  check_many_callers(context);
}

const Test test("work_sharing", check_work_sharing);

}  // namespace
}  // namespace softgrad::native_tests
