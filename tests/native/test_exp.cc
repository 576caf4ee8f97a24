// exp(z - m) alone. The kernel's results carry 2^64 (float32) or 2^512 (float64).
#include <algorithm>

#include "bounds.h"
#include "families.h"

namespace softgrad::native_tests {
namespace {

struct Range {
  DType dtype;
  double reach;      // z - m runs from -reach to 0, as native/math/exp.h states
  double vanishing;  // below -vanishing the result is 0
  int headroom;
  std::vector<double> maxima;  // on both sides of where z and m are shifted before they are reduced
};

const Range ranges[] = {
    {DType::float32, 104, 189 * 0.6931472, 64, {0, 3.7, -77.7, 511.9, 512.1, -511.9, -512.1, -1e4, 0x1p20}},
    {DType::float64, 745, 1533 * 0.69314718056, 512, {0, 3.7, -700.1, 4095.9, 4096.1, -4095.9, -4096.1, -1e6, 0x1p40}},
};

Error error_at(const Context& context, const Range& range, const std::vector<double>& z, double m) {
  int64_t n = static_cast<int64_t>(z.size());
  Array in(range.dtype, Layout::contiguous, 1, n), out(range.dtype, Layout::contiguous, 1, n);
  for (int64_t i = 0; i < n; ++i) in.set(0, i, z[i]);
  context.kernels.exp_difference(range.dtype, in.data(), m, out.data(), n);
  Error largest;
  for (int64_t i = 0; i < n; ++i) {
    Real exact = std::ldexp(std::exp(Real(in.get(0, i)) - m), range.headroom);
    Error error = error_of(out.get(0, i), exact, range.dtype);
    error.column = i;
    if (error.ulps >= largest.ulps) largest = error;
  }
  return largest;
}

void check(Context& context, const Range& range, const std::vector<double>& z, double m, const std::string& what) {
  constexpr size_t chunk = 1 << 16;
  for (size_t first = 0; first < z.size(); first += chunk) {
    std::vector<double> part(z.begin() + first, z.begin() + std::min(z.size(), first + chunk));
    Quantity quantity = m == 0 ? Quantity::exponential : Quantity::exponential_of_difference;
    check_error(context, quantity, range.dtype, error_at(context, range, part, m), what);
  }
}

// Logits below m, random ones; and m itself.
std::vector<double> below(const Range& range, double m, int64_t count) {
  Random random(1);
  std::vector<double> z = {m};
  for (int64_t i = 0; i < count; ++i) {
    double x = rounded_to(m - random.uniform() * range.reach, range.dtype);
    if (x <= m) z.push_back(x);
  }
  return z;
}

// The numbers around each multiple of log(2)/16: there the reduced argument is largest or changes its sign.
std::vector<double> around_the_steps(const Range& range) {
  std::vector<double> z;
  for (int k = 0; k * 0.0433216987849966 < range.reach; ++k) {
    double step = -k * 0.0433216987849966, unit = double(ulp(step, format_of(range.dtype)));
    for (int i = -3; i <= 3; ++i) {
      double x = rounded_to(step + i * unit, range.dtype);
      if (x <= 0 && x >= -range.reach) z.push_back(x);
    }
  }
  return z;
}

// One in `stride` of all the float32 in [-104, 0].
std::vector<double> every_float32(int64_t stride) {
  float reach = 104;
  uint32_t last;
  std::memcpy(&last, &reach, 4);
  std::vector<double> z;
  for (uint64_t bits = 0; bits <= last; bits += stride) {
    uint32_t narrow = static_cast<uint32_t>(bits);
    float x;
    std::memcpy(&x, &narrow, 4);
    z.push_back(-x);
  }
  return z;
}

void check_accuracy(Context& context) {
  for (const Range& range : ranges) {
    for (double m : range.maxima) {
      m = rounded_to(m, range.dtype);
      check(context, range, below(range, m, context.quick ? 2000 : 100000), m, text("m=%g", m));
    }
    check(context, range, around_the_steps(range), 0, "around the steps");
    Random random(2);
    for (int i = 0; i < (context.quick ? 5 : 100); ++i) {
      double m = rounded_to((2 * random.uniform() - 1) * 1.1 * range.maxima[3], range.dtype);
      check(context, range, below(range, m, 2000), m, text("m=%a", m));
    }
  }
  check(context, ranges[0], every_float32(context.quick ? 99991 : 997), 0, "float32 numbers at regular distances");
}

void check_special_values(Context& context) {
  for (const Range& range : ranges) {
    double lowest = range.dtype == DType::float32 ? -FLT_MAX : -DBL_MAX;
    double above = rounded_to(-range.vanishing * 0.999, range.dtype), under = -range.vanishing * 1.2;
    Matrix<double> z(1, 7);
    z.values = {0, -0.0, -INFINITY, lowest, under, above, NAN};
    Array in(range.dtype, Layout::contiguous, z), out(range.dtype, Layout::contiguous, 1, 7);
    context.kernels.exp_difference(range.dtype, in.data(), 0, out.data(), 7);
    const char* name = format_of(range.dtype).name;
    double one = std::ldexp(1.0, range.headroom);
    context.report.holds(out.get(0, 0) == one && out.get(0, 1) == one, text("%s: exp(0) is 1", name));
    context.report.holds(out.get(0, 2) == 0 && out.get(0, 3) == 0, text("%s: exp of the lowest is 0", name));
    context.report.holds(out.get(0, 4) == 0, text("%s: vanishes far beyond the headroom", name));
    context.report.holds(out.get(0, 5) > 0, text("%s: does not vanish before", name));
    context.report.holds(std::isnan(out.get(0, 6)), text("%s: NaN stays NaN", name));
  }
}

// Every length around the lane counts: the tail is written, and nothing beyond it.
void check_lengths(Context& context) {
  for (const Range& range : ranges)
    for (int64_t n = 1; n <= 35; ++n) check(context, range, below(range, 1.5, n - 1), 1.5, text("length %d", int(n)));
}

void check_exp(Context& context) {
  check_accuracy(context);
  check_special_values(context);
  check_lengths(context);
}

const Test test("exp", check_exp);

}  // namespace
}  // namespace softgrad::native_tests
