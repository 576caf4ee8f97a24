// One pass over the rows x_n of a linear head: with logits W x_n + b and a function g of them,
//
//   Σ_n g_n x_nᵀ,  Σ_n g_n
//
//   gradient   g = s (M p - y), and the loss Σ s CE; p is kept if wanted
//   product    g = s p ∘ (u - pᵀu), u = V x + v: the Hessian, times (V, v)
//
// by chunks of rows that stay in the cache from the logits to the sums, so X is read from memory once. Sums over
// rows are double, in an order that the shape alone decides.
#pragma once

#include <type_traits>

#include "batches.h"
#include "cross_entropy_kernel.h"
#include "kernels.h"
#include "panel_product.h"
#include "softmax_kernel.h"

namespace softgrad::SOFTGRAD_ISA {

// The classes that one panel covers: `vectors` vectors, of which the last may reach past the last class.
struct PanelShape {
  int64_t first_class;
  int vectors;
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
    constexpr int64_t depth = 1024;  // beyond, sums of float lose digits and the panel leaves the cache
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

template <class V, class X>
class LinearHeadPass {
  using T = typename V::Scalar;
  static constexpr int W = V::lanes;
  static constexpr int largest_panel = 4;  // vectors

 public:
  explicit LinearHeadPass(const LinearHeadArguments& a)
      : a_(a), x_(a.x), features_(x_.features), vectors_((a.classes + W - 1) / W), step_(vectors_ * W) {
    int64_t row_bytes = features_ * sizeof(T);
    int64_t rows = (int64_t(1) << 18) / (row_bytes > 0 ? row_bytes : 1);
    chunk_ = rows < 32 ? 32 : rows > 256 ? 256 : rows / 32 * 32;
    int64_t chunks = (a.x.rows + chunk_ - 1) / chunk_;
    // A sum for each group: few where they would weigh much beside X.
    int64_t memory = X::bytes(a.x) / 64, least = int64_t(1) << 20;
    int64_t groups = (memory < least ? least : memory) / (sum_size() * int64_t(sizeof(double)));
    groups = groups < 2 ? 2 : groups > 64 ? 64 : groups > 8 ? groups / 8 * 8 : groups;
    if (groups > chunks) groups = chunks;
    int64_t chunks_in_group = groups ? (chunks + groups - 1) / groups : 1;
    groups_ = Groups(a.x.rows, chunks_in_group * chunk_);
  }

  double run() {
    Scratch panel(features_ * step_ * sizeof(T)), sums(groups_.count * sum_size() * sizeof(double));
    Scratch losses(groups_.count * sizeof(double));
    T* coefficients = reinterpret_cast<T*>(panel.data());
    double* totals = reinterpret_cast<double*>(sums.data());
    double* group_loss = reinterpret_cast<double*>(losses.data());
    pack(coefficients);
    for_groups(groups_, scratch_bytes(), a_.threads, [&](int64_t group, int64_t first, int64_t end, char* scratch) {
      double* total = totals + group * sum_size();
      std::memset(total, 0, sum_size() * sizeof(double));
      group_loss[group] = 0;
      for (; first < end; first += chunk_) {
        int count = static_cast<int>(left_of(end, first, chunk_));
        group_loss[group] += run_chunk(first, count, coefficients, total, scratch);
      }
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
    int panels = static_cast<int>((vectors_ + largest_panel - 1) / largest_panel);
    int64_t v = 0;
    for (int p = 0; p < panels; ++p) {
      int size = static_cast<int>((vectors_ - v + panels - p - 1) / (panels - p));
      body(PanelShape{v * W, size});
      v += size;
    }
  }

  template <class Body>
  static void with_size(int vectors, Body body) {
    if (vectors == 1) return body(std::integral_constant<int, 1>());
    if (vectors == 2) return body(std::integral_constant<int, 2>());
    if (vectors == 3) return body(std::integral_constant<int, 3>());
    return body(std::integral_constant<int, 4>());
  }

  // Wᵀ, one panel after the other; spare lanes are 0, and so are their logits and sums.
  void pack(T* coefficients) const {
    for_panels([&](PanelShape p) {
      T* panel = coefficients + p.first_class * features_;
      int width = p.vectors * W;
      for (int c = 0; c < width; ++c) {
        int64_t k = p.first_class + c;
        for (int64_t d = 0; d < features_; ++d)
          panel[d * width + c] = k < a_.classes ? static_cast<T>(a_.W[k * features_ + d]) : T(0);
      }
    });
  }

  double run_chunk(int64_t first, int count, const T* coefficients, double* total, char* scratch) const {
    T* logits = reinterpret_cast<T*>(scratch);
    T* packed = logits + chunk_ * step_;
    double* row_loss = reinterpret_cast<double*>(packed + chunk_ * step_);
    for (int i = 0; i < count; ++i)
      for (int64_t c = 0; c < step_; ++c) logits[i * step_ + c] = c < a_.classes ? static_cast<T>(a_.bias[c]) : T(0);
    for_panels([&](PanelShape p) {
      with_size(p.vectors, [&](auto size) {
        x_.template add_logits<V, size()>(first, count, coefficients + p.first_class * features_,
                                          logits + p.first_class, step_);
      });
    });
    double loss = 0;
    if (a_.product)
      multiply_jacobian(first, count, logits);
    else
      loss = gradient(first, count, logits, row_loss);
    for_panels([&](PanelShape p) {
      with_size(p.vectors, [&](auto size) { add_sums<size()>(p, first, count, logits, packed, total); });
    });
    return loss;
  }

  template <int vectors>
  void add_sums(PanelShape p, int64_t first, int count, const T* g, T* packed, double* total) const {
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

  Rows tile(T* data, int count) const { return matrix_rows(data, count, a_.classes, step_); }

  static Rows matrix_rows(const void* data, int64_t count, int64_t classes, int64_t step) {
    Rows rows;
    rows.data = static_cast<char*>(const_cast<void*>(data));
    rows.count = count;
    rows.classes = classes;
    rows.class_stride = sizeof(T);
    rows.outer_axes = 1;
    rows.outer_shape[0] = count;
    rows.outer_stride[0] = step * sizeof(T);
    return rows;
  }

  // Logits become s (M p - y).
  double gradient(int64_t first, int count, T* logits, double* row_loss) const {
    DType dtype = sizeof(T) == 4 ? DType::float32 : DType::float64;
    if (a_.probs) {
      T* probs = static_cast<T*>(a_.probs) + first * a_.classes;
      softmax_rows<V, T>({SoftmaxKind::softmax, dtype, tile(logits, count),
                          matrix_rows(probs, count, a_.classes, a_.classes), nullptr, 1});
    }
    CrossEntropyArguments e = {};
    e.dtype = dtype;
    e.logits = e.gradient = tile(logits, count);
    if (a_.labels) {
      e.targets.labels = a_.labels + first;
    } else {
      e.targets.probabilities = matrix_rows(a_.probabilities + first * a_.classes, count, a_.classes, a_.classes);
      e.targets.probabilities.class_stride = sizeof(double);
      e.targets.probabilities.outer_stride[0] = a_.classes * sizeof(double);
    }
    e.row_scale = a_.row_weight + first;
    e.spec = a_.spec;
    e.loss = row_loss;
    e.threads = 1;
    cross_entropy_rows<V, T>(e);
    double sum = 0;
    for (int i = 0; i < count; ++i)
      if (a_.row_weight[first + i] != 0)
        sum += a_.row_weight[first + i] * static_cast<double>(reinterpret_cast<T*>(row_loss)[i]);
    return sum;
  }

  // u becomes s p ∘ (u - pᵀu).
  void multiply_jacobian(int64_t first, int count, T* u) const {
    for (int i = 0; i < count; ++i) {
      const T* p = static_cast<const T*>(a_.probs) + (first + i) * a_.classes;
      T* of_u = u + i * step_;
      V dot(T(0));
      for_vectors<V>(a_.classes,
                     [&](int64_t c, auto lanes) { dot = multiply_add(lanes.load(p + c, 0), V::load(of_u + c), dot); });
      V mean(sum_of_lanes(dot)), weight(static_cast<T>(a_.row_weight[first + i]));
      for_vectors<V>(a_.classes, [&](int64_t c, auto lanes) {
        (weight * lanes.load(p + c, 0) * (V::load(of_u + c) - mean)).store(of_u + c);
      });
    }
  }

  static T sum_of_lanes(V x) {
    T lanes[W], sum = 0;
    x.store(lanes);
    for (T lane : lanes) sum += lane;
    return sum;
  }

  void write_sums(const double* totals) const {
    for_panels([&](PanelShape p) {
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

  const LinearHeadArguments& a_;
  X x_;
  int64_t features_, vectors_, step_, chunk_;
  Groups groups_;
};

template <class V>
inline double linear_head_pass(const LinearHeadArguments& a) {
  using T = typename V::Scalar;
  if (a.x.data == nullptr) return LinearHeadPass<V, DenseRows<T>>(a).run();
  if (a.x.wide_indices) return LinearHeadPass<V, SparseRows<T, int64_t>>(a).run();
  return LinearHeadPass<V, SparseRows<T, int32_t>>(a).run();
}

}  // namespace softgrad::SOFTGRAD_ISA
