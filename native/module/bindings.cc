// The functions of the Python module softgrad._core.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "layout/work_sharing.h"
#include "module/arrays.h"
#include "module/huge_pages.h"
#include "module/isa.h"
#include "module/jax_handlers.h"
#include "module/loss_spec_caster.h"
#include "module/plain_calls.h"
#include "module/released_gil.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softgrad {
namespace {

void softmax(SoftmaxKind kind, DType dtype, nb::handle logits, int axis, nb::handle out, nb::handle statistics) {
  Array in(logits, false), result(out, true);
  Flat given(statistics, false);
  bool reduces = kind == SoftmaxKind::logsumexp;
  SoftmaxArguments args = {
      kind, dtype, in.rows(axis), result.rows(reduces ? -1 : axis), given.data<const RowStatistics>(), 1};
  args.threads = threads_for(args.logits.count * args.logits.classes);
  ReleasedGil released;
  kernels_in_use().softmax(args);
}

double cross_entropy(const LossSpec& spec, DType dtype, nb::handle logits, int axis, nb::handle labels,
                     nb::handle probabilities, DType probabilities_dtype, nb::handle class_weight,
                     SummedWeight summed_weight, nb::handle row_scale, nb::handle loss, nb::handle gradient,
                     nb::handle statistics, int64_t first_class, int64_t classes) {
  TargetArrays targets(labels, probabilities, class_weight);
  Array z(logits, false), g(gradient, true);
  Flat scale(row_scale, false), losses(loss, true), given(statistics, false);
  CrossEntropyArguments args = {};
  args.spec = spec;
  args.targets = targets.targets(axis, probabilities_dtype, first_class, classes);
  args.dtype = dtype;
  args.logits = z.rows(axis);
  args.gradient = g.rows(axis);
  args.statistics = given.data<const RowStatistics>();
  args.row_scale = scale.data<const double>();
  args.loss = losses.data<void>();
  args.threads = threads_for(args.logits.count * args.logits.classes);
  set_denominator(spec, args.logits, summed_weight, args.targets);
  ReleasedGil released;
  double loss_sum = kernels_in_use().cross_entropy(args);
  return args.dtype == DType::float64 ? loss_sum : static_cast<float>(loss_sum);
}

void row_statistics(const LossSpec& spec, DType dtype, nb::handle logits, int axis, nb::handle out, nb::handle labels,
                    nb::handle probabilities, DType probabilities_dtype, nb::handle class_weight, int64_t first_class,
                    int64_t classes) {
  TargetArrays targets(labels, probabilities, class_weight);
  Array z(logits, false);
  Flat result(out, true);
  StatisticsArguments args = {};
  args.spec = spec;
  args.targets = targets.targets(axis, probabilities_dtype, first_class, classes);
  args.dtype = dtype;
  args.logits = z.rows(axis);
  args.out = result.data<RowStatistics>();
  args.threads = threads_for(args.logits.count * args.logits.classes);
  ReleasedGil released;
  kernels_in_use().row_statistics(args);
}

void merge_statistics(nb::handle parts, nb::handle out) {
  Flat blocks(parts, false), result(out, true);
  int64_t rows = result.size() / RowStatistics::fields, count = rows ? blocks.size() / result.size() : 0;
  ReleasedGil released;
  kernels_in_use().merge_statistics(blocks.data<const RowStatistics>(), count, rows, result.data<RowStatistics>());
}

void apply_operator(OperatorKind kind, DType dtype, nb::handle probs, int axis, nb::handle v, nb::handle out,
                    int64_t columns, nb::handle top, nb::handle a, nb::handle b, nb::handle complement) {
  Array p(probs, false), direction(v, false), result(out, true);
  Flat tops(top, false), a_values(a, false), b_values(b, false), complements(complement, false);
  OperatorArguments args = {};
  args.kind = kind;
  args.dtype = dtype;
  args.probs = p.rows(axis);
  args.v = direction.rows(axis);
  args.out = result.rows(axis);
  args.columns = columns;
  args.top = tops.data<const int64_t>();
  args.a = a_values.data<const double>();
  args.b = b_values.data<const double>();
  args.complement = complements.data<const double>();
  args.threads = threads_for(args.v.count * args.v.classes);
  ReleasedGil released;
  kernels_in_use().apply_operator(args);
}

void direction_statistics(DType dtype, nb::handle logits, int axis, nb::handle v, nb::handle statistics,
                          nb::handle out) {
  Array z(logits, false), direction(v, false);
  Flat given(statistics, false), result(out, true);
  DirectionArguments args = {
      dtype, z.rows(axis), direction.rows(axis), given.data<const RowStatistics>(), result.data<DirectionStatistics>(),
      1};
  args.threads = threads_for(args.logits.count * args.logits.classes);
  ReleasedGil released;
  kernels_in_use().direction_statistics(args);
}

void merge_directions(nb::handle parts, nb::handle out) {
  Flat blocks(parts, false), result(out, true);
  int64_t rows = result.size() / DirectionStatistics::fields, count = rows ? blocks.size() / result.size() : 0;
  ReleasedGil released;
  kernels_in_use().merge_directions(blocks.data<const DirectionStatistics>(), count, rows,
                                    result.data<DirectionStatistics>());
}

void hvp(const LossSpec& spec, DType dtype, nb::handle logits, int axis, nb::handle v, nb::handle out,
         nb::handle labels, nb::handle mass, SummedWeight summed_weight, nb::handle row_scale, nb::handle statistics,
         nb::handle directions) {
  if (!directions.is_none() && statistics.is_none()) throw nb::value_error("directions without statistics");
  Array z(logits, false), direction(v, false), result(out, true);
  Flat indices(labels, false), masses(mass, false), scale(row_scale, false), given(statistics, false);
  Flat known_directions(directions, false);
  HvpArguments args = {};
  args.spec = spec;
  args.targets.labels = indices.data<const int64_t>();
  args.dtype = dtype;
  args.logits = z.rows(axis);
  args.v = direction.rows(axis);
  args.out = result.rows(axis);
  args.statistics = given.data<const RowStatistics>();
  args.directions = known_directions.data<const DirectionStatistics>();
  args.mass = masses.data<const double>();
  args.row_scale = scale.data<const double>();
  args.threads = threads_for(args.logits.count * args.logits.classes);
  set_denominator(spec, args.logits, summed_weight, args.targets);
  ReleasedGil released;
  kernels_in_use().hvp(args);
}

void softmax_vjp(DType dtype, nb::handle probs, int axis, nb::handle v, nb::handle out) {
  Array p(probs, false), direction(v, false), result(out, true);
  SoftmaxVjpArguments args = {dtype, p.rows(axis), direction.rows(axis), result.rows(axis), 1};
  args.threads = threads_for(args.probs.count * args.probs.classes);
  ReleasedGil released;
  kernels_in_use().softmax_vjp(args);
}

void secular(int64_t classes, nb::handle probs, nb::handle a, nb::handle b, nb::handle origin, nb::handle offset) {
  Flat p(probs, false), a_values(a, false), b_values(b, false), origins(origin, true), offsets(offset, true);
  SecularArguments args = {};
  args.rows = p.size() / classes;
  args.classes = classes;
  args.probs = p.data<const double>();
  args.a = a_values.data<const double>();
  args.b = b_values.data<const double>();
  args.origin = origins.data<double>();
  args.offset = offsets.data<double>();
  args.threads = threads_for(p.size() * classes);
  ReleasedGil released;
  kernels_in_use().secular(args);
}

void sum_rows(nb::handle x, int axis, nb::handle out) {
  Array in(x, false);
  Flat sums(out, true);
  SumArguments args = {in.rows(axis), sums.data<double>(), 1};
  args.threads = threads_for(args.rows.count * args.rows.classes);
  ReleasedGil released;
  kernels_in_use().sum_rows(args);
}

double linear_head_gradient(const LossSpec& spec, DType dtype, nb::handle x, nb::handle data, nb::handle indices,
                            nb::handle starts, int64_t leaf_rows, nb::handle W, nb::handle bias, nb::handle labels,
                            nb::handle probabilities, nb::handle row_weight, nb::handle probs, nb::handle sum_W,
                            nb::handle sum_bias) {
  HeadArrays arrays(x, data, indices, starts, W, bias, row_weight, sum_W, sum_bias);
  Flat targets(labels, false), target_rows(probabilities, false), kept(probs, true);
  LinearHeadGradientArguments args = {arrays.head(dtype, leaf_rows), spec, targets.data<const int64_t>(),
                                      target_rows.data<const double>(), kept.data<void>()};
  ReleasedGil released;
  return kernels_in_use().linear_head_gradient(args);
}

void linear_head_hvp(DType dtype, nb::handle x, nb::handle data, nb::handle indices, nb::handle starts,
                     int64_t leaf_rows, nb::handle W, nb::handle bias, nb::handle mass, nb::handle probs,
                     nb::handle sum_W, nb::handle sum_bias) {
  HeadArrays arrays(x, data, indices, starts, W, bias, mass, sum_W, sum_bias);
  Flat p(probs, false);
  LinearHeadHvpArguments args = {arrays.head(dtype, leaf_rows), p.data<const void>()};
  ReleasedGil released;
  kernels_in_use().linear_head_hvp(args);
}

void weighted_grams(DType dtype, nb::handle x, nb::handle data, nb::handle indices, nb::handle starts, nb::handle index,
                    nb::handle weights, nb::handle mean, nb::handle inverse_scale, bool intercept, nb::handle grams) {
  DesignArrays design(x, data, indices, starts);
  Flat rows(index, false), of_rows(weights, false), centre(mean, false), scale(inverse_scale, false);
  Flat result(grams, true);
  GramArguments args = {};
  args.dtype = dtype;
  args.x = design.matrix(centre.size());
  args.index = rows.data<const int64_t>();
  args.rows = rows.size();
  args.weights = of_rows.data<const double>();
  args.classes = args.rows ? of_rows.size() / args.rows : 0;
  args.mean = centre.data<void>();
  args.inverse_scale = scale.data<void>();
  args.intercept = intercept;
  args.grams = result.data<void>();
  args.threads = threads_for(args.rows * args.x.features * args.classes);
  ReleasedGil released;
  kernels_in_use().weighted_grams(args);
}

void class_weights(DType dtype, nb::handle x, nb::handle data, nb::handle indices, nb::handle starts, nb::handle index,
                   nb::handle W, nb::handle bias, nb::handle mass, nb::handle weights) {
  DesignArrays design(x, data, indices, starts);
  Flat rows(index, false), coefficients(W, false), intercept(bias, false), masses(mass, false), result(weights, true);
  ClassWeightArguments args = {};
  args.dtype = dtype;
  args.classes = intercept.size();
  args.x = design.matrix(args.classes ? coefficients.size() / args.classes : 0);
  args.index = rows.data<const int64_t>();
  args.rows = rows.size();
  args.W = coefficients.data<const double>();
  args.bias = intercept.data<const double>();
  args.mass = masses.data<const double>();
  args.weights = result.data<double>();
  args.threads = threads_for(args.rows * (args.x.features + args.classes));
  ReleasedGil released;
  kernels_in_use().class_weights(args);
}

void cholesky_solve(DType dtype, int64_t factors, nb::handle L, nb::handle x, int64_t columns) {
  Flat triangles(L, false), vectors(x, true);
  CholeskySolveArguments args = {dtype, triangles.data<const void>(), factors, columns, vectors.data<void>(), 0, 1};
  args.vectors = columns ? vectors.size() / columns : 0;
  args.threads = threads_for(triangles.size());
  ReleasedGil released;
  kernels_in_use().cholesky_solve(args);
}

double column_sums(DType dtype, nb::handle x, int64_t leaf_rows, nb::handle weight, nb::handle origin,
                   nb::handle sums) {
  Array matrix(x, false);
  Flat weights(weight, false), origins(origin, false), result(sums, true);
  ColumnSumArguments args = {};
  args.dtype = dtype;
  args.x = matrix.rows(1);
  args.leaf_rows = leaf_rows;
  args.weight = weights.data<const double>();
  args.origin = origins.data<const double>();
  args.sums = result.data<double>();
  args.threads = threads_for(args.x.count * args.x.classes);
  ReleasedGil released;
  return kernels_in_use().column_sums(args);
}

nb::tuple check_labels(const LossSpec& spec, nb::handle labels, int64_t classes, nb::handle class_weight) {
  Flat indices(labels, false), w(class_weight, false);
  LabelSummary s =
      summarise_labels(spec, indices.data<const int64_t>(), indices.size(), classes, w.data<const double>());
  return nb::make_tuple(s.bad_row, s.weight, s.rest);
}

int64_t check_probabilities(nb::handle probabilities, DType dtype, int axis) {
  Array probs(probabilities, false);
  Rows rows = probs.rows(axis);
  ReleasedGil released;
  return first_bad_probabilities(rows, dtype, threads_for(rows.count * rows.classes));
}

void sum_probabilities_of(nb::handle probabilities, DType dtype, int axis, nb::handle class_weight, nb::handle out) {
  Array probs(probabilities, false);
  Flat w(class_weight, false), sums(out, true);
  Rows rows = probs.rows(axis);
  ReleasedGil released;
  sum_probabilities(rows, dtype, w.data<const double>(), sums.data<double>(), threads_for(rows.count * rows.classes));
}

void exp_difference(DType dtype, nb::handle z, double m, nb::handle out) {
  Flat in(z, false), result(out, true);
  kernels_in_use().exp_difference(dtype, in.data<void>(), m, result.data<void>(), in.size());
}

void log1p_of(nb::handle s, nb::handle out) {
  Flat in(s, false), result(out, true);
  kernels_in_use().log1p(in.data<double>(), result.data<double>(), in.size());
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* k : supported_kernels()) names.push_back(k->name);
  return names;
}

nb::dict xla_handlers() {
  nb::dict capsules;
  for (const NamedHandler& named : jax_handlers())
    capsules[named.name] = nb::capsule(reinterpret_cast<const void*>(named.handler));
  return capsules;
}

}  // namespace
}  // namespace softgrad

NB_MODULE(_core, m) {
  using namespace softgrad;
  m.doc() = "Compiled kernels of softgrad; use them through the functions of the package.";
  nb::enum_<DType>(m, "DType", "Element types of the kernels' arrays.")
      .value("float16", DType::float16)
      .value("bfloat16", DType::bfloat16)
      .value("float32", DType::float32)
      .value("float64", DType::float64);
  nb::enum_<Reduction>(m, "Reduction", "How to combine the losses of the rows.")
      .value("mean", Reduction::mean)
      .value("sum", Reduction::sum)
      .value("none", Reduction::none);
  nb::enum_<SoftmaxKind>(m, "SoftmaxKind")
      .value("softmax", SoftmaxKind::softmax)
      .value("log_softmax", SoftmaxKind::log_softmax)
      .value("logsumexp", SoftmaxKind::logsumexp);
  nb::enum_<OperatorKind>(m, "OperatorKind")
      .value("curvature", OperatorKind::curvature)
      .value("log_softmax", OperatorKind::log_softmax)
      .value("log_softmax_transposed", OperatorKind::log_softmax_transposed);

  m.def("softmax", &softmax, "kind"_a, "dtype"_a, "logits"_a, "axis"_a, "out"_a, "statistics"_a.none() = nb::none(),
        "Write softmax, log_softmax or logsumexp of every row into out.");
  define_plain_calls(m);
  m.def("row_statistics", &row_statistics, "spec"_a, "dtype"_a, "logits"_a, "axis"_a, "out"_a, nb::kw_only(),
        "labels"_a.none() = nb::none(), "probabilities"_a.none() = nb::none(), "probabilities_dtype"_a = DType::float64,
        "class_weight"_a.none() = nb::none(), "first_class"_a = 0, "classes"_a = 0,
        "Write the statistics of rows into float64 out of shape (rows, statistics_fields). The logits are the classes "
        "from first_class on.");
  m.def(
      "merge_statistics", &merge_statistics, "parts"_a, "out"_a,
      "Write the statistics of rows from parts, those of blocks of their classes: (blocks, rows, statistics_fields).");
  m.attr("statistics_fields") = RowStatistics::fields;
  m.def("cross_entropy", &cross_entropy, "spec"_a, "dtype"_a, "logits"_a, "axis"_a, nb::kw_only(),
        "labels"_a.none() = nb::none(), "probabilities"_a.none() = nb::none(), "probabilities_dtype"_a = DType::float64,
        "class_weight"_a.none() = nb::none(), "summed_weight"_a.none() = nb::none(), "row_scale"_a.none() = nb::none(),
        "loss"_a.none() = nb::none(), "gradient"_a.none() = nb::none(), "statistics"_a.none() = nb::none(),
        "first_class"_a = 0, "classes"_a = 0,
        "Return the loss, or write the losses of rows into loss; write the gradient, times row_scale, into gradient. "
        "summed_weight is the denominator of a mean, in two parts; without it, sum the weight of the labels and raise "
        "IndexError for one out of range.");
  m.def("check_labels", &check_labels, "spec"_a, "labels"_a, "classes"_a, "class_weight"_a.none(),
        nb::sig("def check_labels(spec: softgrad._loss_spec.LossSpec, labels: object, classes: int, "
                "class_weight: object | None) -> tuple[int, float, float]"),
        "Return the first row whose label is out of range, or -1, and the summed weight of the labels that are not "
        "ignored, in two parts.");
  m.def("check_probabilities", &check_probabilities, "probabilities"_a, "dtype"_a, "axis"_a,
        "Return the first row with a negative or infinite probability, or -1.");
  m.def("sum_probabilities", &sum_probabilities_of, "probabilities"_a, "dtype"_a, "axis"_a, "class_weight"_a.none(),
        "out"_a, "Write the sum over the classes of probabilities times class weights into float64 out.");
  m.def("apply_operator", &apply_operator, "kind"_a, "dtype"_a, "probs"_a, "axis"_a, "v"_a, "out"_a, "columns"_a,
        "top"_a, "a"_a.none(), "b"_a.none(), "complement"_a.none(),
        "Write (a (Diag(p) - p p^T) + b p p^T) v (curvature; by default a = 1, b = 0), v - 1 p^T v (log_softmax) or "
        "v - p 1^T v (log_softmax_transposed) into out, for every row p of probs. top: the index of a largest p; "
        "complement: 1 - p there.");
  m.def("direction_statistics", &direction_statistics, "dtype"_a, "logits"_a, "axis"_a, "v"_a, "statistics"_a, "out"_a,
        "Write the statistics of v in rows into float64 out of shape (rows, direction_fields). The logits may be a "
        "block of the classes; statistics are those of the whole rows.");
  m.def("merge_directions", &merge_directions, "parts"_a, "out"_a,
        "Write the statistics of v in rows from parts, those of all blocks of their classes: (blocks, rows, "
        "direction_fields).");
  m.attr("direction_fields") = DirectionStatistics::fields;
  m.def("hvp", &hvp, "spec"_a, "dtype"_a, "logits"_a, "axis"_a, "v"_a, "out"_a, nb::kw_only(),
        "labels"_a.none() = nb::none(), "mass"_a.none() = nb::none(), "summed_weight"_a.none() = nb::none(),
        "row_scale"_a.none() = nb::none(), "statistics"_a.none() = nb::none(), "directions"_a.none() = nb::none(),
        "Write the Hessian of the cross-entropy, times v and row_scale, into out. With the statistics and directions "
        "of the whole rows, the logits may be a block of the classes.");
  m.def("softmax_vjp", &softmax_vjp, "dtype"_a, "probs"_a, "axis"_a, "v"_a, "out"_a,
        "Write the Jacobian of softmax at its result probs, times v, into out.");
  m.def("secular", &secular, "classes"_a, "probs"_a, "a"_a, "b"_a, "origin"_a, "offset"_a,
        "Write the eigenvalues of a (Diag(p) - p p^T) + b p p^T, times secular_unit, as origin + offset, for every row "
        "of ascending float64 probs.");
  m.attr("secular_unit") = secular_unit;
  m.def("sum_rows", &sum_rows, "x"_a, "axis"_a, "out"_a,
        "Write the sums of float64 x along an axis, computed in double-double, into out.");
  m.def("linear_head_gradient", &linear_head_gradient, "spec"_a, "dtype"_a, "x"_a.none(), "data"_a.none(),
        "indices"_a.none(), "starts"_a.none(), "leaf_rows"_a, "W"_a, "bias"_a, "labels"_a.none(),
        "probabilities"_a.none(), "row_weight"_a, "probs"_a.none(), "sum_W"_a, "sum_bias"_a,
        "Write sum g x^T and sum g over the rows x into sum_W and sum_bias, g being the gradient of the weighted "
        "cross-entropy of the logits W x + bias, and their softmax into probs. Return the summed loss. Sums are those "
        "of a fixed binary tree whose leaves are leaf_rows consecutive rows each.");
  m.def("linear_head_hvp", &linear_head_hvp, "dtype"_a, "x"_a.none(), "data"_a.none(), "indices"_a.none(),
        "starts"_a.none(), "leaf_rows"_a, "W"_a, "bias"_a, "mass"_a, "probs"_a, "sum_W"_a, "sum_bias"_a,
        "Write sum h x^T and sum h over the rows x into sum_W and sum_bias, h being the Hessian of the cross-entropy, "
        "from probs and the mass of the targets, times W x + bias.");
  m.def("class_weights", &class_weights, "dtype"_a, "x"_a.none(), "data"_a.none(), "indices"_a.none(),
        "starts"_a.none(), "index"_a, "W"_a, "bias"_a, "mass"_a, "weights"_a,
        "Write the mass of rows of x times p (1 - p) into float64 weights, p being the softmax of W x + bias.");
  m.def("cholesky_solve", &cholesky_solve, "dtype"_a, "factors"_a, "L"_a, "x"_a, "columns"_a,
        "Solve with Cholesky factors in place. Row j of a factor is column j of L; row n of x belongs to factor n "
        "modulo their number.");
  m.def(
      "weighted_grams", &weighted_grams, "dtype"_a, "x"_a.none(), "data"_a.none(), "indices"_a.none(),
      "starts"_a.none(), "index"_a, "weights"_a, "mean"_a, "inverse_scale"_a, "intercept"_a, "grams"_a,
      "Add the Gram matrices of standardised rows of x, with weights for each class, to the upper triangles of grams.");
  m.def("column_sums", &column_sums, "dtype"_a, "x"_a, "leaf_rows"_a, "weight"_a, "origin"_a, "sums"_a,
        "Write the sums over the rows of weight (x - origin) and of weight (x - origin)^2, for every column of a dense "
        "matrix, into float64 sums of shape (2, columns); return the largest |x|. A column with NaN or infinity has no "
        "finite sums.");
  m.def("prefer_huge_pages", &prefer_huge_pages, "address"_a, "bytes"_a, nb::call_guard<ReleasedGil>(),
        "Request huge pages for memory that has not been written yet, as long as they are quicker than small ones.");
  m.def("xla_handlers", &xla_handlers, nb::sig("def xla_handlers() -> dict[str, typing.Any]"),
        "Return capsules of the handlers of XLA's foreign function calls, by name, for jax.ffi.register_ffi_target.");
  m.def("exp_difference", &exp_difference, "dtype"_a, "z"_a, "m"_a, "out"_a,
        "Write exp(z - m), times 2^64 (float32) or 2^512 (float64), into out.");
  m.def("log1p", &log1p_of, "s"_a, "out"_a, "Write log(1 + s) of float64 s >= 0 into out.");
  m.def("num_threads", &num_threads, "Return the largest number of threads that a call may use.");
  m.def(
      "set_num_threads", &set_num_threads, "n"_a,
      "Set the largest number of threads that a call may use; 0 for the default: one for each CPU on which the calling "
      "thread may run, at most the CPU limit.");
  m.def("has_default_threads", &has_default_threads, "Return whether the number of threads is the default.");
  m.def("set_cpu_limit", &set_cpu_limit, "cpus"_a, "Set the largest default number of threads.");
  m.def("share_always", &share_always, "always"_a,
        "Use several threads also where that has not paid lately, because other work takes the CPUs; for tests.");
  m.def("instruction_sets", &instruction_sets, "Return the instruction sets that this machine can run, best first.");
  m.def("instruction_set", [] { return std::string(kernels_in_use().name); }, "Return the instruction set in use.");
  m.def("use_instruction_set", &use_kernels, "name"_a, "Use another instruction set; for tests and measurements.");
}
