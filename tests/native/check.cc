#include "check.h"

#include <cstdarg>
#include <cstdio>

namespace softgrad::native_tests {

std::string text(const char* format, ...) {
  char buffer[512];
  va_list values;
  va_start(values, format);
  std::vsnprintf(buffer, sizeof buffer, format, values);
  va_end(values);
  return buffer;
}

void Report::begin(const std::string& instruction_set, const std::string& test) {
  set_ = instruction_set;
  prefix_ = instruction_set + " " + test;
  failed_here_ = 0;
}

void Report::fail(const std::string& what) {
  constexpr int64_t shown = 20;  // of each test
  ++failed_;
  if (failed_here_++ < shown) std::printf("FAILED %s: %s\n", prefix_.c_str(), what.c_str());
}

void Report::holds(bool fact, const std::string& what) {
  if (fact)
    ++passed_;
  else
    fail(what);
}

void Report::within(const Error& error, double bound, const std::string& quantity, const std::string& what) {
  Largest& largest = largest_[quantity][set_];
  if (error.ulps > largest.ulps) largest.ulps = error.ulps;
  if (bound > largest.bound) largest.bound = bound;
  if (error.ulps <= bound) {
    ++passed_;
    return;
  }
  fail(text("%s, %s: %.3f ULP, at most %.2f allowed; row %lld, column %lld: %.21Lg, exactly %.21Lg", quantity.c_str(),
            what.c_str(), error.ulps, bound, static_cast<long long>(error.row), static_cast<long long>(error.column),
            error.got, error.exact));
}

int Report::close() const {
  if (!largest_.empty()) std::printf("\nlargest error in ULP, and the bound\n");
  for (const auto& [quantity, sets] : largest_) {
    std::printf("%-44s", quantity.c_str());
    for (const auto& [set, largest] : sets) std::printf("  %s %.3f of %.2f", set.c_str(), largest.ulps, largest.bound);
    std::printf("\n");
  }
  std::printf("\n%lld passed, %lld failed\n", static_cast<long long>(passed_), static_cast<long long>(failed_));
  return failed_ == 0 && passed_ > 0 ? 0 : 1;
}

Test::Test(const char* name, void (*run)(Context&)) : name(name), run(run) { all().push_back(this); }

std::vector<const Test*>& Test::all() {
  static std::vector<const Test*> tests;
  return tests;
}

}  // namespace softgrad::native_tests
