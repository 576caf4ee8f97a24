// Sums over the leaves of a fixed binary tree, each leaf a group of consecutive rows:
//
//   node(0, k) = leaf k,   node(l, k) = node(l - 1, 2k) + node(l - 1, 2k + 1), or the left one alone where it is the
//   last
//
// The sum is the root. The order of additions thus depends on the number of leaves alone, not on the threads, and the
// sum over an aligned run of 2^l leaves is a node: other calls can compute it, on other machines too.
//
// A node waits for its neighbour; the thread that completes the second of the two adds them. So a thread that takes
// leaf after leaf has as many nodes as a stack of partial sums: at most one for each level, and the one in work.
#pragma once

#include "layout/groups.h"
#include "simd/vec.h"

namespace softgrad::SOFTGRAD_ISA {

class TreeSum {
 public:
  // size: the number of sums in a node, a multiple of F64::lanes.
  TreeSum(const Groups& leaves, int64_t size, int threads)
      : leaves_(leaves),
        size_(size),
        bytes_((size * int64_t(sizeof(double)) + cache_line - 1) / cache_line * cache_line),
        places_(most_nodes(leaves.count, threads)),
        threads_(threads),
        nodes_(places_ * bytes_),
        taken_(places_),
        waiting_(leaves.count * int64_t(sizeof(double*))) {
    std::memset(taken_.data(), 0, places_);
    std::memset(waiting_.data(), 0, leaves.count * sizeof(double*));
  }

  // Calls leaf(k, first, end, sums, scratch), which writes the sums of leaf k, rows first to end - 1. Returns the root,
  // or nullptr if there are no leaves.
  template <class Leaf>
  const double* run(int64_t scratch_bytes, Leaf leaf) {
    for_groups(leaves_, scratch_bytes, threads_, [&](int64_t k, int64_t first, int64_t end, char* scratch) {
      double* sums = take_place();
      leaf(k, first, end, sums, scratch);
      add_leaf(k, sums);
    });
    return root_;
  }

 private:
  // Nodes at a time. One that waits has a neighbour with leaves that are not summed yet. Those are a run of leaves for
  // each range and each batch of a thread (work_sharing.cc), and at each end of a run one node of every level waits.
  static int64_t most_nodes(int64_t leaves, int threads) {
    int64_t levels = 1;
    for (int64_t nodes = leaves; nodes > 1; nodes = (nodes + 1) / 2) ++levels;
    return left_of(leaves, 0, 4 * levels * threads);
  }

  void add_leaf(int64_t k, double* sums) {
    // Where the first of two neighbours waits, level after level.
    double** pairs = reinterpret_cast<double**>(waiting_.data());
    for (int64_t nodes = leaves_.count; nodes > 1; k /= 2, pairs += nodes / 2, nodes = (nodes + 1) / 2) {
      if (k == nodes - 1 && nodes % 2 == 1) continue;
      double* neighbour = __atomic_exchange_n(pairs + k / 2, sums, __ATOMIC_ACQ_REL);
      if (!neighbour) return;
      // In either order: addition commutes.
      for (int64_t i = 0; i < size_; i += F64::lanes) (F64::load(sums + i) + F64::load(neighbour + i)).store(sums + i);
      leave_place(neighbour);
    }
    root_ = sums;
  }

  // The first free one, so that memory beyond those in use is never touched.
  double* take_place() {
    for (int64_t i = 0;; i = i + 1 < places_ ? i + 1 : 0)
      if (__atomic_exchange_n(taken_.data() + i, char(1), __ATOMIC_ACQUIRE) == 0)
        return reinterpret_cast<double*>(nodes_.data() + i * bytes_);
  }

  void leave_place(double* node) {
    int64_t place = (reinterpret_cast<char*>(node) - nodes_.data()) / bytes_;
    __atomic_store_n(taken_.data() + place, char(0), __ATOMIC_RELEASE);
  }

  Groups leaves_;
  int64_t size_, bytes_, places_;
  int threads_;
  Scratch nodes_, taken_, waiting_;
  double* root_ = nullptr;
};

}  // namespace softgrad::SOFTGRAD_ISA
