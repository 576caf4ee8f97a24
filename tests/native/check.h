// Counts the checks that hold and those that do not, and keeps the largest error of every quantity.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "module/kernels.h"

namespace softgrad::native_tests {

std::string text(const char* format, ...) __attribute__((format(printf, 1, 2)));

// The largest error of a result, in units in the last place (ULP), and where it is.
struct Error {
  double ulps = 0;
  int64_t row = -1, column = -1;
  long double got = 0, exact = 0;
};

class Report {
 public:
  void begin(const std::string& instruction_set, const std::string& test);

  void holds(bool fact, const std::string& what);

  // quantity: one name in the closing table of largest errors.
  void within(const Error& error, double bound, const std::string& quantity, const std::string& what);

  // Prints the largest errors and, alone on the last line, 'N passed, N failed'. Returns the exit status.
  int close() const;

 private:
  struct Largest {
    double ulps = 0, bound = 0;
  };

  void fail(const std::string& what);

  std::string prefix_, set_;
  int64_t passed_ = 0, failed_ = 0, failed_here_ = 0;
  std::map<std::string, std::map<std::string, Largest>> largest_;  // quantity, instruction set
};

struct Context {
  const Kernels& kernels;
  Report& report;
  bool quick;  // fewer arguments, for builds that run slowly
};

// A test registers itself: `static const Test test("softmax", check_softmax);`
struct Test {
  const char* name;
  void (*run)(Context&);

  Test(const char* name, void (*run)(Context&));
  static std::vector<const Test*>& all();
};

}  // namespace softgrad::native_tests
