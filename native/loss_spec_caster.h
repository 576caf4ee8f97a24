// softgrad._loss_spec.LossSpec, a frozen dataclass whose values have been checked, as the struct of the same name.
#pragma once

#include <nanobind/nanobind.h>

#include "loss_spec.h"

namespace nanobind::detail {

template <>
struct type_caster<softgrad::LossSpec> {
  NB_TYPE_CASTER(softgrad::LossSpec, const_name("softgrad._loss_spec.LossSpec"))

  bool from_python(handle spec, uint8_t, cleanup_list*) noexcept {
    object ignore_index;
    return read(spec, "reduction", value.reduction) && read(spec, "ignore_index", ignore_index) &&
           (ignore_index.is_none() || (value.has_ignore_index = try_cast(ignore_index, value.ignore_index))) &&
           read(spec, "label_smoothing", value.label_smoothing) && read(spec, "z_loss", value.z_loss);
  }

 private:
  template <class T>
  static bool read(handle spec, const char* name, T& to) {
    object attribute = getattr(spec, name, object());
    return attribute.is_valid() && try_cast(attribute, to);
  }
};

}  // namespace nanobind::detail
