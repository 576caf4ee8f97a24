// log(1 + s), s >= 0: the kernel, and both functions of native/math/log1p.h, held to the relative errors that it
// states.
#include "bounds.h"
#include "elementary.h"
#include "families.h"

namespace softgrad::native_tests {
namespace {

constexpr double smallest_exact = 2 * DBL_MIN;  // below, halving s rounds it

struct Stated {
  const char* name;
  double relative_error;
};
constexpr double about = 1.5;  // the header says "about"
constexpr Stated in_two_parts = {"log1p in two parts, of 2^-58", 0x1p-58};
constexpr Stated plain = {"log1p in double, of 2^-47", 0x1p-47};

// From zero through the subnormals to the sums of 2^31 exponentials; around the binades, where the exponent changes.
std::vector<double> arguments(bool quick) {
  Random random(6);
  std::vector<double> s = {0, 5e-324, 1e-310, DBL_MIN, smallest_exact, 1e-300, 1, 0x1p31};
  int64_t many = quick ? 4000 : 200000;
  for (int64_t i = 0; i < many; ++i) s.push_back(std::pow(10, random.uniform() * 329 - 320));
  for (int64_t i = 0; i < many / 2; ++i) s.push_back(random.uniform() * 4);
  for (int e = 0; e <= 31; ++e)
    for (double mantissa : {1.0, 1.41421356237309515})
      for (int i = -4; i <= 4; ++i) {
        double u = mantissa * std::ldexp(1, e) * (1 + i * 0x1p-52);
        if (u >= 1) s.push_back(u - 1);
      }
  while (s.size() % 8) s.push_back(1);
  return s;
}

void check_kernel(Context& context, const std::vector<double>& s) {
  std::vector<double> out(s.size());
  context.kernels.log1p(s.data(), out.data(), static_cast<int64_t>(s.size()));
  Error normal, subnormal;
  for (size_t i = 0; i < s.size(); ++i) {
    Error error = error_of(out[i], std::log1p(Real(s[i])), DType::float64);
    Error& largest = s[i] < smallest_exact ? subnormal : normal;
    if (error.ulps >= largest.ulps) largest = error;
  }
  check_error(context, Quantity::log1p, DType::float64, normal, "normal numbers");
  context.report.within(subnormal, 1, "log1p, subnormal", "subnormal numbers");
}

// Relative errors in units of the one that the header states.
class RelativeError {
 public:
  explicit RelativeError(Stated stated) : stated_(stated) {}

  void add(Real got, Real exact) {
    double ratio = exact == 0 ? (got == 0 ? 0 : INFINITY)
                              : static_cast<double>(std::fabs(got / exact - 1)) / stated_.relative_error;
    if (!(ratio < largest_.ulps)) largest_ = {ratio, 0, 0, got, exact};
  }
  void report(Context& context) const { context.report.within(largest_, about, stated_.name, "relative error"); }

 private:
  Stated stated_;
  Error largest_;
};

void check_header(Context& context, const std::vector<double>& s) {
  const Elementary* functions = elementary_of(context.kernels.name);
  context.report.holds(functions != nullptr, "the header's functions are compiled for this set");
  if (!functions) return;
  Random random(7);
  int64_t n = static_cast<int64_t>(s.size());
  std::vector<double> rest(n), hi(n), lo(n), single(n);
  for (int64_t i = 0; i < n; ++i) rest[i] = s[i] * (random.uniform() - 0.5) * 0x1p-53;
  functions->log1p_in_two_parts(s.data(), rest.data(), hi.data(), lo.data(), n);
  functions->log1p_plain(s.data(), single.data(), n);
  RelativeError of_two(in_two_parts), of_one(plain);
  for (int64_t i = 0; i < n; ++i) {
    if (s[i] < 1e-290 && s[i] > 0) continue;  // the second part is subnormal
    of_two.add(Real(hi[i]) + lo[i], std::log1p(Real(s[i]) + rest[i]));
    of_one.add(single[i], std::log1p(Real(s[i])));
  }
  of_two.report(context);
  of_one.report(context);
}

void check_log1p(Context& context) {
  std::vector<double> s = arguments(context.quick);
  check_kernel(context, s);
  check_header(context, s);
}

const Test test("log1p", check_log1p);

}  // namespace
}  // namespace softgrad::native_tests
