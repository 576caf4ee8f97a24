// The options of the loss; LossSpec in src/softgrad/_loss_spec.py, which checks them, is the same struct.
#pragma once

#include <cstdint>

namespace softgrad {

enum class Reduction : int { mean, sum, none };

struct LossSpec {
  Reduction reduction = Reduction::mean;
  bool has_ignore_index = false;
  int64_t ignore_index = 0;
  double label_smoothing = 0;
  double z_loss = 0;

  // Calls read(name in Python, field), for an optional field read(name, value, has value).
  template <class Read>
  bool read_fields(Read read) {
    return read("reduction", reduction) && read("ignore_index", ignore_index, has_ignore_index) &&
           read("label_smoothing", label_smoothing) && read("z_loss", z_loss);
  }

  [[gnu::always_inline]] bool ignores(int64_t label) const { return has_ignore_index && label == ignore_index; }
};

}  // namespace softgrad
