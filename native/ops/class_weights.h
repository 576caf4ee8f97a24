// The weights m p_k (1 - p_k) of rows in the diagonal blocks of the Hessian, p the softmax of W x + b.
#pragma once

#include "ops/design_matrix.h"
#include "ops/head_panels.h"
#include "ops/softmax.h"

namespace softgrad::SOFTGRAD_ISA {

template <class V, class X>
class ClassWeights {
  using T = typename V::Scalar;

 public:
  ClassWeights(const ClassWeightArguments& args, const X& x)
      : args_(args), x_(x), panels_(args.W, args.bias, args.classes, x_.features) {}

  void run() {
    int64_t row_bytes = x_.features * sizeof(T), rows = head_chunk_bytes / (row_bytes > 0 ? row_bytes : 1);
    rows = rows < least_weight_rows ? least_weight_rows : rows > gram_chunk_rows ? gram_chunk_rows : rows;
    int64_t logits_size = rows * panels_.step();
    for_groups(Groups(args_.rows, rows), (logits_size + x_.gathered_elements(rows)) * sizeof(T), args_.threads,
               [&](int64_t, int64_t first, int64_t end, char* scratch) {
                 T* logits = reinterpret_cast<T*>(scratch);
                 weigh(first, static_cast<int>(end - first), logits, logits + logits_size);
               });
  }

 private:
  void weigh(int64_t first, int count, T* logits, T* gathered) const {
    const int64_t* index = args_.index + first;
    x_.gather(index, count, gathered);
    panels_.compute_logits(count, logits, [&](auto p, const T* panel, T* of_panel) {
      x_.template add_logits_of<V, p.vectors>(index, count, gathered, panel, of_panel, panels_.step());
    });
    Rows rows = matrix_rows(logits, count, args_.classes, panels_.step());
    softmax_rows<V, T>({SoftmaxKind::softmax, args_.dtype, rows, rows, nullptr, 1});
    for (int i = 0; i < count; ++i)
      for (int64_t k = 0; k < args_.classes; ++k) {
        double p = static_cast<double>(logits[i * panels_.step() + k]);
        args_.weights[(first + i) * args_.classes + k] = args_.mass[first + i] * p * (1 - p);
      }
  }

  const ClassWeightArguments& args_;
  X x_;
  HeadPanels<V> panels_;
};

template <class V>
inline void class_weights_in(const ClassWeightArguments& args) {
  with_matrix<typename V::Scalar>(args.x, [&](auto x) { ClassWeights<V, decltype(x)>(args, x).run(); });
}

}  // namespace softgrad::SOFTGRAD_ISA
