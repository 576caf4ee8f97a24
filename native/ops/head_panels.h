// The coefficients W and the bias of a linear head in panels of a few vectors of classes, for products with rows.
#pragma once

#include "layout/groups.h"
#include "simd/vec.h"

namespace softgrad::SOFTGRAD_ISA {

// `vectors` vectors of classes; the last one may have spare lanes.
template <int panel_vectors>
struct Panel {
  static constexpr int vectors = panel_vectors;
  int64_t first_class;
};

template <class V>
class HeadPanels {
  using T = typename V::Scalar;
  static constexpr int W = V::lanes;
  static constexpr int largest_panel = 4;  // vectors

 public:
  // coefficients: (classes, features).
  HeadPanels(const double* coefficients, const double* bias, int64_t classes, int64_t features)
      : bias_(bias),
        classes_(classes),
        features_(features),
        vectors_((classes + W - 1) / W),
        packed_(features * step() * sizeof(T)) {
    pack(coefficients);
  }

  int64_t step() const { return vectors_ * W; }  // classes with spare lanes: from row to row of logits

  // Calls body(panel) for panels of as many vectors as the registers can hold.
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

  // logits(i, c) = bias(c) + Σ_d x(row i, d) W(c, d); add(panel, its coefficients, logits) adds the products.
  template <class Add>
  void compute_logits(int count, T* logits, Add add) const {
    for (int i = 0; i < count; ++i)
      for (int64_t c = 0; c < step(); ++c) logits[i * step() + c] = c < classes_ ? static_cast<T>(bias_[c]) : T(0);
    for_panels([&](auto p) { add(p, panels() + p.first_class * features_, logits + p.first_class); });
  }

 private:
  T* panels() const { return reinterpret_cast<T*>(packed_.data()); }

  // Wᵀ, panel after panel. Spare lanes are 0, and so are their logits and sums.
  void pack(const double* coefficients) {
    for_panels([&](auto p) {
      T* panel = panels() + p.first_class * features_;
      int width = p.vectors * W;
      for (int c = 0; c < width; ++c) {
        int64_t k = p.first_class + c;
        for (int64_t d = 0; d < features_; ++d)
          panel[d * width + c] = k < classes_ ? static_cast<T>(coefficients[k * features_ + d]) : T(0);
      }
    });
  }

  const double* bias_;
  int64_t classes_, features_, vectors_;
  Scratch packed_;
};

}  // namespace softgrad::SOFTGRAD_ISA
