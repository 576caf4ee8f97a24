// Sums over the leaves of a fixed binary tree, each leaf a group of consecutive rows:
//
//   node(0, k) = leaf k,   node(l, k) = node(l - 1, 2k) + node(l - 1, 2k + 1), or the left one alone where it is the
//   last
//
// The sum is the root. The order of additions thus depends on the number of leaves alone, not on the threads, and the
// sum over an aligned run of 2^l leaves is a node: other calls can compute it, on other machines too.
//
// Threads take the leaves one after the other. A node waits for its neighbour; the thread that computes the second of
// the two adds them. So there are at most as many nodes at a time as threads, times the height of the tree, and seldom
// more than their sum.
#pragma once

#include "layout/groups.h"
#include "simd/vec.h"

namespace softgrad::SOFTGRAD_ISA {

class TreeSum {
 public:
  // size: the number of sums in a node, a multiple of F64::lanes.
  TreeSum(const Groups& leaves, int64_t size)
      : leaves_(leaves), size_(size), waiting_(leaves.count * int64_t(sizeof(double*))) {
    std::memset(waiting_.data(), 0, leaves.count * sizeof(double*));
  }
  ~TreeSum() {
    for (int64_t pair = 0; pair < leaves_.count; ++pair) std::free(pairs()[pair]);
    for (double* node : spare_) std::free(node);
    std::free(root_);
  }
  TreeSum(const TreeSum&) = delete;
  TreeSum& operator=(const TreeSum&) = delete;

  // Calls leaf(k, first, end, sums, scratch), which writes the sums of leaf k, rows first to end - 1. Returns the root,
  // or nullptr if there are no leaves.
  template <class Leaf>
  const double* run(int64_t scratch_bytes, int threads, Leaf leaf) {
    for_groups(leaves_, scratch_bytes, threads, [&](int64_t k, int64_t first, int64_t end, char* scratch) {
      double* sums = take_memory();
      leaf(k, first, end, sums, scratch);
      add_leaf(k, sums);
    });
    return root_;
  }

 private:
  static constexpr int most_spare = 64;

  // Where the first of two neighbours waits, level after level.
  double** pairs() const { return reinterpret_cast<double**>(waiting_.data()); }

  void add_leaf(int64_t k, double* sums) {
    double** level = pairs();
    for (int64_t nodes = leaves_.count; nodes > 1; k /= 2, level += nodes / 2, nodes = (nodes + 1) / 2) {
      if (k == nodes - 1 && nodes % 2 == 1) continue;
      double* neighbour = __atomic_exchange_n(level + k / 2, sums, __ATOMIC_ACQ_REL);
      if (!neighbour) return;
      level[k / 2] = nullptr;
      // In either order: addition commutes.
      for (int64_t i = 0; i < size_; i += F64::lanes) (F64::load(sums + i) + F64::load(neighbour + i)).store(sums + i);
      keep_memory(neighbour);
    }
    root_ = sums;
  }

  double* take_memory() {
    for (double*& place : spare_)
      if (double* node = __atomic_exchange_n(&place, nullptr, __ATOMIC_ACQ_REL)) return node;
    return reinterpret_cast<double*>(Scratch(size_ * int64_t(sizeof(double))).release());
  }

  void keep_memory(double* node) {
    for (double*& place : spare_) {
      double* none = nullptr;
      if (__atomic_compare_exchange_n(&place, &none, node, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return;
    }
    std::free(node);
  }

  Groups leaves_;
  int64_t size_;
  Scratch waiting_;
  double* spare_[most_spare] = {};
  double* root_ = nullptr;
};

}  // namespace softgrad::SOFTGRAD_ISA
