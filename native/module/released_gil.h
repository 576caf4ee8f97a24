// Releases Python's lock during a call of a kernel.
#pragma once

#include <Python.h>

#include <chrono>
#include <thread>

namespace softgrad {

// As Python ends, it ends daemon threads that ask for the lock by unwinding their stack, and nanobind's functions,
// which must not throw, then abort the process. Such a thread sleeps instead until the process ends, as from
// Python 3.14 on.
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
