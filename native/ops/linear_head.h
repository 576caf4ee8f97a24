// One pass over the rows x_n of a linear head, for a function g of the logits W x_n + b:
//
//   Σ_n g_n x_nᵀ,  Σ_n g_n
//
//   GradientOfRows   g = s (M p - y), and the loss Σ s CE
//   HessianOfRows    g = s p ∘ (u - pᵀu), u = V x + v: the Hessian times (V, v)
//
// Chunks of rows stay in the cache from the logits to the sums, so that X is read from memory once. Sums are float
// within a chunk, double over the chunks of a leaf in their order, and double over the leaves by their tree.
#pragma once

#include "layout/tree_sum.h"
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
  static constexpr int64_t sum_block = 16;  // features whose sums are written at once: 8 KiB at most

 public:
  LinearHeadPass(const LinearHead& head, const Task& task, const X& x)
      : head_(head),
        task_(task),
        x_(x),
        features_(x_.features),
        panels_(head.W, head.bias, head.classes, features_),
        step_(panels_.step()) {
    int64_t rows = head_chunk_bytes / (features_ > 0 ? features_ * int64_t(sizeof(T)) : 1);
    for (chunk_ = most_chunk_rows; chunk_ > least_chunk_rows && chunk_ > rows;) chunk_ /= 2;
  }

  double run() {
    TreeSum tree(Groups(head_.x.rows, head_.leaf_rows), node_size(), threads());
    auto leaf = [&](int64_t, int64_t first, int64_t end, double* sums, char* scratch) {
      sum_rows(first, end, sums, scratch);
    };
    const double* sums = tree.run(scratch_bytes(), leaf);
    write_sums(sums);
    return sums ? sums[loss_at()] : 0;
  }

 private:
  // A node of the tree: sums over g x, panel after panel; then over g, and the loss.
  int64_t bias_at() const { return features_ * step_; }
  int64_t loss_at() const { return bias_at() + step_; }
  int64_t node_size() const { return loss_at() + F64::lanes; }
  int64_t scratch_bytes() const { return chunk_ * (2 * step_ * sizeof(T) + sizeof(double)) + 256; }

  // Fewer where the sums of each would be large beside X.
  int threads() const {
    int64_t most = X::bytes(head_.x) / share_of_sums / (node_size() * int64_t(sizeof(double)));
    if (most < least_threads_of_sums) most = least_threads_of_sums;
    return head_.threads < most ? head_.threads : static_cast<int>(most);
  }

  void sum_rows(int64_t first, int64_t end, double* sums, char* scratch) const {
    std::memset(sums + bias_at(), 0, (node_size() - bias_at()) * sizeof(double));
    for (int64_t n = first; n < end; n += chunk_)
      sums[loss_at()] += sum_chunk(n, static_cast<int>(left_of(end, n, chunk_)), n == first, sums, scratch);
  }

  // Returns the loss of the chunk. from_zero: the sums over g x are not set yet.
  double sum_chunk(int64_t first, int count, bool from_zero, double* sums, char* scratch) const {
    T* logits = reinterpret_cast<T*>(scratch);
    T* packed = logits + chunk_ * step_;
    T* row_loss = packed + chunk_ * step_;
    panels_.compute_logits(count, logits, [&](auto p, const T* panel, T* of_panel) {
      x_.template add_logits<V, p.vectors>(first, count, panel, of_panel, step_);
    });
    clear_absent(first, count, logits);
    double loss = task_.replace(first, count, logits, step_, row_loss);
    panels_.for_panels([&](auto p) { add_sums(p, first, count, from_zero, logits, packed, sums); });
    return loss;
  }

  // Clears the logits of rows of weight 0, which could overflow: 0 times infinity is NaN.
  void clear_absent(int64_t first, int count, T* logits) const {
    for (int i = 0; i < count; ++i)
      if (head_.row_weight[first + i] == 0) std::memset(logits + i * step_, 0, step_ * sizeof(T));
  }

  template <int vectors>
  void add_sums(Panel<vectors> p, int64_t first, int count, bool from_zero, const T* g, T* packed, double* sums) const {
    constexpr int width = vectors * W;
    double* of_g = sums + bias_at() + p.first_class;
    for (int i = 0; i < count; ++i)
      for (int v = 0; v < width; v += W) {
        V row = V::load(g + i * step_ + p.first_class + v);
        row.store(packed + i * width + v);
        add_to(of_g + v, row);
      }
    x_.template add_outer<V, vectors>(first, count, packed, sums + p.first_class * features_, from_zero);
  }

  // sums: nullptr if there are no rows.
  void write_sums(const double* sums) const {
    for (int64_t k = 0; k < head_.classes; ++k) head_.sum_bias[k] = sums ? sums[bias_at() + k] : 0;
    if (!sums) return void(std::memset(head_.sum_W, 0, head_.classes * features_ * sizeof(double)));
    int threads = loss_at() < serial_below ? 1 : head_.threads;
    panels_.for_panels([&](auto p) {
      int64_t blocks = (features_ + sum_block - 1) / sum_block;
      for_shared(blocks, threads, [&](int64_t block, int) { write_block(p, sums, block * sum_block); });
    });
  }

  // Writes the sums of some features.
  template <int vectors>
  void write_block(Panel<vectors> p, const double* sums, int64_t first) const {
    constexpr int width = vectors * W;
    int64_t end = first + left_of(features_, first, sum_block), classes = left_of(head_.classes, p.first_class, width);
    const double* of_panel = sums + p.first_class * features_;
    for (int64_t c = 0; c < classes; ++c)
      for (int64_t d = first; d < end; ++d) head_.sum_W[(p.first_class + c) * features_ + d] = of_panel[d * width + c];
  }

  const LinearHead& head_;
  Task task_;
  X x_;
  int64_t features_;
  HeadPanels<V> panels_;
  int64_t step_, chunk_;
};

template <class Task>
inline double linear_head_pass(const LinearHead& head, const Task& task) {
  return with_matrix<typename Task::T>(head.x,
                                       [&](auto x) { return LinearHeadPass<Task, decltype(x)>(head, task, x).run(); });
}

}  // namespace softgrad::SOFTGRAD_ISA
