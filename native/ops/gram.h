// Weighted Gram matrices of standardised rows, one for each class, upper triangles only:
//
//   G_k = Σ_n q_nk x̃_n x̃_nᵀ,  x̃ = (x - mean)/scale, followed by 1 for an intercept
//
// Rows of weight 0 take no time. Threads share the blocks of columns of all classes, and parts of the rows.
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
    int64_t size = args_.classes * columns_ * columns_, blocks = args_.classes * blocks_, parts = number_of_parts();
    Scratch sums((parts > 1 ? parts * size : 0) * sizeof(T));
    T* of_parts = reinterpret_cast<T*>(sums.data());
    Groups tasks(blocks * parts, 1);
    for_groups(tasks, (gram_chunk_rows * padded_ + width) * sizeof(T) + 64, args_.threads,
               [&](int64_t task, int64_t, int64_t, char* scratch) {
                 // The largest blocks first.
                 int64_t part = task % parts, block = task / parts;
                 T* grams = parts > 1 ? of_parts + part * size : static_cast<T*>(args_.grams);
                 Block b = {block % args_.classes, blocks_ - 1 - block / args_.classes};
                 if (parts > 1) clear(b, grams);
                 add_block(b, args_.rows * part / parts, args_.rows * (part + 1) / parts, grams,
                           reinterpret_cast<T*>(scratch));
               });
    if (parts > 1) add_parts(of_parts, parts);
  }

 private:
  // The columns of one block of the matrix of class k, down to the diagonal.
  struct Block {
    int64_t k, block;
  };

  int64_t depth_of(Block b) const { return b.block * width + left_of(columns_, b.block * width, width); }
  T* matrix(Block b, T* grams) const { return grams + b.k * columns_ * columns_; }

  int64_t number_of_parts() const {
    int64_t blocks = args_.classes * blocks_, size = args_.classes * columns_ * columns_;
    if (blocks == 0 || args_.rows == 0) return 1;
    int64_t parts = (gram_tasks + blocks - 1) / blocks;
    parts = left_of(most_part_elements / size, 0, parts);
    parts = left_of(args_.rows / least_part_rows, 0, parts);
    return parts < 1 ? 1 : parts;
  }

  void clear(Block b, T* grams) const {
    int64_t first = b.block * width;
    for (int64_t d = 0; d < depth_of(b); ++d)
      std::memset(matrix(b, grams) + d * columns_ + first, 0, (depth_of(b) - first) * sizeof(T));
  }

  // Adds rows first_row to end_row - 1.
  void add_block(Block b, int64_t first_row, int64_t end_row, T* grams, T* gathered) const {
    int64_t first = b.block * width, depth = depth_of(b);
    T* gram = matrix(b, grams);
    for (int64_t n = first_row; n < end_row;) {
      int64_t count = 0;
      for (; n < end_row && count < gram_chunk_rows; ++n) {
        double weight = args_.weights[n * args_.classes + b.k];
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

  // Adds the sums of the parts, of the upper triangles, to the result.
  void add_parts(const T* of_parts, int64_t parts) const {
    int64_t size = args_.classes * columns_ * columns_;
    int threads = parts * size < serial_below ? 1 : args_.threads;
    for_shared(args_.classes * columns_, threads, [&](int64_t row, int) {
      int64_t d = row % columns_;
      T* to = static_cast<T*>(args_.grams) + row * columns_ + d;
      const T* from = of_parts + row * columns_ + d;
      for_vectors<V>(columns_ - d, [&](int64_t c, auto lanes) {
        V sum = lanes.load(to + c, 0);
        for (int64_t part = 0; part < parts; ++part) sum = sum + lanes.load(from + part * size + c, 0);
        lanes.store(sum, to + c);
      });
    });
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
