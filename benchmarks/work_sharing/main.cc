// work_sharing_comparison [quiet | busy] [SAMPLES]
//
// Compares ways to share a loop between two threads: pieces of 10 us of arithmetic on memory of their own, as groups of
// rows have. Prints medians and 95th percentiles of a loop's time, relative to those of a plain loop in one thread
// under the same load, with calls back to back and after pauses in which the threads go to sleep.
//
// Every variant has a process of its own, so that idle threads of one do not disturb the others. They take turns.
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#ifdef WITH_TBB
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#endif

#include "layout/work_sharing.h"

namespace {

using Clock = std::chrono::steady_clock;
double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// --- the loop ---

constexpr int piece_floats = 4096, most_pieces = 256;
constexpr double piece_microseconds = 10, pause_microseconds = 10000, warm_up_microseconds = 20000;
int rounds_of_piece = 1;

struct Pieces {
  std::vector<float> values = std::vector<float>(most_pieces * piece_floats, 1.0f);

  // Not inlined: the same instructions for every variant.
  [[gnu::noinline]] void run(int64_t piece) {
    float* x = values.data() + piece * piece_floats;
    for (int round = 0; round < rounds_of_piece; ++round)
      for (int i = 0; i < piece_floats; ++i) x[i] = x[i] * 0.999f + 0.001f;
  }
};

void calibrate() {
  Pieces pieces;
  pieces.run(0);
  double fastest = 1e9;
  rounds_of_piece = 100;
  for (int i = 0; i < 50; ++i) {
    auto start = Clock::now();
    pieces.run(0);
    fastest = std::min(fastest, microseconds_since(start));
  }
  rounds_of_piece = std::max(1, static_cast<int>(rounds_of_piece * piece_microseconds / fastest));
}

// --- the ways to share it ---

using Share = void (*)(Pieces&, int64_t count, int threads);

void one_thread(Pieces& pieces, int64_t count, int) {
  for (int64_t i = 0; i < count; ++i) pieces.run(i);
}

void pool(Pieces& pieces, int64_t count, int threads) {
  softgrad::for_shared(count, threads, [&](int64_t i, int) { pieces.run(i); });
}

#ifdef _OPENMP
void openmp_static(Pieces& pieces, int64_t count, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t i = 0; i < count; ++i) pieces.run(i);
}

void openmp_dynamic(Pieces& pieces, int64_t count, int threads) {
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t i = 0; i < count; ++i) pieces.run(i);
}

void openmp_tasks(Pieces& pieces, int64_t count, int threads) {
#pragma omp parallel num_threads(threads)
#pragma omp single
#pragma omp taskloop grainsize(1)
  for (int64_t i = 0; i < count; ++i) pieces.run(i);
}
#endif

#ifdef WITH_TBB
void tbb_parallel_for(Pieces& pieces, int64_t count, int threads) {
  static tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
  tbb::parallel_for(int64_t(0), count, [&](int64_t i) { pieces.run(i); });
}
#endif

struct Way {
  const char* name;
  Share share;
};

const std::vector<Way> ways = {
    {"one thread", one_thread},        {"softgrad's pool", pool},
#ifdef _OPENMP
    {"OpenMP, static", openmp_static}, {"OpenMP, dynamic", openmp_dynamic}, {"OpenMP, tasks", openmp_tasks},
#endif
#ifdef WITH_TBB
    {"oneTBB", tbb_parallel_for},
#endif
};

// --- processes ---

// Runs `body` in a child, which sends a number; NaN if it takes longer.
template <class Body>
double in_child(int seconds, Body body) {
  int ends[2];
  if (pipe(ends)) std::abort();
  pid_t child = fork();
  if (child == 0) {
    double result = body();
    _exit(write(ends[1], &result, sizeof result) != sizeof result);
  }
  double result = NAN;
  pollfd readable{ends[0], POLLIN, 0};
  if (poll(&readable, 1, seconds * 1000) == 1 && read(ends[0], &result, sizeof result) != sizeof result) result = NAN;
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ends[0]);
  close(ends[1]);
  return result;
}

struct Batch {
  int64_t count;
  int calls;
  bool pause;
};

// A process that runs batches of calls of one variant when asked to.
class Worker {
 public:
  Worker(const Way& way, int threads) {
    int to[2], from[2];
    if (pipe(to) || pipe(from)) std::abort();
    if ((process_ = fork()) == 0) serve(way.share, threads, to[0], from[1]);
    to_ = to[1];
    from_ = from[0];
  }

  std::vector<double> run(const Batch& batch) const {
    std::vector<double> times(batch.calls);
    char* at = reinterpret_cast<char*>(times.data());
    if (write(to_, &batch, sizeof batch) != sizeof batch) std::abort();
    for (size_t left = times.size() * sizeof(double); left;) {
      ssize_t got = read(from_, at, left);
      if (got <= 0) std::abort();
      at += got;
      left -= got;
    }
    usleep(5000);  // its threads go to sleep
    return times;
  }

  void end() const {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    close(to_);
    close(from_);
  }

 private:
  [[noreturn]] static void serve(Share share, int threads, int from, int to) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    Pieces pieces;
    Batch batch;
    while (read(from, &batch, sizeof batch) == sizeof batch) {
      std::vector<double> times;
      for (auto start = Clock::now(); !batch.pause && microseconds_since(start) < warm_up_microseconds;)
        share(pieces, batch.count, threads);
      for (int i = 0; i < batch.calls; ++i) {
        if (batch.pause) usleep(pause_microseconds);
        auto start = Clock::now();
        share(pieces, batch.count, threads);
        times.push_back(microseconds_since(start));
      }
      if (write(to, times.data(), times.size() * sizeof(double)) < 0) break;
    }
    _exit(0);
  }

  int to_, from_;
  pid_t process_;
};

// A process that keeps one CPU busy.
class BusyCpu {
 public:
  explicit BusyCpu(bool wanted) {
    if (!wanted || (child_ = fork())) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    cpu_set_t cpus, last;
    sched_getaffinity(0, sizeof cpus, &cpus);
    int cpu = CPU_SETSIZE - 1;
    while (!CPU_ISSET(cpu, &cpus)) --cpu;
    CPU_ZERO(&last);
    CPU_SET(cpu, &last);
    sched_setaffinity(0, sizeof last, &last);
    for (std::atomic<int> i = 0;;) i.fetch_add(1, std::memory_order_relaxed);
  }
  ~BusyCpu() {
    if (child_ == 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }

 private:
  pid_t child_ = 0;
};

// --- the tables ---

double quantile(std::vector<double> times, double part) {
  std::sort(times.begin(), times.end());
  return times[static_cast<size_t>(part * (times.size() - 1))];
}

void compare(const char* load, bool pause, int samples) {
  constexpr int64_t counts[] = {4, 16, 64, 256};
  struct Row {
    const Way* way;
    int threads;
    Worker worker;
    std::vector<double> times[std::size(counts)];
  };
  std::vector<Row> rows;
  for (const Way& way : ways)
    for (int threads : {1, 2})
      if (threads == 1 ? !pause || way.share == one_thread : way.share != one_thread)
        rows.push_back({&way, threads, Worker(way, threads), {}});
  const int calls = pause ? 5 : 20;
  for (int done = 0; done < samples; done += calls)
    for (size_t c = 0; c < std::size(counts); ++c)
      for (Row& row : rows) {
        std::vector<double> times = row.worker.run({counts[c], calls, pause});
        row.times[c].insert(row.times[c].end(), times.begin(), times.end());
      }
  for (const Row& row : rows) {
    std::printf("| %s, %s | %s | %d |", load, pause ? "after 10 ms" : "back to back", row.way->name, row.threads);
    for (size_t c = 0; c < std::size(counts); ++c) {
      double unit = row.way->share == one_thread ? 1 : quantile(rows[0].times[c], 0.5);
      double unit95 = row.way->share == one_thread ? 1 : quantile(rows[0].times[c], 0.95);
      const char* format = row.way->share == one_thread ? " %.0f / %.0f us |" : " %.2f / %.2f |";
      std::printf(format, quantile(row.times[c], 0.5) / unit, quantile(row.times[c], 0.95) / unit95);
    }
    std::printf("\n");
    row.worker.end();
  }
}

// Calls per second of `callers` threads, each of which shares its loops between two.
double throughput(Share share, int callers) {
  constexpr double seconds = 0.5;
  std::atomic<int> calls{0};
  std::vector<std::thread> running;
  auto start = Clock::now();
  for (int i = 0; i < callers; ++i)
    running.emplace_back([&] {
      for (Pieces pieces; microseconds_since(start) < 1e6 * seconds; ++calls) share(pieces, 64, 2);
    });
  for (std::thread& caller : running) caller.join();
  return calls / (microseconds_since(start) / 1e6);
}

double after_fork(Share share) {
  Pieces pieces;
  share(pieces, 64, 2);
  return in_child(5, [&] {
    share(pieces, 64, 2);
    return 1.0;
  });
}

void compare_threads() {
  std::printf("\nloops of 64 pieces a second, relative to a plain loop in one thread\n\n");
  std::printf("| two threads | 1 caller | 16 callers | in a forked child |\n|---|---|---|---|\n");
  double unit = in_child(10, [] { return throughput(one_thread, 1); });
  for (const Way& way : ways) {
    if (way.share == one_thread) continue;
    double one = in_child(10, [&] { return throughput(way.share, 1); });
    double sixteen = in_child(10, [&] { return throughput(way.share, 16); });
    double works = in_child(10, [&] { return after_fork(way.share); });
    std::printf("| %s | %.2f | %.2f | %s |\n", way.name, one / unit, sixteen / unit, works == 1 ? "works" : "hangs");
  }
}

}  // namespace

int main(int count, char** arguments) {
  std::string load = count > 1 ? arguments[1] : "";
  int samples = count > 2 ? std::atoi(arguments[2]) : 100;
  if (count > 3 || (count > 1 && load != "quiet" && load != "busy") || samples < 1) {
    std::fprintf(stderr, "usage: run [quiet | busy] [SAMPLES]\n");
    return 2;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
#ifndef _OPENMP
  std::printf("OpenMP is missing: the compiler has none\n");
#endif
#ifndef WITH_TBB
  std::printf("oneTBB is missing: pip install tbb-devel\n");
#endif
  calibrate();
  std::printf("median / 95th percentile, relative to one thread\n\n");
  std::printf("| load, calls | | threads | 4 pieces | 16 | 64 | 256 |\n|---|---|---|---|---|---|---|\n");
  for (const char* name : {"quiet", "busy"}) {
    if (!load.empty() && load != name) continue;
    BusyCpu busy(name == std::string("busy"));
    for (bool pause : {false, true}) compare(name, pause, samples);
  }
  if (load != "busy") compare_threads();
}
