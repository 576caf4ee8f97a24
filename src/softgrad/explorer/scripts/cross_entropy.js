/** Cross-entropy of one row with any targets, label smoothing and z-loss, and its derivatives (docs/design.md). */

import { jacobian, sum } from "#softmax.js";

/** @typedef {import("#softmax.js").Softmax} Softmax */

/**
 * @typedef {object} Targets
 * @property {number[]} y weights of −log p_j in the loss
 * @property {number} mass M = Σ y_j
 * @property {number} zLoss the coefficient ζ of lse²
 */

/**
 * y_j = (1 − ε) q_j + ε/C.
 * @param {number[]} q class probabilities, whose sum need not be 1
 * @param {number} smoothing ε
 * @param {number} zLoss ζ
 * @returns {Targets}
 */
export function targets(q, smoothing, zLoss) {
  const y = q.map((value) => (1 - smoothing) * value + smoothing / q.length);
  return { y, mass: sum(y), zLoss };
}

/**
 * M log1p(s') + Σ y_j (m − z_j) + ζ lse², in nats; a class that is not a target adds nothing, even at −∞.
 * @param {number[]} z
 * @param {Softmax} row
 * @param {Targets} target
 */
export function loss(z, row, { y, mass, zLoss }) {
  const distances = z.map((value, j) => (y[j] === 0 ? 0 : y[j] * (row.max - value)));
  return mass * Math.log1p(row.excess) + sum(distances) + zLoss * row.lse ** 2;
}

/**
 * (M + 2ζ lse) p_k − y_k. M p_k − y_k is written as p_k Σ_{j≠k} y_j − y_k Σ_{j≠k} p_j, which keeps small differences.
 * @param {Softmax} row
 * @param {Targets} target
 * @returns {number[]}
 */
export function gradient({ p, others, lse }, { y, zLoss }) {
  return p.map((pk, k) => pk * sum(y.filter((_, j) => j !== k)) - y[k] * others[k] + 2 * zLoss * lse * pk);
}

/**
 * The coefficients of H = a J + b p pᵀ.
 * @param {Softmax} row
 * @param {Targets} target
 */
export function curvature({ lse }, { mass, zLoss }) {
  return { a: mass + 2 * zLoss * lse, b: 2 * zLoss };
}

/**
 * H = a J + b p pᵀ.
 * @param {Softmax} row
 * @param {Targets} target
 * @returns {number[][]}
 */
export function hessian(row, target) {
  const { a, b } = curvature(row, target);
  return jacobian(row).map((line, j) => line.map((value, k) => a * value + b * row.p[j] * row.p[k]));
}

/**
 * The solution x of (H + λI) x = r in closed form, with d = a p + λ; where H + λI is positive definite.
 * @param {Softmax} row
 * @param {Targets} target
 * @param {number[]} r
 * @param {number} damping λ
 * @returns {number[]}
 */
export function solveDamped(row, target, r, damping) {
  const { a, b } = curvature(row, target);
  const { p } = row;
  const d = p.map((value) => a * value + damping);
  // (a − b) Σ r p/d, where a is not 0 without its cancellation for small λ
  const above =
    a === 0
      ? (-b * sum(r.map((value, i) => value * p[i]))) / damping
      : (sum(r) - damping * sum(r.map((value, i) => value / d[i]))) * (1 - b / a);
  const below = damping * sum(p.map((value, i) => value / d[i])) + b * sum(p.map((value, i) => value ** 2 / d[i]));
  return r.map((value, i) => value / d[i] + ((p[i] / d[i]) * above) / below);
}
