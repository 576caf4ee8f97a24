// Loops that several threads share. The calling thread works through the whole loop unless others take pieces of it in
// time: it never waits for a thread that the system does not run, except to finish the piece that it has begun.
#pragma once

#include <cstdint>

namespace softgrad {

// Calls run(body, i, thread) for i = 0 to count - 1, on up to `threads` threads; see for_shared.
struct SharedLoop {
  int64_t count;
  int threads;
  void (*run)(const void* body, int64_t i, int thread);
  const void* body;
};
void share(const SharedLoop& loop);

// Shares loops even where that has not paid lately; for tests.
void share_always(bool always);

// Calls body(i, thread) for i = 0 to count - 1. The threads have numbers below `threads`, each of its own; the caller's
// is 0. Calls in flight at the same time divide the threads. Rethrows the first exception of the body.
template <class Body>
[[gnu::always_inline]] inline void for_shared(int64_t count, int threads, const Body& body) {
  if (threads > 1 && count > 1) {
    auto run = [](const void* of, int64_t i, int thread) { (*static_cast<const Body*>(of))(i, thread); };
    return share({count, threads, run, &body});
  }
  for (int64_t i = 0; i < count; ++i) body(i, 0);
}

}  // namespace softgrad
