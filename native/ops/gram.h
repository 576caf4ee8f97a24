// Weighted Gram matrices of standardised rows, one for each class, upper triangles only:
//
//   G_k = Σ_n q_nk x̃_n x̃_nᵀ,  x̃ = (x - mean)/scale, followed by 1 for an intercept
//
// Rows of weight 0 take no time.
#pragma once

#include "layout/groups.h"
#include "ops/design_matrix.h"

namespace softgrad::SOFTGRAD_ISA {

template <class V, class X>
class WeightedGram {
  using T = typename V::Scalar;
  static constexpr int vectors = 4;
  static constexpr int width = vectors * V::lanes;  // columns of a block

 public:
  WeightedGram(const GramArguments& args, const X& x)
      : args_(args),
        x_(x),
        columns_(x_.features + args.intercept),
        padded_((columns_ + width - 1) / width * width),
        blocks_(padded_ / width) {}

  void run() {
    Groups one_each(args_.classes * blocks_, 1);
    for_groups(one_each, (gram_chunk_rows * padded_ + width) * sizeof(T) + 64, args_.threads,
               [&](int64_t task, int64_t, int64_t, char* scratch) {
                 // The largest blocks first.
                 int64_t block = blocks_ - 1 - task / args_.classes;
                 add_block(task % args_.classes, block, reinterpret_cast<T*>(scratch));
               });
  }

 private:
  // The columns of one block of the matrix of class k, down to the diagonal.
  void add_block(int64_t k, int64_t block, T* gathered) const {
    int64_t first = block * width, depth = first + width < columns_ ? first + width : columns_;
    T* gram = static_cast<T*>(args_.grams) + k * columns_ * columns_;
    for (int64_t n = 0; n < args_.rows;) {
      int64_t count = 0;
      for (; n < args_.rows && count < gram_chunk_rows; ++n) {
        double weight = args_.weights[n * args_.classes + k];
        if (weight > 0)
          gather(args_.index[n], static_cast<T>(__builtin_sqrt(weight)), depth, gathered + count++ * padded_);
      }
      Matrix<T> transposed{reinterpret_cast<const char*>(gathered), int64_t(sizeof(T)), padded_ * int64_t(sizeof(T))};
      panel_product<V, vectors>(transposed, 0, depth, count, gathered + first, padded_, [&](int64_t d, const V* sum) {
        T* to = gram + d * columns_ + first;
        for_vectors<V>(left_of(columns_, first, width),
                       [&](int64_t c, auto lanes) { lanes.store(lanes.load(to + c, 0) + sum[c / V::lanes], to + c); });
      });
    }
  }

  // Row n, standardised and times root, followed by zeros.
  void gather(int64_t n, T root, int64_t depth, T* to) const {
    int64_t depth_end = (depth + width - 1) / width * width;
    int64_t features = depth < x_.features ? depth : x_.features;
    x_.copy_row(n, features, to);
    const T* mean = static_cast<const T*>(args_.mean);
    const T* inverse_scale = static_cast<const T*>(args_.inverse_scale);
    for (int64_t d = 0; d < features; ++d) to[d] = (to[d] - mean[d]) * inverse_scale[d] * root;
    for (int64_t d = features; d < depth_end; ++d) to[d] = 0;
    if (args_.intercept && depth == columns_) to[columns_ - 1] = root;
  }

  const GramArguments& args_;
  X x_;
  int64_t columns_, padded_, blocks_;
};

template <class V>
inline void weighted_grams_in(const GramArguments& args) {
  with_matrix<typename V::Scalar>(args.x, [&](auto x) { WeightedGram<V, decltype(x)>(args, x).run(); });
}

}  // namespace softgrad::SOFTGRAD_ISA
