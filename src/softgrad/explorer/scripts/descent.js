/** Descent on the cross-entropy of one row of logits: one step of each method, and where a path ends. */

import { curvature, gradient, loss, solveDamped } from "#cross_entropy.js";
import { softmax, sum } from "#softmax.js";

/** @typedef {import("#cross_entropy.js").Targets} Targets */
/** @typedef {import("#softmax.js").Softmax} Softmax */

/**
 * @typedef {object} Options
 * @property {import("#state.js").Method} method
 * @property {number} rate η
 * @property {number} damping λ
 */

/**
 * A point of a path.
 * @typedef {object} Point
 * @property {number[]} z
 * @property {Softmax} row
 * @property {number} loss
 */

/** @typedef {"infinite" | "converged" | "drift" | "indefinite" | "overflow" | "steps"} Ending */

export const MAX_STEPS = 500;
const TOLERANCE = 1e-6; // of every component of the gradient

/** @param {number[]} z @param {Targets} target @returns {Point} */
export function point(z, target) {
  const row = softmax(z);
  return { z, row, loss: loss(z, row, target) };
}

/**
 * The derivative of the loss if only the diagonal of softmax's Jacobian is used, which is wrong: of the sum
 * Σ_j −y_j/p_j ∂p_j/∂z_k, only the term j = k. The z-loss is differentiated as it should be.
 * @param {Softmax} row
 * @param {Targets} target
 */
export function diagonalGradient({ p, others, lse }, { y, zLoss }) {
  return p.map((pk, k) => -y[k] * others[k] + 2 * zLoss * lse * pk);
}

/** @param {Softmax} row @param {Targets} target @param {import("#state.js").Method} method */
function slope(row, target, method) {
  return method === "diagonal" ? diagonalGradient(row, target) : gradient(row, target);
}

/**
 * The logits after one step.
 * @param {Point} from
 * @param {Targets} target
 * @param {Options} options
 */
export function step({ z, row }, target, { method, rate, damping }) {
  const g = slope(row, target, method);
  const change = method === "newton" ? solveDamped(row, target, g, damping) : g.map((value) => rate * value);
  return z.map((value, k) => value - change[k]);
}

/**
 * Whether H + λI is positive definite. H + λI = Diag(d) + (b − a) p pᵀ with d = a p + λ, which for a < 0 has at most one
 * negative eigenvalue fewer than d has negative entries, and the determinant Π d_i · (λ Σ p/d + b Σ p²/d).
 * @param {Softmax} row
 * @param {Targets} target
 * @param {number} damping λ
 */
export function isPositiveDefinite(row, target, damping) {
  const { a, b } = curvature(row, target);
  const d = row.p.map((value) => a * value + damping);
  const negative = d.filter((value) => value <= 0).length;
  if (a > 0 || negative === 0) return true;
  const factor = sum(row.p.map((value, i) => (damping * value + b * value ** 2) / d[i]));
  return negative === 1 && factor < 0;
}

/**
 * Why a path goes no further, or null.
 * @param {Point[]} path
 * @param {Targets} target
 * @param {Options} options
 * @returns {Ending | null}
 */
export function ending(path, target, { method, damping }) {
  const { row, z, loss } = path[path.length - 1];
  if (loss === Infinity) return "infinite";
  const g = slope(row, target, method).filter((_, k) => z[k] !== -Infinity);
  if (g.every((value) => Math.abs(value) <= TOLERANCE)) return "converged";
  if (method === "diagonal" && Math.max(...g) - Math.min(...g) <= TOLERANCE) return "drift";
  if (method === "newton" && !isPositiveDefinite(row, target, damping)) return "indefinite";
  return path.length > MAX_STEPS ? "steps" : null;
}

/**
 * Adds up to `count` points to a path.
 * @param {Point[]} path
 * @param {Targets} target
 * @param {Options} options
 * @param {number} count
 * @returns {Ending | null} why the path ends, if it does
 */
export function extend(path, target, options, count) {
  for (let i = 0; i < count; i++) {
    const end = ending(path, target, options);
    if (end) return end;
    const z = step(path[path.length - 1], target, options);
    // Only a masked class may be at −∞.
    if (!z.every((value, k) => Number.isFinite(value) || path[0].z[k] === -Infinity)) return "overflow";
    const next = point(z, target);
    if (!Number.isFinite(next.loss)) return "overflow";
    path.push(next);
  }
  return ending(path, target, options);
}
