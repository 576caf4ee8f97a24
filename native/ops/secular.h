// Eigenvalues of H = a·(Diag(p) - p pᵀ) + b·p pᵀ = Diag(a·p) + γ·p pᵀ, γ = b - a, from the secular equation, in O(C)
// memory:
//
//   γ < 0:  Σ p_i/(a p_i - λ) + (b/(a - b))/(0 - λ) = 0   roots between neighbours of 0, a p_1, a p_2, …
//   γ > 0:  1/γ + Σ p_i²/(a p_i - λ) = 0                  one root above each a p_i
//   γ = 0:  λ = a p_i
//
// over p_i > 0. Of m equal poles a p_i, m - 1 are eigenvalues, and a masked class has the eigenvalue 0. In the first
// equation no term is a difference; if b = 0, 0 is an eigenvalue too.
//
// A root is stored as its nearest pole plus an offset, so that its distances from all poles keep their digits: small
// and close roots are as accurate as large ones. The iteration replaces the poles on each side of the root by a single
// one and converges quadratically (Bunch, Nielsen & Sorensen, "Rank-one modification of the symmetric eigenproblem",
// Numer. Math. 31, 1978; Li, LAPACK Working Note 89, 1993).
#pragma once

#include "layout/groups.h"
#include "math/sums.h"
#include "ops/arguments.h"

namespace softgrad::SOFTGRAD_ISA {

// constant + Σ weight_i/(pole_i - x), which increases between poles. Poles ascend.
struct SecularEquation {
  const double* pole;
  const double* weight;
  int64_t n;
  double constant;
};

struct SecularRoot {
  double origin, offset;  // their sum is the root
};

// The terms of the poles on one side of x, relative to the distance `near` from x to the nearest of them:
// value = Σ w·t and slope = Σ w·t² with t = near/(pole - x) <= 1.
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

// The root y of the interpolation, one pole and a constant on each side: s/(left - y) + t/(right - y) + A, where each
// side has the value and the slope of the equation at x. With the origin at one of the two poles and the other at the
// offset `far`, y solves A·y²/far - (A + (s + t)/far)·y + w = 0, w = s or t being the weight at the origin. y is not
// computed as a correction of x, so that a root next to its pole keeps its digits.
struct Interpolation {
  double near_root, far_root;

  Interpolation(double f, SecularSide below, SecularSide above, double far) {
    double rest = f - below.slope / below.near, s = below.slope, t = above.slope;
    if (t == 0) {  // no poles above
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

// The root between pole k and the next one or, for the last pole, within `reach` of it. A root that rounds to its pole
// has the offset 0.
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
    if (i == 0 && value < 0 && !last) {  // the root is nearer to the right pole
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

// The eigenvalues of one row of ascending probabilities: first those of masked classes, then in the order of a·p.
class SecularRow {
 public:
  static constexpr double unit = secular_unit;

  SecularRow(const SecularArguments& args, int64_t row, double* memory)
      : p_(args.probs + row * args.classes),
        n_(args.classes),
        a_(args.a[row]),
        b_(args.b[row]),
        origin_(args.origin + row * args.classes),
        offset_(args.offset + row * args.classes),
        pole_(memory),
        weight_(memory + n_ + 1),
        place_(reinterpret_cast<int64_t*>(memory + 2 * (n_ + 1))) {}

  static int64_t scratch_bytes(int64_t classes) { return 3 * (classes + 1) * int64_t(sizeof(double)); }

  // Writes the eigenvalues that need no equation. Returns the number of roots that are left.
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
      // Products of different probabilities with a may round to the same pole.
      for (; end < n_ && a_ * (at(end, masked) * unit) == pole; ++end)
        weight += at(end, masked) * unit * (gamma < 0 ? 1 : at(end, masked));
      // If γ < 0, the root above this pole is the first eigenvalue of the next group, else the last of this one.
      add_pole(pole, weight, gamma < 0 ? end : end - 1);
      if (gamma < 0 && !with_zero && f_.n == 1) origin_[i] = 0;
      i = end;
    }
    // An upper bound of γ Σ p², including rounding errors.
    reach_ = gamma < 0 ? 0 : gamma * (sum_of_squares() * unit) * (1 + static_cast<double>(n_) * 0x1p-50);
    return gamma < 0 ? f_.n - 1 : f_.n;
  }

  void find(int64_t k) {
    SecularRoot root = secular_root(f_, k, reach_);
    origin_[place_[k]] = root.origin;
    offset_[place_[k]] = root.offset;
  }

 private:
  // The masked probabilities, then the others in ascending order of a·p.
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

inline void secular_rows(const SecularArguments& args) {
  int64_t bytes = (SecularRow::scratch_bytes(args.classes) + 63) / 64 * 64;
  bool within_rows = args.rows < args.threads;
  Scratch memory(bytes * args.threads);
  for_shared(args.rows, within_rows ? 1 : args.threads, [&](int64_t r, int thread) {
    SecularRow row(args, r, reinterpret_cast<double*>(memory.data() + bytes * thread));
    for_shared(row.start(), within_rows ? args.threads : 1, [&](int64_t k, int) { row.find(k); });
  });
}

}  // namespace softgrad::SOFTGRAD_ISA
