// Converts LossSpec of Python, a frozen dataclass that has checked its values, to the struct of the same name.
#pragma once

#include <nanobind/nanobind.h>

#include "ops/loss_spec.h"

namespace nanobind::detail {

template <>
struct type_caster<softgrad::LossSpec> {
  NB_TYPE_CASTER(softgrad::LossSpec, const_name("softgrad._loss_spec.LossSpec"))

  // Keeps the last object, because most calls pass it again and reading its fields takes as long as a small loss.
  bool from_python(handle spec, uint8_t, cleanup_list*) noexcept {
    static PyObject* last = nullptr;
    static softgrad::LossSpec last_value;
    if (spec.ptr() != last) {
      softgrad::LossSpec read;
      if (!read_fields(spec, read)) return false;
      Py_XDECREF(last);
      last = spec.inc_ref().ptr();
      last_value = read;
    }
    value = last_value;
    return true;
  }

 private:
  static bool read_fields(handle spec, softgrad::LossSpec& out) noexcept {
    return out.read_fields([&](const char* name, auto& to, auto&... has) {
      object field = steal(PyObject_GetAttrString(spec.ptr(), name));
      if (!field.is_valid()) PyErr_Clear();
      if constexpr (sizeof...(has) > 0)
        if (field.is_none()) return true;
      return field.is_valid() && try_cast(field, to) && (... && (has = true));
    });
  }
};

}  // namespace nanobind::detail
