// The instruction sets compiled in, and the one in use.
#pragma once

#include <string>
#include <vector>

#include "module/kernels.h"

namespace softgrad {

// The sets that this machine can run, best first; "generic" is always the last.
std::vector<const Kernels*> supported_kernels();

// The set in use: the best one, or the one that the environment variable SOFTGRAD_ISA names.
// Throws std::invalid_argument if this machine cannot run that one.
const Kernels& kernels_in_use();

void use_kernels(const std::string& name);

}  // namespace softgrad
