// a·exp(-d) of native/math/multiply_exp.h, which brings the sums of a block to the row's maximum, held to the relative
// error that it states.
//
// The exact results are sums of two long doubles, to about 2^-110: the Taylor series of exp(-d/2^14), squared 14 times,
// without a reduction by log(2).
#include "elementary.h"
#include "families.h"
#include "oracle.h"

namespace softgrad::native_tests {
namespace {

constexpr double stated = 0x1p-95;
constexpr double about = 1.5;          // the header says "about"
constexpr double vanishes = 1416;      // the distance from which on the result is 0
constexpr double smallest = 0x1p-960;  // of results whose second part is a normal number

TwoReals normalised(Real hi, Real lo) {
  Real sum = hi + lo;
  return {sum, lo - (sum - hi)};
}

TwoReals product(TwoReals a, TwoReals b) {
  Real hi = a.hi * b.hi;
  return normalised(hi, std::fma(a.hi, b.hi, -hi) + (a.hi * b.lo + a.lo * b.hi));
}

TwoReals sum(TwoReals a, TwoReals b) {
  TwoReals s = exact_sum(a.hi, b.hi);
  return normalised(s.hi, s.lo + (a.lo + b.lo));
}

TwoReals divided(TwoReals a, Real b) {
  Real q = a.hi / b;
  return normalised(q, (std::fma(-q, b, a.hi) + a.lo) / b);
}

TwoReals exact_exp_of_negative(TwoReals distance) {
  constexpr int halvings = 14, degree = 20;
  TwoReals x = {std::ldexp(-distance.hi, -halvings), std::ldexp(-distance.lo, -halvings)}, power = {1, 0};
  for (int k = degree; k > 0; --k) power = sum(divided(product(power, x), k), {1, 0});
  for (int i = 0; i < halvings; ++i) power = product(power, power);
  return power;
}

struct Arguments {
  std::vector<double> a_hi, a_lo, distance_hi, distance_lo;

  void add(double a, double distance, Random& random) {
    a_hi.push_back(a);
    a_lo.push_back(a * (random.uniform() - 0.5) * 0x1p-53);
    distance_hi.push_back(distance);
    distance_lo.push_back(distance * (random.uniform() - 0.5) * 0x1p-53);
  }
  int64_t count() const { return static_cast<int64_t>(a_hi.size()); }
};

// Random distances, and those around the multiples of log(2)/2, where the reduction takes the next one.
Arguments arguments(bool quick) {
  Arguments all;
  Random random(51);
  const double factors[] = {1, 0x1.8p512, 0x1.3p543, 0x1p-300, 0x1p1020};
  auto add = [&](double distance) { all.add(factors[all.count() % 5], distance, random); };
  for (double distance : {0.0, 1e-300, 1e-20, 1.0, 700.0, 745.2, 1415.99, 1416.0, 1500.0}) add(distance);
  for (int i = 0; i < (quick ? 300 : 20000); ++i) add(random.uniform() * 1500);
  for (int i = 0; i < (quick ? 50 : 2000); ++i) add(std::pow(10, random.uniform() * 20 - 20));
  for (int k = 1; k < 4000; k += quick ? 97 : 1)
    for (int i = -1; i <= 1; ++i) add(k * 0.34657359027997264 * (1 + i * 0x1p-52));
  return all;
}

// Where second parts are subnormal, the smallest double counts too; from a distance on, there is nothing left.
class MultiplyExpErrors {
 public:
  void add(Real a_hi, Real a_lo, TwoReals distance, double hi, double lo) {
    TwoReals exact = product({a_hi, a_lo}, exact_exp_of_negative(distance));
    Real off = std::fabs((hi - exact.hi) + (lo - exact.lo));
    bool gone = distance.hi >= vanishes;
    if (gone)
      far_are_zero = far_are_zero && hi == 0 && lo == 0;
    else if (exact.hi >= smallest)
      keep(relative, static_cast<double>(off / exact.hi / stated), hi, exact.hi);
    else
      keep(small, static_cast<double>(off / (exact.hi * stated + 0x1p-1074L)), hi, exact.hi);
  }

  Error relative, small;
  bool far_are_zero = true;

 private:
  static void keep(Error& largest, double units, Real got, Real exact) {
    if (!(units < largest.ulps)) largest = {units, 0, 0, got, exact};
  }
};

void check_multiply_exp(Context& context) {
  const Elementary* functions = elementary_of(context.kernels.name);
  context.report.holds(functions != nullptr, "the header's functions are compiled for this set");
  if (!functions) return;
  Arguments in = arguments(context.quick);
  std::vector<double> hi(in.count()), lo(in.count());
  functions->multiply_exp(in.a_hi.data(), in.a_lo.data(), in.distance_hi.data(), in.distance_lo.data(), hi.data(),
                          lo.data(), in.count());
  MultiplyExpErrors errors;
  for (int64_t i = 0; i < in.count(); ++i)
    errors.add(in.a_hi[i], in.a_lo[i], {in.distance_hi[i], in.distance_lo[i]}, hi[i], lo[i]);
  context.report.within(errors.relative, about, "a exp(-d), of 2^-95", "relative error");
  context.report.within(errors.small, 2, "a exp(-d), of 2^-95 and the smallest double", "small results");
  context.report.holds(errors.far_are_zero, "vanishes from a distance on");
}

const Test test("multiply_exp", check_multiply_exp);

}  // namespace
}  // namespace softgrad::native_tests
