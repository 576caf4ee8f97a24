// Releases Python's lock during a call of a kernel.
#pragma once

#include <Python.h>

#include <chrono>
#include <thread>

namespace softgrad {

// While Python shuts down, before version 3.14, a daemon thread that asks for the lock is ended by unwinding its stack,
// and nanobind's functions, which must not throw, then abort the process. Such a thread sleeps instead until the
// process ends, as in Python 3.14.
class ReleasedGil {
 public:
  ReleasedGil() : thread_(PyEval_SaveThread()) {}
  ~ReleasedGil() {
    try {
      PyEval_RestoreThread(thread_);
    } catch (...) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;

 private:
  PyThreadState* thread_;
};

}  // namespace softgrad
