// Eigenvalues of H = a·(Diag(p) - p pᵀ) + b·p pᵀ = Diag(a·p) + γ·p pᵀ, γ = b - a, from its secular equation,
// in O(C) memory: never a dense matrix.
//
//   γ < 0:  Σ p_i/(a p_i - λ) + (b/(a - b))/(0 - λ) = 0   roots between neighbours of 0, a p_1, a p_2, …
//   γ > 0:  1/γ + Σ p_i²/(a p_i - λ) = 0                  one root above each a p_i
//   γ = 0:  λ = a p_i
//
// over p_i > 0. Of m equal poles a p_i, m - 1 are eigenvalues themselves, and a masked class has the eigenvalue 0. In
// the first form no term is a difference, and 0 is a root of its own where b = 0.
//
// A root is its nearest pole plus an offset, so its distances from all poles keep their digits: small roots and
// close ones are as accurate as large ones. Each comes from interpolation of the poles on its left and on its
// right by one pole each, which converges quadratically (Bunch, Nielsen & Sorensen, "Rank-one modification of the
// symmetric eigenproblem", Numer. Math. 31, 1978; Li, LAPACK Working Note 89, 1993).
#pragma once

#include "layout/groups.h"
#include "module/kernels.h"
#include "layout/row_passes.h"

namespace softgrad::SOFTGRAD_ISA {

// constant + Σ weight_i/(pole_i - x): rises from pole to pole. Poles ascend.
struct SecularEquation {
  const double* pole;
  const double* weight;
  int64_t n;
  double constant;
};

struct SecularRoot {
  double origin, offset;  // their sum is the root
};

// The terms of the poles on one side of x, in units of the distance from x to the nearest of them, `near`:
// Σ w·t and Σ w·t² with t = near/(pole - x), at most 1. Their sum is value·near, the derivative's slope·near².
struct SecularSide {
  double near, value, slope;

  double sum() const { return value == 0 ? 0 : value / near; }
};

inline SecularSide secular_side(const SecularEquation& f, int64_t begin, int64_t end, SecularRoot x, double near) {
  F64 value(0), slope(0);
  for_vectors<F64>(end - begin, [&](int64_t i, auto lanes) {
    F64 distance = (lanes.load(f.pole + begin + i, __builtin_inf()) - F64(x.origin)) - F64(x.offset);
    F64 term = lanes.load(f.weight + begin + i, 0) / distance * F64(near);
    value = value + term;
    slope = multiply_add(term, F64(near) / distance, slope);
  });
  return {near, sum_of_lanes(value), sum_of_lanes(slope)};
}

// Each side's poles are taken for one: s/(left - y) + its rest and t/(right - y) + its rest, with the value and
// the slope of the side at x. Where the origin is one of the two poles and `far` the other's offset, the root y
// solves A·y²/far - (A + (s + t)/far)·y + (s or t, the weight at the origin) = 0: nothing in it is a difference of y
// and x, so that even a root next to its pole keeps its digits.
struct Interpolation {
  double near_root, far_root;

  Interpolation(double f, SecularSide below, SecularSide above, double far) {
    double rest = f - below.slope / below.near, s = below.slope, t = above.slope;
    if (t == 0) {  // no poles beyond
      near_root = far_root = s / rest;
      return;
    }
    rest -= t / above.near;
    double r = rest * far, unit = __builtin_fmax(__builtin_fabs(r), __builtin_fmax(s, t));
    double weight = (far > 0 ? s : t) / unit, b = (r + (s + t)) / unit;
    double discriminant = b * b - 4 * (r / unit) * weight;
    double root = __builtin_sqrt(discriminant > 0 ? discriminant : 0);
    double sum = b < 0 ? b - root : b + root;
    near_root = 2 * weight / sum * far;
    far_root = sum / (2 * rest) * unit;
  }
};

// The root between pole k and the next one, or, beyond the last, within `reach` of it. A root that is its pole to
// the last digit has the offset 0.
inline SecularRoot secular_root(const SecularEquation& f, int64_t k, double reach) {
  constexpr double rounding = 0x1p-52, converged = 0x1p-30;
  bool last = k + 1 == f.n;
  double left = f.pole[k], gap = last ? reach : f.pole[k + 1] - left, low = 0, high = gap;
  SecularRoot x = {left, gap / 2};
  for (int i = 0; i < 200; ++i) {
    bool from_left = x.origin == left;
    SecularSide below = secular_side(f, 0, k + 1, x, (from_left ? 0 : -gap) - x.offset);
    SecularSide above = secular_side(f, k + 1, f.n, x, (from_left ? gap : 0) - x.offset);
    double value = f.constant + below.sum() + above.sum();
    if (!(__builtin_fabs(value) > rounding * (f.constant - below.sum() + above.sum()))) break;
    if (i == 0 && value < 0 && !last) {  // the nearer pole is the right one
      x = {f.pole[k + 1], -gap / 2};
      low = -gap;
      high = 0;
      from_left = false;
    }
    (value < 0 ? low : high) = x.offset;
    Interpolation y(value, below, above, from_left ? gap : -gap);
    double next = y.near_root;
    if (next == 0) return {x.origin, 0};
    if (next == x.offset) break;
    if (!(next > low && next < high)) next = y.far_root;
    bool interpolated = next > low && next < high;
    if (!interpolated) next = low + (high - low) / 2;
    if (next == low || next == high) break;
    bool done = interpolated && __builtin_fabs(next - x.offset) <= converged * __builtin_fabs(next);
    x.offset = next;
    if (done) break;
  }
  return x;
}

// The eigenvalues of one row of ascending probabilities: masked classes first, then in the order of a·p.
class SecularRow {
 public:
  static constexpr double unit = secular_unit;

  SecularRow(const SecularArguments& s, int64_t row, double* memory)
      : p_(s.probs + row * s.classes),
        n_(s.classes),
        a_(s.jacobian[row]),
        b_(s.outer[row]),
        origin_(s.origin + row * s.classes),
        offset_(s.offset + row * s.classes),
        pole_(memory),
        weight_(memory + n_ + 1),
        place_(reinterpret_cast<int64_t*>(memory + 2 * (n_ + 1))) {}

  static int64_t scratch_bytes(int64_t classes) { return 3 * (classes + 1) * int64_t(sizeof(double)); }

  // Writes the eigenvalues that are known without an equation; the number of roots left to find.
  int64_t start() {
    double gamma = b_ - a_, nan = p_[n_ - 1] + a_ + b_;
    int64_t masked = 0;
    while (masked < n_ && p_[masked] == 0) ++masked;
    for (int64_t i = 0; i < n_; ++i) {
      origin_[i] = nan == nan ? (i < masked ? 0 : a_ * (at(i, masked) * unit)) : nan;
      offset_[i] = 0;
    }
    if (nan != nan || masked == n_ || gamma == 0) return 0;
    if (a_ == 0) {
      origin_[n_ - 1] = b_ * (sum_of_squares() * unit);
      return 0;
    }
    f_ = {pole_, weight_, 0, gamma < 0 ? 0 : 1 / gamma};
    bool with_zero = gamma < 0 && b_ != 0;
    if (with_zero) add_pole(0, b_ / (a_ - b_) * unit, masked);
    for (int64_t i = masked; i < n_;) {
      double pole = a_ * (at(i, masked) * unit), weight = 0;
      int64_t end = i;
      // Distinct probabilities may have the same product with a.
      for (; end < n_ && a_ * (at(end, masked) * unit) == pole; ++end)
        weight += at(end, masked) * unit * (gamma < 0 ? 1 : at(end, masked));
      // Below zero the root of a group lies under its first eigenvalue, above zero over its last.
      add_pole(pole, weight, gamma < 0 ? end : end - 1);
      if (gamma < 0 && !with_zero && f_.n == 1) origin_[i] = 0;
      i = end;
    }
    // Not less than γ Σ p², however that has been rounded.
    reach_ = gamma < 0 ? 0 : gamma * (sum_of_squares() * unit) * (1 + static_cast<double>(n_) * 0x1p-50);
    return gamma < 0 ? f_.n - 1 : f_.n;
  }

  void find(int64_t k) {
    SecularRoot root = secular_root(f_, k, reach_);
    origin_[place_[k]] = root.origin;
    offset_[place_[k]] = root.offset;
  }

 private:
  // The probabilities in the order in which a·p ascends, behind the masked ones.
  double at(int64_t i, int64_t masked) const { return a_ < 0 ? p_[n_ - 1 - (i - masked)] : p_[i]; }

  double sum_of_squares() const {
    double sum = 0;
    for (int64_t i = 0; i < n_; ++i) sum += p_[i] * p_[i];
    return sum;
  }

  void add_pole(double pole, double weight, int64_t place) {
    pole_[f_.n] = pole;
    weight_[f_.n] = weight;
    place_[f_.n] = place;
    ++f_.n;
  }

  const double* p_;
  int64_t n_;
  double a_, b_;
  double *origin_, *offset_;
  double *pole_, *weight_;
  int64_t* place_;
  SecularEquation f_ = {};
  double reach_ = 0;
};

inline void secular_rows(const SecularArguments& s) {
  int64_t bytes = (SecularRow::scratch_bytes(s.classes) + 63) / 64 * 64;
  bool within_rows = s.rows < s.threads;
  Scratch memory(bytes * s.threads);
  if (within_rows) {
    for (int64_t r = 0; r < s.rows; ++r) {
      SecularRow row(s, r, reinterpret_cast<double*>(memory.data()));
      int64_t roots = row.start();
#pragma omp parallel for num_threads(s.threads) schedule(static) if (s.threads > 1)
      for (int64_t k = 0; k < roots; ++k) row.find(k);
    }
    return;
  }
#pragma omp parallel for num_threads(s.threads) schedule(static) if (s.threads > 1)
  for (int64_t r = 0; r < s.rows; ++r) {
    SecularRow row(s, r, reinterpret_cast<double*>(memory.data() + bytes * thread_index()));
    int64_t roots = row.start();
    for (int64_t k = 0; k < roots; ++k) row.find(k);
  }
}

}  // namespace softgrad::SOFTGRAD_ISA
