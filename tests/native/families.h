// Families of logits on which the accuracy contract is held; tests/families.py has the same ones in Python.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "arrays.h"

namespace softgrad::native_tests {

struct Family {
  std::string name;
  Matrix<double> logits;  // numbers of the element type
};

// Random numbers that are the same in every run.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  double normal() { return normal_(engine_); }
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  int64_t below(int64_t n) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(n)); }

 private:
  std::mt19937_64 engine_;
  std::normal_distribution<double> normal_;
};

Matrix<double> normal_matrix(DType dtype, int64_t rows, int64_t columns, double scale, double offset = 0,
                             uint64_t seed = 0);

// Class probabilities whose rows need not sum to one, with zeros among them.
Matrix<double> soft_targets(DType dtype, int64_t rows, int64_t classes, uint64_t seed = 9);

std::vector<Family> families(DType dtype, bool quick);

enum class LabelKind { random, right, wrong };
inline constexpr LabelKind label_kinds[] = {LabelKind::random, LabelKind::right, LabelKind::wrong};
const char* name_of(LabelKind kind);

// Random labels, those of the largest logits, or those of the smallest finite ones.
std::vector<int64_t> labels_of(const Matrix<double>& logits, LabelKind kind, uint64_t seed = 3);

}  // namespace softgrad::native_tests
