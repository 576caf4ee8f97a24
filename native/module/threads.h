// How many threads a call may use. OpenMP runs them, so threadpoolctl and OMP_NUM_THREADS apply.
#pragma once

#include <cstdint>

namespace softgrad {

// The limit set by set_num_threads, else by SOFTGRAD_NUM_THREADS, else the CPUs this process may use.
int num_threads();
void set_num_threads(int n);

// Threads for a call that touches this many elements: one below a measured size, and in a forked
// child, where GNU OpenMP would wait forever for threads, whoever started them, that the fork did
// not copy.
int threads_for(int64_t elements);

// Which thread of the enclosing parallel region this is.
int thread_index();

}  // namespace softgrad
