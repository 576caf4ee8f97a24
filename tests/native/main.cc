// native_tests [--quick] [--only TEST] [--set INSTRUCTION_SET] [--list] [--sets]
//
// Runs every test on every instruction set that this machine can run, and prints 'N passed, N failed' last.
// --list names the tests, --sets those instruction sets, best first.
#include <chrono>
#include <cstdio>
#include <cstring>

#include "check.h"
#include "module/isa.h"

namespace softgrad::native_tests {
namespace {

struct Options {
  bool quick = false, list = false, sets = false;
  const char* test = nullptr;
  const char* set = nullptr;
};

bool parse(int count, char** arguments, Options& options) {
  for (int i = 1; i < count; ++i) {
    bool more = i + 1 < count;
    if (std::strcmp(arguments[i], "--quick") == 0)
      options.quick = true;
    else if (std::strcmp(arguments[i], "--list") == 0)
      options.list = true;
    else if (std::strcmp(arguments[i], "--sets") == 0)
      options.sets = true;
    else if (std::strcmp(arguments[i], "--only") == 0 && more)
      options.test = arguments[++i];
    else if (std::strcmp(arguments[i], "--set") == 0 && more)
      options.set = arguments[++i];
    else
      return false;
  }
  return true;
}

bool can_run(const std::string& set) {
  for (const Kernels* kernels : supported_kernels())
    if (set == kernels->name) return true;
  return false;
}

void report_sets_not_run() {
  for (const char* set : {SOFTGRAD_INSTRUCTION_SETS})
    if (!can_run(set)) std::printf("%s: compiled, not run: this machine does not have these instructions\n", set);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int run(const Options& options) {
  Report report;
  report_sets_not_run();
  for (const Kernels* kernels : supported_kernels()) {
    if (options.set && std::strcmp(options.set, kernels->name) != 0) continue;
    for (const Test* test : Test::all()) {
      if (options.test && std::strcmp(options.test, test->name) != 0) continue;
      auto start = std::chrono::steady_clock::now();
      report.begin(kernels->name, test->name);
      Context context{*kernels, report, options.quick};
      test->run(context);
      std::printf("%s: %s, %.1f s\n", kernels->name, test->name, seconds_since(start));
      std::fflush(stdout);
    }
  }
  return report.close();
}

}  // namespace
}  // namespace softgrad::native_tests

int main(int count, char** arguments) {
  using namespace softgrad::native_tests;
  Options options;
  if (!parse(count, arguments, options)) {
    std::fprintf(stderr, "usage: native_tests [--quick] [--only TEST] [--set INSTRUCTION_SET] [--list] [--sets]\n");
    return 2;
  }
  if (options.list)
    for (const Test* test : Test::all()) std::printf("%s\n", test->name);
  if (options.sets)
    for (const softgrad::Kernels* kernels : softgrad::supported_kernels()) std::printf("%s\n", kernels->name);
  return options.list || options.sets ? 0 : run(options);
}
