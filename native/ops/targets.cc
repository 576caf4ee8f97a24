#include "ops/targets.h"

#include <atomic>
#include <cstring>
#include <limits>

#include "layout/work_sharing.h"

namespace softgrad {

namespace {

// The sum of the weights in double-double, by Knuth's TwoSum.
struct WeightSum {
  double sum = 0, error = 0;

  void add(double w) {
    double s = sum + w, t = s - sum;
    error += (sum - (s - t)) + (w - t);
    sum = s;
  }
};

}  // namespace

LabelSummary summarise_labels(const LossSpec& spec, const int64_t* labels, int64_t rows, int64_t classes,
                              const double* class_weight) {
  int64_t ignored = 0, bad = 0;
  for (int64_t i = 0; i < rows; ++i) {
    bool ignore = spec.has_ignore_index & (labels[i] == spec.ignore_index);
    ignored += ignore;
    bad += !ignore & (static_cast<uint64_t>(labels[i]) >= static_cast<uint64_t>(classes));
  }
  LabelSummary summary;
  summary.weight = static_cast<double>(rows - ignored);
  if (!bad && !class_weight) return summary;
  WeightSum sum;
  for (int64_t i = 0; i < rows; ++i) {
    int64_t label = __atomic_load_n(labels + i, __ATOMIC_RELAXED);  // another thread may change it
    if (spec.ignores(label)) continue;
    if (label < 0 || label >= classes) {
      summary.bad_row = i;
      return summary;
    }
    if (class_weight) sum.add(class_weight[label]);
  }
  if (class_weight) {
    summary.weight = sum.sum + sum.error;
    summary.rest = (sum.sum - summary.weight) + sum.error;
  }
  return summary;
}

namespace {

template <class T>
bool row_is_bad(const char* row, int64_t stride, int64_t n) {
  bool bad = false;
  if (stride == static_cast<int64_t>(sizeof(T))) {
    const T* q = reinterpret_cast<const T*>(row);
    for (int64_t i = 0; i < n; ++i) bad |= (q[i] < 0) | (q[i] == std::numeric_limits<T>::infinity());
    return bad;
  }
  for (int64_t i = 0; i < n; ++i) {
    T q;
    std::memcpy(&q, row + i * stride, sizeof q);
    bad |= (q < 0) | (q == std::numeric_limits<T>::infinity());
  }
  return bad;
}

}  // namespace

int64_t first_bad_probabilities(const Rows& probs, DType dtype, int threads) {
  std::atomic<int64_t> first = probs.count;
  for_shared(probs.count, threads, [&](int64_t i, int) {
    int64_t known = first.load(std::memory_order_relaxed);
    if (i >= known) return;
    bool bad = dtype == DType::float64 ? row_is_bad<double>(probs.row(i), probs.class_stride, probs.classes)
                                       : row_is_bad<float>(probs.row(i), probs.class_stride, probs.classes);
    while (bad && i < known && !first.compare_exchange_weak(known, i)) {
    }
  });
  return first == probs.count ? -1 : first.load();
}

namespace {

template <class T>
double row_sum(const char* row, int64_t stride, int64_t n, const double* class_weight) {
  WeightSum sum;
  for (int64_t i = 0; i < n; ++i) {
    T q;
    std::memcpy(&q, row + i * stride, sizeof q);
    sum.add(class_weight ? class_weight[i] * q : q);
  }
  return sum.sum + sum.error;
}

}  // namespace

void sum_probabilities(const Rows& probs, DType dtype, const double* class_weight, double* sums, int threads) {
  for_shared(probs.count, threads, [&](int64_t i, int) {
    sums[i] = dtype == DType::float64 ? row_sum<double>(probs.row(i), probs.class_stride, probs.classes, class_weight)
                                      : row_sum<float>(probs.row(i), probs.class_stride, probs.classes, class_weight);
  });
}

}  // namespace softgrad
