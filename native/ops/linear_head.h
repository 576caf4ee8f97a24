// One pass over the rows x_n of a linear head, for a function g of the logits W x_n + b:
//
//   Σ_n g_n x_nᵀ,  Σ_n g_n
//
//   GradientOfRows   g = s (M p - y), and the loss Σ s CE
//   HessianOfRows    g = s p ∘ (u - pᵀu), u = V x + v: the Hessian times (V, v)
//
// Chunks of rows stay in the cache from the logits to the sums, so that X is read from memory once. Sums over rows are
// double, in an order that depends on the shape alone.
#pragma once

#include "layout/groups.h"
#include "ops/cross_entropy.h"
#include "ops/design_matrix.h"
#include "ops/head_panels.h"
#include "ops/softmax.h"

namespace softgrad::SOFTGRAD_ISA {

// Logits, `step` elements from row to row, become s (M p - y).
template <class Vector>
struct GradientOfRows {
  using V = Vector;
  using T = typename V::Scalar;
  const LinearHeadGradientArguments& args;

  // Returns Σ s CE of the chunk; row_loss: memory for the losses of its rows.
  double replace(int64_t first, int count, T* logits, int64_t step, T* row_loss) const {
    Rows tile = matrix_rows(logits, count, args.head.classes, step);
    if (args.probs) keep_softmax(tile, first);
    cross_entropy_rows<V, T>(cross_entropy(tile, first, row_loss));
    const double* weight = args.head.row_weight + first;
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += weight[i] * static_cast<double>(row_loss[i]);
    return sum;
  }

 private:
  void keep_softmax(const Rows& tile, int64_t first) const {
    int64_t classes = args.head.classes;
    Rows probs = matrix_rows(static_cast<T*>(args.probs) + first * classes, tile.count, classes, classes);
    softmax_rows<V, T>({SoftmaxKind::softmax, args.head.dtype, tile, probs, nullptr, 1});
  }

  CrossEntropyArguments cross_entropy(const Rows& tile, int64_t first, T* row_loss) const {
    int64_t classes = args.head.classes;
    CrossEntropyArguments e = {};
    e.dtype = args.head.dtype;
    e.logits = e.gradient = tile;
    if (args.labels)
      e.targets.labels = args.labels + first;
    else
      e.targets.probabilities = matrix_rows(args.probabilities + first * classes, tile.count, classes, classes);
    e.row_scale = args.head.row_weight + first;
    e.spec = args.spec;
    e.loss = row_loss;
    e.threads = 1;
    return e;
  }
};

// u, `step` elements from row to row, becomes s p ∘ (u - pᵀu).
template <class Vector>
struct HessianOfRows {
  using V = Vector;
  using T = typename V::Scalar;
  const LinearHeadHvpArguments& args;

  double replace(int64_t first, int count, T* u, int64_t step, T*) const {
    int64_t classes = args.head.classes;
    for (int i = 0; i < count; ++i)
      multiply_row(static_cast<const T*>(args.probs) + (first + i) * classes, args.head.row_weight[first + i],
                   u + i * step);
    return 0;
  }

 private:
  // Spare lanes of u are 0.
  void multiply_row(const T* p, double row_weight, T* u) const {
    V dot(T(0));
    for_vectors<V>(args.head.classes,
                   [&](int64_t c, auto lanes) { dot = multiply_add(lanes.load(p + c, 0), V::load(u + c), dot); });
    V mean(sum_of_lanes(dot)), weight(static_cast<T>(row_weight));
    for_vectors<V>(args.head.classes, [&](int64_t c, auto lanes) {
      (weight * lanes.load(p + c, 0) * (V::load(u + c) - mean)).store(u + c);
    });
  }
};

// Task: GradientOfRows or HessianOfRows.
template <class Task, class X>
class LinearHeadPass {
  using V = typename Task::V;
  using T = typename V::Scalar;
  static constexpr int W = V::lanes;
  static constexpr int64_t sum_block = 16;  // features whose sums are added at once: 8 KiB at most

 public:
  LinearHeadPass(const LinearHead& head, const Task& task, const X& x)
      : head_(head),
        task_(task),
        x_(x),
        features_(x_.features),
        panels_(head.W, head.bias, head.classes, features_),
        step_(panels_.step()) {
    int64_t row_bytes = features_ * sizeof(T);
    int64_t rows = head_chunk_bytes / (row_bytes > 0 ? row_bytes : 1);
    chunk_ = rows < least_chunk_rows  ? least_chunk_rows
             : rows > most_chunk_rows ? most_chunk_rows
                                      : rows / least_chunk_rows * least_chunk_rows;
    int64_t chunks = (head_.x.rows + chunk_ - 1) / chunk_;
    // Each group has sums of its own: fewer groups if the sums would be large beside X.
    int64_t memory = X::bytes(head_.x) / share_of_sums;
    int64_t groups = (memory < least_sum_bytes ? least_sum_bytes : memory) / (sum_size() * int64_t(sizeof(double)));
    groups = groups < least_groups  ? least_groups
             : groups > most_groups ? most_groups
             : groups > 8           ? groups / 8 * 8
                                    : groups;
    if (groups > chunks) groups = chunks;
    int64_t chunks_in_group = groups ? (chunks + groups - 1) / groups : 1;
    groups_ = Groups(head_.x.rows, chunks_in_group * chunk_);
  }

  double run() {
    Scratch sums(groups_.count * sum_size() * sizeof(double)), losses(groups_.count * sizeof(double));
    double* totals = reinterpret_cast<double*>(sums.data());
    double* group_loss = reinterpret_cast<double*>(losses.data());
    for_groups(groups_, scratch_bytes(), head_.threads, [&](int64_t group, int64_t first, int64_t end, char* scratch) {
      group_loss[group] = sum_rows(first, end, totals + group * sum_size(), scratch);
    });
    write_sums(totals);
    double loss = 0;
    for (int64_t g = 0; g < groups_.count; ++g) loss += group_loss[g];
    return loss;
  }

 private:
  int64_t sum_size() const { return (features_ + 1) * step_; }  // the last row is Σ g
  int64_t scratch_bytes() const { return chunk_ * (2 * step_ * sizeof(T) + sizeof(double)) + 256; }

  // Returns the loss of rows first to end - 1.
  double sum_rows(int64_t first, int64_t end, double* total, char* scratch) const {
    std::memset(total, 0, sum_size() * sizeof(double));
    double loss = 0;
    for (; first < end; first += chunk_)
      loss += sum_chunk(first, static_cast<int>(left_of(end, first, chunk_)), total, scratch);
    return loss;
  }

  double sum_chunk(int64_t first, int count, double* total, char* scratch) const {
    T* logits = reinterpret_cast<T*>(scratch);
    T* packed = logits + chunk_ * step_;
    T* row_loss = packed + chunk_ * step_;
    panels_.compute_logits(count, logits, [&](auto p, const T* panel, T* of_panel) {
      x_.template add_logits<V, p.vectors>(first, count, panel, of_panel, step_);
    });
    clear_absent(first, count, logits);
    double loss = task_.replace(first, count, logits, step_, row_loss);
    panels_.for_panels([&](auto p) { add_sums(p, first, count, logits, packed, total); });
    return loss;
  }

  // Clears the logits of rows of weight 0, which could overflow: 0 times infinity is NaN.
  void clear_absent(int64_t first, int count, T* logits) const {
    for (int i = 0; i < count; ++i)
      if (head_.row_weight[first + i] == 0) std::memset(logits + i * step_, 0, step_ * sizeof(T));
  }

  template <int vectors>
  void add_sums(Panel<vectors> p, int64_t first, int count, const T* g, T* packed, double* total) const {
    constexpr int width = vectors * W;
    double* of_g = total + step_ * features_ + p.first_class;
    for (int i = 0; i < count; ++i)
      for (int v = 0; v < width; v += W) {
        V row = V::load(g + i * step_ + p.first_class + v);
        row.store(packed + i * width + v);
        add_to(of_g + v, row);
      }
    x_.template add_outer<V, vectors>(first, count, packed, total + p.first_class * features_);
  }

  void write_sums(const double* totals) const {
    int threads = groups_.count * sum_size() < serial_below ? 1 : head_.threads;
    panels_.for_panels([&](auto p) {
      int64_t blocks = (features_ + sum_block - 1) / sum_block;
      for_shared(blocks, threads, [&](int64_t block, int) { write_block(p, totals, block * sum_block); });
    });
    for (int64_t k = 0; k < head_.classes; ++k) {
      head_.sum_bias[k] = 0;
      for (int64_t g = 0; g < groups_.count; ++g) head_.sum_bias[k] += totals[g * sum_size() + step_ * features_ + k];
    }
  }

  // Adds the groups' sums of some features.
  template <int vectors>
  void write_block(Panel<vectors> p, const double* totals, int64_t first) const {
    constexpr int width = vectors * W;
    int64_t count = left_of(features_, first, sum_block), classes = left_of(head_.classes, p.first_class, width);
    double sum[sum_block * width] = {};
    for (int64_t g = 0; g < groups_.count; ++g) {
      const double* total = totals + g * sum_size() + p.first_class * features_ + first * width;
      for (int64_t i = 0; i < count * width; ++i) sum[i] += total[i];
    }
    for (int64_t c = 0; c < classes; ++c)
      for (int64_t d = 0; d < count; ++d) head_.sum_W[(p.first_class + c) * features_ + first + d] = sum[d * width + c];
  }

  const LinearHead& head_;
  Task task_;
  X x_;
  int64_t features_;
  HeadPanels<V> panels_;
  int64_t step_, chunk_;
  Groups groups_;
};

template <class Task>
inline double linear_head_pass(const LinearHead& head, const Task& task) {
  return with_matrix<typename Task::T>(head.x,
                                       [&](auto x) { return LinearHeadPass<Task, decltype(x)>(head, task, x).run(); });
}

}  // namespace softgrad::SOFTGRAD_ISA
