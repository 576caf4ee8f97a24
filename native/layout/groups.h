// Groups of rows, which threads share. The shape alone determines them, so the results of rows and the sums of groups
// are the same for every number of threads, bit for bit.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

#include "layout/rows.h"
#include "layout/tuning.h"
#include "layout/work_sharing.h"
#include "simd/lanes.h"

namespace softgrad::SOFTGRAD_ISA {

// Uninitialised memory on a cache-line boundary.
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

struct Groups {
  int64_t rows = 0, size = 1, count = 0;

  Groups() = default;
  Groups(int64_t all, int64_t in_group) : rows(all), size(in_group), count((all + in_group - 1) / in_group) {}

  Groups(const Rows& all, int capacity) {
    int64_t tiles = all.classes ? group_elements / (all.classes * capacity) : tiles_of_empty_rows;
    int64_t several_long_rows = left_of(all.count / groups_of_long_rows, 0, long_rows_in_group);
    rows = all.count;
    size = capacity * (tiles < 1 ? 1 : tiles);
    if (size < several_long_rows) size = several_long_rows;
    count = (rows + size - 1) / size;
  }
};

// Calls body(group, first, end, scratch) for every group, rows first to end - 1; the threads share the groups.
template <class Body>
inline void for_groups(const Groups& groups, int64_t scratch_bytes, int threads, Body body) {
  if (threads > groups.count) threads = groups.count < 1 ? 1 : static_cast<int>(groups.count);
  int64_t bytes = threads == 1 ? scratch_bytes : (scratch_bytes + page_bytes - 1) / page_bytes * page_bytes;
  Scratch scratch(bytes * threads);
  for_shared(groups.count, threads, [&](int64_t group, int thread) {
    int64_t first = group * groups.size, end = first + groups.size < groups.rows ? first + groups.size : groups.rows;
    body(group, first, end, scratch.data() + bytes * thread);
  });
}

}  // namespace softgrad::SOFTGRAD_ISA
