// Runs a body over all rows, in groups of rows that are fixed by the shape alone:
// whatever the thread count, every row and every group's sum comes out the same, bit for bit.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

#include "layout/batch_statistics.h"
#include "module/threads.h"
#include "layout/tuning.h"

namespace softgrad::SOFTGRAD_ISA {

// Uninitialised memory on cache-line boundaries.
class Scratch {
 public:
  explicit Scratch(int64_t bytes)
      : data_(static_cast<char*>(
            std::aligned_alloc(cache_line, (bytes + cache_line - 1) / cache_line * cache_line + cache_line))) {
    if (!data_) throw std::bad_alloc();
  }
  ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  char* data() const { return data_; }

 private:
  char* data_;
};

// How rows are divided: a property of the shape, never of the thread count.
struct Groups {
  int64_t rows = 0, size = 1, count = 0;

  Groups() = default;
  Groups(int64_t all, int64_t in_group) : rows(all), size(in_group), count((all + in_group - 1) / in_group) {}

  Groups(const Rows& all, int capacity) {
    int64_t batches = all.classes ? group_elements / (all.classes * capacity) : batches_of_empty_rows;
    int64_t several_long_rows = left_of(all.count / groups_of_long_rows, 0, long_rows_in_group);
    rows = all.count;
    size = capacity * (batches < 1 ? 1 : batches);
    if (size < several_long_rows) size = several_long_rows;
    count = (rows + size - 1) / size;
  }
};

// body(group, first, end, scratch): rows first to end - 1, the groups shared out among threads.
template <class Body>
inline void for_groups(const Groups& groups, int64_t scratch_bytes, int threads, Body body) {
  if (threads > groups.count) threads = groups.count < 1 ? 1 : static_cast<int>(groups.count);
  int64_t bytes = threads == 1 ? scratch_bytes : (scratch_bytes + page_bytes - 1) / page_bytes * page_bytes;
  Scratch scratch(bytes * threads);
  auto run_group = [&](int64_t group, char* mine) {
    int64_t end = (group + 1) * groups.size < groups.rows ? (group + 1) * groups.size : groups.rows;
    body(group, group * groups.size, end, mine);
  };
  if (threads == 1) {
    for (int64_t group = 0; group < groups.count; ++group) run_group(group, scratch.data());
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    char* mine = scratch.data() + bytes * thread_index();
#pragma omp for schedule(static)
    for (int64_t group = 0; group < groups.count; ++group) run_group(group, mine);
    store_fence();
  }
}

}  // namespace softgrad::SOFTGRAD_ISA
