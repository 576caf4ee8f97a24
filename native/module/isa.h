// The choice of the instruction set.
#pragma once

#include <string>
#include <vector>

#include "module/kernels.h"

namespace softgrad {

// The kernels that this machine can run, best first; "generic" is always the last.
std::vector<const Kernels*> supported_kernels();

// The kernels in use: the best, or those that the environment variable SOFTGRAD_ISA names.
// Throws std::invalid_argument if this machine cannot run them.
const Kernels& kernels_in_use();

void use_kernels(const std::string& name);

}  // namespace softgrad
