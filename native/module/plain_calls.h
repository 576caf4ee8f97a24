// Calls with plain arguments: NumPy arrays that the kernels can use as they are, and the default options. They bypass
// the checks in src/softgrad/_validation.py, which take longer than the kernels on a small array.
#pragma once

#include <nanobind/nanobind.h>

namespace softgrad {

// Adds functions named try_... to the module. They return None, and write nothing, for any other arguments: only the
// checks in Python convert and reject.
void define_plain_calls(nanobind::module_& m);

}  // namespace softgrad
