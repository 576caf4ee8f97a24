// softgrad._loss_spec.LossSpec, a frozen dataclass whose values have been checked, as the struct of the same name.
#pragma once

#include <nanobind/nanobind.h>

#include "loss_spec.h"

namespace nanobind::detail {

template <>
struct type_caster<softgrad::LossSpec> {
  NB_TYPE_CASTER(softgrad::LossSpec, const_name("softgrad._loss_spec.LossSpec"))

  bool from_python(handle spec, uint8_t, cleanup_list*) noexcept {
    static Field reduction("reduction"), ignore_index("ignore_index"), label_smoothing("label_smoothing"),
        z_loss("z_loss");
    object ignored;
    return reduction.read(spec, value.reduction) && ignore_index.read(spec, ignored) &&
           (ignored.is_none() || (value.has_ignore_index = try_cast(ignored, value.ignore_index))) &&
           label_smoothing.read(spec, value.label_smoothing) && z_loss.read(spec, value.z_loss);
  }

 private:
  // Its name is made once; that would take longer than the rest of a small call.
  struct Field {
    PyObject* text;

    explicit Field(const char* name) : text(PyUnicode_InternFromString(name)) {}

    template <class T>
    bool read(handle spec, T& to) const {
      object field = steal(PyObject_GetAttr(spec.ptr(), text));
      if (!field.is_valid()) PyErr_Clear();
      return field.is_valid() && try_cast(field, to);
    }
  };
};

}  // namespace nanobind::detail
