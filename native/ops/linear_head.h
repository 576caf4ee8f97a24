// One pass over the rows x_n of a linear head: with logits W x_n + b and a function g of them,
//
//   Σ_n g_n x_nᵀ,  Σ_n g_n
//
//   GradientOfRows   g = s (M p - y), and the loss Σ s CE; p is kept if wanted
//   HessianOfRows    g = s p ∘ (u - pᵀu), u = V x + v: the Hessian, times (V, v)
//
// by chunks of rows that stay in the cache from the logits to the sums, so X is read from memory once. Sums over
// rows are double, in an order that the shape alone decides.
#pragma once

#include "layout/groups.h"
#include "ops/cross_entropy.h"
#include "module/kernels.h"
#include "ops/panel_product.h"
#include "ops/softmax.h"

namespace softgrad::SOFTGRAD_ISA {

// The classes that one panel covers: `vectors` vectors, of which the last may reach past the last class.
template <int panel_vectors>
struct Panel {
  static constexpr int vectors = panel_vectors;
  int64_t first_class;
};

template <class T>
struct DenseRows {
  Matrix<T> x;
  int64_t features;

  explicit DenseRows(const DesignMatrix& m)
      : x{m.dense.data, m.dense.neighbour_stride(), m.dense.class_stride}, features(m.features) {}

  static int64_t bytes(const DesignMatrix& m) { return m.rows * m.features * int64_t(sizeof(T)); }

  // The first n entries of a row.
  void copy_row(int64_t row, int64_t n, T* to) const {
    if (x.column_stride == int64_t(sizeof(T)))
      std::memcpy(to, x.at(row, 0), n * sizeof(T));
    else
      for (int64_t d = 0; d < n; ++d) to[d] = *reinterpret_cast<const T*>(x.at(row, d));
  }

  // logits(i, c) += Σ_d x(first + i, d) panel(d, c)
  template <class V, int vectors>
  void add_logits(int64_t first, int count, const T* panel, T* logits, int64_t step) const {
    constexpr int64_t depth = product_depth;
    for (int64_t d = 0; d < features; d += depth) {
      Matrix<T> part{x.at(first, d), x.row_stride, x.column_stride};
      int64_t n = left_of(features, d, depth);
      constexpr int width = vectors * V::lanes;
      panel_product<V, vectors>(part, 0, count, n, panel + d * width, width, [&](int64_t i, const V* sum) {
        T* to = logits + i * step;
        for (int v = 0; v < vectors; ++v) (V::load(to + v * V::lanes) + sum[v]).store(to + v * V::lanes);
      });
    }
  }

  // total(d, c) += Σ_i x(first + i, d) g(i, c)
  template <class V, int vectors>
  void add_outer(int64_t first, int count, const T* g, double* total) const {
    Matrix<T> transposed{x.at(first, 0), x.column_stride, x.row_stride, count * x.row_stride};
    panel_product<V, vectors>(transposed, 0, features, count, g, vectors * V::lanes, [&](int64_t d, const V* sum) {
      for (int v = 0; v < vectors; ++v) add_to(total + (d * vectors + v) * V::lanes, sum[v]);
    });
  }
};

// Compressed sparse rows.
template <class T, class Index>
struct SparseRows {
  const T* data;
  const Index* indices;
  const Index* starts;
  int64_t features;

  explicit SparseRows(const DesignMatrix& m)
      : data(static_cast<const T*>(m.data)),
        indices(static_cast<const Index*>(m.indices)),
        starts(static_cast<const Index*>(m.starts)),
        features(m.features) {}

  static int64_t bytes(const DesignMatrix& m) { return m.entries * int64_t(sizeof(T) + sizeof(Index)); }

  void copy_row(int64_t row, int64_t n, T* to) const {
    for (int64_t d = 0; d < n; ++d) to[d] = 0;
    for (int64_t e = starts[row]; e < starts[row + 1]; ++e)
      if (indices[e] < n) to[indices[e]] += data[e];
  }

  template <class V, int vectors>
  void add_logits(int64_t first, int count, const T* panel, T* logits, int64_t step) const {
    for (int i = 0; i < count; ++i) {
      T* to = logits + i * step;
      V sum[vectors];
      for (int v = 0; v < vectors; ++v) sum[v] = V::load(to + v * V::lanes);
      for (int64_t e = starts[first + i]; e < starts[first + i + 1]; ++e) {
        const T* w = panel + int64_t(indices[e]) * vectors * V::lanes;
        for (int v = 0; v < vectors; ++v) sum[v] = multiply_add(V(data[e]), V::load(w + v * V::lanes), sum[v]);
      }
      for (int v = 0; v < vectors; ++v) sum[v].store(to + v * V::lanes);
    }
  }

  template <class V, int vectors>
  void add_outer(int64_t first, int count, const T* g, double* total) const {
    constexpr int width = vectors * V::lanes;
    for (int i = 0; i < count; ++i)
      for (int64_t e = starts[first + i]; e < starts[first + i + 1]; ++e) {
        double* to = total + int64_t(indices[e]) * width;
        F64 x(static_cast<double>(data[e]));
        for (int c = 0; c < width; c += F64::lanes)
          multiply_add(x, F64::load(g + i * width + c), F64::load(to + c)).store(to + c);
      }
  }
};

// Rows of a matrix in row-major order, `step` elements apart.
template <class T>
inline Rows matrix_rows(const T* data, int64_t count, int64_t classes, int64_t step) {
  Rows rows;
  rows.data = reinterpret_cast<char*>(const_cast<T*>(data));
  rows.count = count;
  rows.classes = classes;
  rows.class_stride = sizeof(T);
  rows.outer_axes = 1;
  rows.outer_shape[0] = count;
  rows.outer_stride[0] = step * sizeof(T);
  return rows;
}

// Logits, `step` elements from row to row, become s (M p - y).
template <class Vector>
struct GradientOfRows {
  using V = Vector;
  using T = typename V::Scalar;
  const LinearHeadGradientArguments& a;

  // Returns Σ s CE of the chunk; row_loss has room for a number for each of its rows.
  double replace(int64_t first, int count, T* logits, int64_t step, T* row_loss) const {
    Rows tile = matrix_rows(logits, count, a.head.classes, step);
    if (a.probs) keep_softmax(tile, first);
    cross_entropy_rows<V, T>(cross_entropy(tile, first, row_loss));
    const double* weight = a.head.row_weight + first;
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += weight[i] * static_cast<double>(row_loss[i]);
    return sum;
  }

 private:
  void keep_softmax(const Rows& tile, int64_t first) const {
    int64_t classes = a.head.classes;
    Rows probs = matrix_rows(static_cast<T*>(a.probs) + first * classes, tile.count, classes, classes);
    softmax_rows<V, T>({SoftmaxKind::softmax, a.head.dtype, tile, probs, nullptr, 1});
  }

  CrossEntropyArguments cross_entropy(const Rows& tile, int64_t first, T* row_loss) const {
    int64_t classes = a.head.classes;
    CrossEntropyArguments e = {};
    e.dtype = a.head.dtype;
    e.logits = e.gradient = tile;
    if (a.labels)
      e.targets.labels = a.labels + first;
    else
      e.targets.probabilities = matrix_rows(a.probabilities + first * classes, tile.count, classes, classes);
    e.row_scale = a.head.row_weight + first;
    e.spec = a.spec;
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
  const LinearHeadHvpArguments& a;

  double replace(int64_t first, int count, T* u, int64_t step, T*) const {
    int64_t classes = a.head.classes;
    for (int i = 0; i < count; ++i)
      multiply_row(static_cast<const T*>(a.probs) + (first + i) * classes, a.head.row_weight[first + i], u + i * step);
    return 0;
  }

 private:
  // Spare lanes of u are 0.
  void multiply_row(const T* p, double row_weight, T* u) const {
    V dot(T(0));
    for_vectors<V>(a.head.classes,
                   [&](int64_t c, auto lanes) { dot = multiply_add(lanes.load(p + c, 0), V::load(u + c), dot); });
    V mean(sum_of_lanes(dot)), weight(static_cast<T>(row_weight));
    for_vectors<V>(a.head.classes, [&](int64_t c, auto lanes) {
      (weight * lanes.load(p + c, 0) * (V::load(u + c) - mean)).store(u + c);
    });
  }

  static T sum_of_lanes(V x) {
    T lanes[V::lanes], sum = 0;
    x.store(lanes);
    for (T lane : lanes) sum += lane;
    return sum;
  }
};

// Task: GradientOfRows or HessianOfRows.
template <class Task, class X>
class LinearHeadPass {
  using V = typename Task::V;
  using T = typename V::Scalar;
  static constexpr int W = V::lanes;
  static constexpr int largest_panel = 4;  // vectors

 public:
  LinearHeadPass(const LinearHead& head, const Task& task)
      : a_(head),
        task_(task),
        x_(head.x),
        features_(x_.features),
        vectors_((head.classes + W - 1) / W),
        step_(vectors_ * W) {
    int64_t row_bytes = features_ * sizeof(T);
    int64_t rows = head_chunk_bytes / (row_bytes > 0 ? row_bytes : 1);
    chunk_ = rows < least_chunk_rows  ? least_chunk_rows
             : rows > most_chunk_rows ? most_chunk_rows
                                      : rows / least_chunk_rows * least_chunk_rows;
    int64_t chunks = (a_.x.rows + chunk_ - 1) / chunk_;
    // A sum for each group: few where they would weigh much beside X.
    int64_t memory = X::bytes(a_.x) / share_of_sums;
    int64_t groups = (memory < least_sum_bytes ? least_sum_bytes : memory) / (sum_size() * int64_t(sizeof(double)));
    groups = groups < least_groups  ? least_groups
             : groups > most_groups ? most_groups
             : groups > 8           ? groups / 8 * 8
                                    : groups;
    if (groups > chunks) groups = chunks;
    int64_t chunks_in_group = groups ? (chunks + groups - 1) / groups : 1;
    groups_ = Groups(a_.x.rows, chunks_in_group * chunk_);
  }

  double run() {
    Scratch panel(features_ * step_ * sizeof(T)), sums(groups_.count * sum_size() * sizeof(double));
    Scratch losses(groups_.count * sizeof(double));
    T* coefficients = reinterpret_cast<T*>(panel.data());
    double* totals = reinterpret_cast<double*>(sums.data());
    double* group_loss = reinterpret_cast<double*>(losses.data());
    pack(coefficients);
    for_groups(groups_, scratch_bytes(), a_.threads, [&](int64_t group, int64_t first, int64_t end, char* scratch) {
      group_loss[group] = sum_rows(first, end, coefficients, totals + group * sum_size(), scratch);
    });
    write_sums(totals);
    double loss = 0;
    for (int64_t g = 0; g < groups_.count; ++g) loss += group_loss[g];
    return loss;
  }

 private:
  int64_t sum_size() const { return (features_ + 1) * step_; }  // the last row sums g itself
  int64_t scratch_bytes() const { return chunk_ * (2 * step_ * sizeof(T) + sizeof(double)) + 256; }

  // body(panel), with as many vectors of classes each as the registers take.
  template <class Body>
  void for_panels(Body body) const {
    int64_t panels = (vectors_ + largest_panel - 1) / largest_panel, v = 0;
    for (int64_t p = 0; p < panels; ++p) {
      int64_t size = (vectors_ - v + panels - p - 1) / (panels - p);
      if (size == 1) body(Panel<1>{v * W});
      if (size == 2) body(Panel<2>{v * W});
      if (size == 3) body(Panel<3>{v * W});
      if (size == 4) body(Panel<4>{v * W});
      v += size;
    }
  }

  // Wᵀ, one panel after the other; spare lanes are 0, and so are their logits and sums.
  void pack(T* coefficients) const {
    for_panels([&](auto p) {
      T* panel = coefficients + p.first_class * features_;
      int width = p.vectors * W;
      for (int c = 0; c < width; ++c) {
        int64_t k = p.first_class + c;
        for (int64_t d = 0; d < features_; ++d)
          panel[d * width + c] = k < a_.classes ? static_cast<T>(a_.W[k * features_ + d]) : T(0);
      }
    });
  }

  // Returns the loss of rows first to end - 1.
  double sum_rows(int64_t first, int64_t end, const T* coefficients, double* total, char* scratch) const {
    std::memset(total, 0, sum_size() * sizeof(double));
    double loss = 0;
    for (; first < end; first += chunk_)
      loss += sum_chunk(first, static_cast<int>(left_of(end, first, chunk_)), coefficients, total, scratch);
    return loss;
  }

  double sum_chunk(int64_t first, int count, const T* coefficients, double* total, char* scratch) const {
    T* logits = reinterpret_cast<T*>(scratch);
    T* packed = logits + chunk_ * step_;
    T* row_loss = packed + chunk_ * step_;
    for (int i = 0; i < count; ++i)
      for (int64_t c = 0; c < step_; ++c) logits[i * step_ + c] = c < a_.classes ? static_cast<T>(a_.bias[c]) : T(0);
    for_panels([&](auto p) {
      const T* panel = coefficients + p.first_class * features_;
      x_.template add_logits<V, p.vectors>(first, count, panel, logits + p.first_class, step_);
    });
    clear_absent(first, count, logits);
    double loss = task_.replace(first, count, logits, step_, row_loss);
    for_panels([&](auto p) { add_sums(p, first, count, logits, packed, total); });
    return loss;
  }

  // Rows of weight 0 count as absent: their logits may overflow, and 0 times infinity is no 0.
  void clear_absent(int64_t first, int count, T* logits) const {
    for (int i = 0; i < count; ++i)
      if (a_.row_weight[first + i] == 0) std::memset(logits + i * step_, 0, step_ * sizeof(T));
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
    for_panels([&](auto p) {
      int width = p.vectors * W;
      int64_t classes = left_of(a_.classes, p.first_class, width);
#pragma omp parallel for num_threads(a_.threads) if (a_.threads > 1)
      for (int64_t d = 0; d <= features_; ++d) {
        int64_t from = d < features_ ? p.first_class * features_ + d * width : step_ * features_ + p.first_class;
        for (int64_t c = 0; c < classes; ++c) {
          double sum = 0;
          for (int64_t g = 0; g < groups_.count; ++g) sum += totals[g * sum_size() + from + c];
          int64_t k = p.first_class + c;
          (d < features_ ? a_.sum_W[k * features_ + d] : a_.sum_bias[k]) = sum;
        }
      }
    });
  }

  const LinearHead& a_;
  Task task_;
  X x_;
  int64_t features_, vectors_, step_, chunk_;
  Groups groups_;
};

template <class Task>
inline double linear_head_pass(const LinearHead& head, const Task& task) {
  using T = typename Task::T;
  if (head.x.data == nullptr) return LinearHeadPass<Task, DenseRows<T>>(head, task).run();
  if (head.x.wide_indices) return LinearHeadPass<Task, SparseRows<T, int64_t>>(head, task).run();
  return LinearHeadPass<Task, SparseRows<T, int32_t>>(head, task).run();
}

}  // namespace softgrad::SOFTGRAD_ISA
