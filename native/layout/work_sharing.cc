#include "layout/work_sharing.h"

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <thread>

#include "layout/clock.h"
#include "layout/tuning.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif
#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace softgrad {
namespace {

void pause() {
#ifdef __SSE2__
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits for the value to change, for about as long as it takes to wake a thread; returns whether it is still `old`.
bool spin_while(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int64_t end = now_ns() + spin_ns; now_ns() < end;)
    for (int i = 0; i < 32; ++i) {
      if (value.load(std::memory_order_acquire) != old) return false;
      pause();
    }
  return true;
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

// How the calling thread rounds, and whether it flushes subnormal numbers. Helpers take it over: otherwise results
// would depend on who computes them.
struct Rounding {
  std::fenv_t environment;

  Rounding() { std::fegetenv(&environment); }
  void adopt() const { std::fesetenv(&environment); }
};

// A loop in flight. Every thread has a range of neighbouring pieces, so that the caller, and a single helper, read the
// memory that they read in the call before; when its range is done, a thread takes pieces from those of the others.
class Call {
 public:
  Call(const SharedLoop& loop, int threads)
      : loop_(loop),
        threads_(threads),
        at_once_(std::max<int64_t>(1, loop.count / (threads * shares_of_thread))),
        ranges_(std::make_unique<Range[]>(threads)) {
    for (int t = 0; t < threads; ++t) {
      ranges_[t].next = loop.count * t / threads;
      ranges_[t].end = loop.count * (t + 1) / threads;
    }
  }

  int helpers() const { return threads_ - 1; }
  const Affinity& affinity() const { return affinity_; }
  const Rounding& rounding() const { return rounding_; }

  int64_t at_once() const { return at_once_; }

  // Runs pieces until none is left; returns their number.
  int64_t work(int thread) {
    int64_t pieces = 0;
    for (int t = 0; t < threads_; ++t) {
      Range& range = ranges_[(thread + t) % threads_];
      int64_t first;
      while ((first = range.next.fetch_add(at_once_, std::memory_order_relaxed)) < range.end) {
        int64_t end = std::min(first + at_once_, range.end);
        for (int64_t i = first; i < end; ++i) run(i, thread);
        pieces += end - first;
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
  int64_t at_once_;  // pieces that a thread takes from a range: several if there are very many
  std::unique_ptr<Range[]> ranges_;
  Affinity affinity_;
  Rounding rounding_;
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
    for (; state; state = state_.load(std::memory_order_acquire))
      if (spin_while(state_, state)) state_.wait(state, std::memory_order_acquire);
    claimed_.store(false, std::memory_order_release);
  }

  // Joins the call if it has a place left. If there are places for others too, it first calls call_for_more, because
  // the caller waits for helpers that have joined.
  template <class CallForMore>
  bool help(Affinity& affinity, CallForMore call_for_more) {
    uint32_t state = state_.load(std::memory_order_relaxed);
    if ((state & places) > 1) call_for_more();
    do {
      if (!(state & places)) return false;
    } while (!state_.compare_exchange_weak(state, state - 1 + helper, std::memory_order_acquire));
    affinity.adopt(call_->affinity());
    call_->rounding().adopt();
    call_->work(call_->helpers() - static_cast<int>(state & places) + 1);
#ifdef __SSE2__
    _mm_sfence();  // for streaming stores
#endif
    // The caller waits for the last helper, without places left.
    if (state_.fetch_sub(helper, std::memory_order_release) == helper) state_.notify_one();
    return true;
  }

 private:
  // The state counts places left and helpers at work.
  static constexpr uint32_t places = 0xffff, helper = 0x10000;

  std::atomic<uint32_t> state_{0};
  std::atomic<bool> claimed_{false};
  Call* call_ = nullptr;
};

// Decides when sharing does not pay because other work takes the CPUs: then calls take one thread for a multiple of the
// time lost.
class Rest {
 public:
  void never(bool never) { never_.store(never, std::memory_order_relaxed); }
  bool never() const { return never_.load(std::memory_order_relaxed); }

  bool over(int64_t now) const { return now >= until_.load(std::memory_order_relaxed) || never(); }

  // elapsed: the time of a call; alone: the time that its pieces would have taken the caller; waited: the time that the
  // caller waited for pieces in flight; piece: the usual time of those taken at once.
  void record(int64_t now, int64_t elapsed, int64_t alone, int64_t waited, int64_t piece) {
    if (waited > 2 * piece && 5 * elapsed > 7 * alone) {  // a helper was interrupted
      begin(now, elapsed * multiple());
      return set_multiple(2 * multiple());
    }
    if (elapsed < alone) set_multiple(multiple() - multiple() / 32 - 1);
    int64_t saved = saved_.load(std::memory_order_relaxed) + alone - elapsed;
    if (saved < 0) begin(now, -saved * least_rest);
    saved_.store(std::clamp<int64_t>(saved, 0, most_saved_ns), std::memory_order_relaxed);
  }

 private:
  void begin(int64_t now, int64_t rest) {
    until_.store(now + std::min(rest, longest_rest_ns), std::memory_order_relaxed);
  }

  int64_t multiple() const { return multiple_.load(std::memory_order_relaxed); }
  void set_multiple(int64_t n) { multiple_.store(std::clamp(n, least_rest, most_rest), std::memory_order_relaxed); }

  std::atomic<int64_t> until_{0}, saved_{0}, multiple_{least_rest};
  std::atomic<bool> never_{false};
};

class Pool {
 public:
  void share(const SharedLoop& loop) {
    InFlight call(in_flight_);
    int threads = loop.threads / call.count;
    if (threads > most_threads) threads = most_threads;
    if (threads > loop.count) threads = static_cast<int>(loop.count);
    if (threads < 2 || !rest_.over(now_ns())) return run_alone(loop);
    Call shared(loop, threads);
    Offer* offer = claim();
    if (!offer) return run_alone(loop);
    start_workers(threads - 1);
    int64_t begin = now_ns();
    offer->open(shared);
    offers_.fetch_add(1, std::memory_order_release);
    wake(threads - 1);
    int64_t cpu = cpu_ns(), pieces = shared.work(0);
    cpu = cpu_ns() - cpu;
    int64_t done = now_ns();
    offer->close();
    int64_t end = now_ns();
    if (pieces) {
      double piece = double(cpu) / double(pieces);
      rest_.record(end, end - begin, static_cast<int64_t>(piece * double(loop.count)), end - done,
                   static_cast<int64_t>(piece * double(shared.at_once())));
    }
    shared.rethrow();
  }

  void share_always(bool always) { rest_.never(always); }
  bool shares_always() const { return rest_.never(); }

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
    if (workers_.load(std::memory_order_relaxed) >= wanted || now_ns() < start_again_.load(std::memory_order_relaxed))
      return;
    std::unique_lock lock(starting_, std::try_to_lock);
    if (!lock) return;  // another caller starts them

#if defined(__unix__) || defined(__APPLE__)
    // Signals are for the threads that Python knows, except those of errors in a thread's own code.
    sigset_t all, before;
    sigfillset(&all);
    for (int error : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, error);
    pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
    try {
      while (workers_.load(std::memory_order_relaxed) < wanted) {
        std::thread([this] { work(); }).detach();
        workers_.fetch_add(1, std::memory_order_relaxed);
      }
    } catch (const std::exception&) {
      // No memory, or the system allows no more threads; the caller does the work of the missing ones.
      start_again_.store(now_ns() + start_again_ns, std::memory_order_relaxed);
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
      if (!helped && spin_while(offers_, seen)) offers_.wait(seen, std::memory_order_acquire);
      seen = offers_.load(std::memory_order_acquire);
    }
  }

  Offer all_offers_[most_calls];
  alignas(cache_line) std::atomic<uint32_t> offers_{0};  // made so far
  alignas(cache_line) std::atomic<int> in_flight_{0};
  std::atomic<int> workers_{0};
  std::atomic<int64_t> start_again_{0};  // when, after the system refused a thread
  std::mutex starting_;
  Rest rest_;
};

// Never destroyed, because its threads run until the process ends. A forked child has none of them and begins anew.
alignas(Pool) char storage[sizeof(Pool)];
Pool* const pool = new (storage) Pool;

#if defined(__unix__) || defined(__APPLE__)
const int registered = pthread_atfork(nullptr, nullptr, [] {
  bool always = pool->shares_always();
  new (storage) Pool;
  pool->share_always(always);
});
#endif

}  // namespace

void share(const SharedLoop& loop) { pool->share(loop); }
void share_always(bool always) { pool->share_always(always); }

}  // namespace softgrad
