// The number of threads of a call. They are OpenMP's, so threadpoolctl and OMP_NUM_THREADS apply.
#pragma once

#include <cstdint>

namespace softgrad {

// The limit: that of set_num_threads, else SOFTGRAD_NUM_THREADS, else the number of CPUs this process may use.
int num_threads();
void set_num_threads(int n);

// The threads for a call on this many elements: one for small calls, inside a parallel region, and in a forked child,
// where GNU OpenMP would wait forever for threads that exist only in the parent.
int threads_for(int64_t elements);

}  // namespace softgrad
