// softgrad._loss_spec.LossSpec, a frozen dataclass whose values have been checked, as the struct of the same name.
#pragma once

#include <nanobind/nanobind.h>

#include "loss_spec.h"

namespace nanobind::detail {

template <>
struct type_caster<softgrad::LossSpec> {
  NB_TYPE_CASTER(softgrad::LossSpec, const_name("softgrad._loss_spec.LossSpec"))

  bool from_python(handle spec, uint8_t, cleanup_list*) noexcept {
    // Names are made once: that would take longer than the rest of a small call.
    static PyObject* names[16] = {};
    int count = 0;
    return value.read_fields([&](const char* name, auto& to, auto&... has) {
      PyObject*& text = names[count++];
      if (!text) text = PyUnicode_InternFromString(name);
      object field = steal(PyObject_GetAttr(spec.ptr(), text));
      if (!field.is_valid()) PyErr_Clear();
      if constexpr (sizeof...(has) > 0)
        if (field.is_none()) return true;
      return field.is_valid() && try_cast(field, to) && (... && (has = true));
    });
  }
};

}  // namespace nanobind::detail
