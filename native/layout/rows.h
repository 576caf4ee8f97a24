// A strided array as rows along one axis.
#pragma once

#include <cstdint>

namespace softgrad {

struct Rows {
  static constexpr int max_outer_axes = 64;  // as many as NumPy allows

  char* data = nullptr;
  int64_t count = 0;         // rows
  int64_t classes = 0;       // elements in a row
  int64_t class_stride = 0;  // bytes between neighbours in a row
  int outer_axes = 0;        // the other axes, outermost first
  int64_t outer_shape[max_outer_axes];
  int64_t outer_stride[max_outer_axes];

  [[gnu::always_inline]] char* row(int64_t index) const {
    if (outer_axes == 1) return data + index * outer_stride[0];
    char* p = data;
    for (int axis = outer_axes - 1; axis >= 0; --axis) {
      p += (index % outer_shape[axis]) * outer_stride[axis];
      index /= outer_shape[axis];
    }
    return p;
  }

  // Bytes between neighbouring rows on the innermost outer axis.
  [[gnu::always_inline]] int64_t neighbour_stride() const { return outer_axes ? outer_stride[outer_axes - 1] : 0; }
};

}  // namespace softgrad
