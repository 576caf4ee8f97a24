// The number of threads of a call.
#pragma once

#include <cstdint>

namespace softgrad {

// The limit: that of set_num_threads, or else the CPUs on which the calling thread may run, at most set_cpu_limit.
int num_threads();
void set_num_threads(int n);  // 0: the default
bool has_default_threads();
void set_cpu_limit(int cpus);

// The threads for a call on this many elements: one for small calls.
int threads_for(int64_t elements);

}  // namespace softgrad
