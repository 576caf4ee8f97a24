#include "layout/work_sharing.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "layout/tuning.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#include <time.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif
#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace softgrad {
namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The time that this thread has run on a CPU, without the time that it waited for one.
int64_t cpu_ns() {
#if defined(__unix__) || defined(__APPLE__)
  timespec t;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0) return t.tv_sec * int64_t(1000000000) + t.tv_nsec;
#endif
  return now_ns();
}

void pause() {
#ifdef __SSE2__
  _mm_pause();
#endif
}

// Waits until the value differs from `old`: for a short time without sleeping, because waking a thread takes longer.
uint32_t wait_for_change(std::atomic<uint32_t>& value, uint32_t old) {
  for (int64_t end = now_ns() + spin_ns; now_ns() < end;)
    for (int i = 0; i < 32; ++i) {
      uint32_t seen = value.load(std::memory_order_acquire);
      if (seen != old) return seen;
      pause();
    }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

// The CPUs on which the calling thread may run; helpers take them over.
struct Affinity {
#ifdef __linux__
  cpu_set_t cpus;

  Affinity() {
    CPU_ZERO(&cpus);
    sched_getaffinity(0, sizeof cpus, &cpus);  // fails beyond 1024 CPUs: the set stays empty
  }

  void adopt(const Affinity& other) {
    if (CPU_EQUAL(&cpus, &other.cpus) || CPU_COUNT(&other.cpus) == 0) return;
    if (sched_setaffinity(0, sizeof other.cpus, &other.cpus) == 0) cpus = other.cpus;
  }
#else
  void adopt(const Affinity&) {}
#endif
};

// A loop in flight. Every thread has a range of neighbouring pieces, so that it reads the memory that it read in the
// call before; when its range is done, it takes pieces from those of the others.
class Call {
 public:
  Call(const SharedLoop& loop, int threads)
      : loop_(loop), threads_(threads), ranges_(std::make_unique<Range[]>(threads)) {
    for (int t = 0; t < threads; ++t) {
      ranges_[t].next = loop.count * t / threads;
      ranges_[t].end = loop.count * (t + 1) / threads;
    }
  }

  int helpers() const { return threads_ - 1; }
  const Affinity& affinity() const { return affinity_; }

  // Runs pieces until none is left; returns their number.
  int64_t work(int thread) {
    int64_t pieces = 0;
    for (int t = 0; t < threads_; ++t) {
      Range& range = ranges_[(thread + t) % threads_];
      int64_t i;
      while ((i = range.next.fetch_add(1, std::memory_order_relaxed)) < range.end) {
        run(i, thread);
        ++pieces;
      }
    }
    return pieces;
  }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct alignas(cache_line) Range {
    std::atomic<int64_t> next;
    int64_t end;
  };

  void run(int64_t i, int thread) {
    if (failed_.load(std::memory_order_relaxed)) return;
    try {
      loop_.run(loop_.body, i, thread);
    } catch (...) {
      if (!failed_.exchange(true)) failure_ = std::current_exception();
    }
  }

  const SharedLoop& loop_;
  int threads_;
  std::unique_ptr<Range[]> ranges_;
  Affinity affinity_;
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;
};

// Where a caller offers its loop to the helpers.
class alignas(cache_line) Offer {
 public:
  bool claim() { return !claimed_.load(std::memory_order_relaxed) && !claimed_.exchange(true); }

  void open(Call& call) {
    call_ = &call;
    state_.store(call.helpers(), std::memory_order_release);
  }

  // No helper joins from now on. Waits for those that have.
  void close() {
    uint32_t state = state_.fetch_and(~places, std::memory_order_acq_rel) & ~places;
    while (state) state = wait_for_change(state_, state);
    claimed_.store(false, std::memory_order_release);
  }

  // Joins the call if it has a place left. `call_for_more` is called if it still has one then.
  template <class CallForMore>
  bool help(Affinity& affinity, CallForMore call_for_more) {
    uint32_t state = state_.load(std::memory_order_relaxed);
    do {
      if (!(state & places)) return false;
    } while (!state_.compare_exchange_weak(state, state - 1 + helper, std::memory_order_acquire));
    uint32_t left = (state & places) - 1;
    if (left) call_for_more();
    affinity.adopt(call_->affinity());
    call_->work(call_->helpers() - static_cast<int>(left));
#ifdef __SSE2__
    _mm_sfence();  // for streaming stores
#endif
    state_.fetch_sub(helper, std::memory_order_release);
    state_.notify_one();
    return true;
  }

 private:
  // The state counts places left and helpers at work.
  static constexpr uint32_t places = 0xffff, helper = 0x10000;

  std::atomic<uint32_t> state_{0};
  std::atomic<bool> claimed_{false};
  Call* call_ = nullptr;
};

// Decides when sharing does not pay, because other work takes the CPUs: if a call took longer than its pieces would
// have taken the caller alone, calls take one thread for a multiple of the time lost.
class Rest {
 public:
  bool over(int64_t now) const { return now >= until_.load(std::memory_order_relaxed); }

  void record(int64_t now, int64_t elapsed, int64_t alone) {
    int64_t lost = elapsed - alone - alone / 8, multiple = multiple_.load(std::memory_order_relaxed);
    if (lost <= 0) {
      int64_t less = multiple - multiple / 8;
      multiple_.store(less < least_rest ? least_rest : less, std::memory_order_relaxed);
      return;
    }
    int64_t rest = lost * multiple;
    until_.store(now + (rest < longest_rest_ns ? rest : longest_rest_ns), std::memory_order_relaxed);
    multiple_.store(2 * multiple < most_rest ? 2 * multiple : most_rest, std::memory_order_relaxed);
  }

 private:
  std::atomic<int64_t> until_{0}, multiple_{least_rest};
};

class Pool {
 public:
  void share(const SharedLoop& loop) {
    InFlight call(in_flight_);
    int threads = loop.threads / call.count;
    if (threads > most_threads) threads = most_threads;
    if (threads > loop.count) threads = static_cast<int>(loop.count);
    int64_t begin = now_ns();
    if (threads < 2 || !rest_.over(begin)) return run_alone(loop);
    Call shared(loop, threads);
    Offer* offer = claim();
    if (!offer) return run_alone(loop);
    start_workers(threads - 1);
    offer->open(shared);
    offers_.fetch_add(1, std::memory_order_release);
    wake(threads - 1);
    int64_t cpu = cpu_ns(), pieces = shared.work(0);
    cpu = cpu_ns() - cpu;
    offer->close();
    int64_t end = now_ns();
    if (pieces) rest_.record(end, end - begin, static_cast<int64_t>(double(cpu) * loop.count / pieces));
    shared.rethrow();
  }

 private:
  struct InFlight {
    std::atomic<int>& calls;
    int count;

    explicit InFlight(std::atomic<int>& calls) : calls(calls), count(calls.fetch_add(1) + 1) {}
    ~InFlight() { calls.fetch_sub(1); }
  };

  static void run_alone(const SharedLoop& loop) {
    for (int64_t i = 0; i < loop.count; ++i) loop.run(loop.body, i, 0);
  }

  Offer* claim() {
    for (Offer& offer : all_offers_)
      if (offer.claim()) return &offer;
    return nullptr;
  }

  // Wakes two at most: each helper wakes two others.
  void wake(int helpers) {
    for (int i = 0; i < helpers && i < 2; ++i) offers_.notify_one();
  }

  void start_workers(int wanted) {
    if (workers_.load(std::memory_order_relaxed) >= wanted) return;
    std::unique_lock lock(starting_, std::try_to_lock);
    if (!lock) return;  // another caller starts them
                        // Signals are for the threads that Python knows.
#if defined(__unix__) || defined(__APPLE__)
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
    try {
      while (workers_.load(std::memory_order_relaxed) < wanted) {
        std::thread([this] { work(); }).detach();
        workers_.fetch_add(1, std::memory_order_relaxed);
      }
    } catch (const std::system_error&) {
      // The system allows no more threads; the caller does the work of the missing ones.
    }
#if defined(__unix__) || defined(__APPLE__)
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
#endif
  }

  [[noreturn]] void work() {
    Affinity affinity;
    uint32_t seen = offers_.load(std::memory_order_acquire);
    for (;;) {
      bool helped = false;
      for (Offer& offer : all_offers_) helped |= offer.help(affinity, [&] { wake(2); });
      seen = helped ? offers_.load(std::memory_order_acquire) : wait_for_change(offers_, seen);
    }
  }

  Offer all_offers_[most_calls];
  alignas(cache_line) std::atomic<uint32_t> offers_{0};  // made so far
  alignas(cache_line) std::atomic<int> in_flight_{0};
  std::atomic<int> workers_{0};
  std::mutex starting_;
  Rest rest_;
};

// Never destroyed, because its threads run until the process ends. A forked child has none of them and begins anew.
alignas(Pool) char storage[sizeof(Pool)];
Pool* const pool = new (storage) Pool;

#if defined(__unix__) || defined(__APPLE__)
const int registered = pthread_atfork(nullptr, nullptr, [] { new (storage) Pool; });
#endif

}  // namespace

void share(const SharedLoop& loop) { pool->share(loop); }

}  // namespace softgrad
