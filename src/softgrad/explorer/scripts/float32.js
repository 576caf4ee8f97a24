/** Softmax and cross-entropy of one row with a label in float32, where Math.fround rounds each operation. */

import { gradient, loss, targets } from "#cross_entropy.js";
import { softmax, sum } from "#softmax.js";
import { oneHot } from "#state.js";

/**
 * @typedef {object} Results
 * @property {number} p probability of the label
 * @property {number} loss
 * @property {number} gradient at the label
 * @property {number} sum of the whole gradient
 */

/** @typedef {"unshifted" | "shifted" | "softgrad" | "exact"} Variant */

export const DIGITS = 9; // decimal digits that tell every float32 from its neighbours
export const EPSILON = 2 ** -23; // distance from 1 to the next float32
export const SMALLEST = 2 ** -149;
export const SMALLEST_NORMAL = 2 ** -126;
export const LARGEST = (2 - EPSILON) * 2 ** 127;
const HEADROOM = 2 ** 64; // keeps the exponentials of tails normal

const round = Math.fround;

/** @param {number[]} values */
const roundedSum = (values) => values.reduce((total, value) => round(total + value), 0);

/** @param {number[]} values @param {number} index */
const without = (values, index) => values.filter((_, i) => i !== index);

/**
 * The results of three variants of the formulas, and the exact ones, from double, for logits that are float32 already.
 * @param {number[]} z
 * @param {number} label
 * @returns {Record<Variant, Results>}
 */
export function results(z, label) {
  return {
    exact: exact(z, label),
    unshifted: unshifted(z, label),
    shifted: shifted(z, label),
    softgrad: softgrad(z, label),
  };
}

/** @param {number[]} z @param {number} label @returns {Results} */
function exact(z, label) {
  const row = softmax(z);
  const target = targets(oneHot(label, z.length), 0, 0);
  return { p: row.p[label], loss: loss(z, row, target), gradient: gradient(row, target)[label], sum: 0 };
}

/**
 * p = exp(z)/Σ exp(z), loss = −log p, gradient = p − y.
 * @param {number[]} z @param {number} label @returns {Results}
 */
function unshifted(z, label) {
  const e = z.map((value) => round(Math.exp(value)));
  const total = roundedSum(e);
  const p = e.map((value) => round(value / total));
  return { p: p[label], loss: round(-Math.log(p[label])), ...subtracted(p, label) };
}

/**
 * p = exp(z − m)/Σ exp(z − m), loss = log Σ exp(z − m) − (z − m), gradient = p − y.
 * @param {number[]} z @param {number} label @returns {Results}
 */
function shifted(z, label) {
  const max = Math.max(...z);
  const differences = z.map((value) => round(value - max));
  const e = differences.map((value) => round(Math.exp(value)));
  const total = roundedSum(e);
  const p = e.map((value) => round(value / total));
  return { p: p[label], loss: round(round(Math.log(total)) - differences[label]), ...subtracted(p, label) };
}

/** @param {number[]} p @param {number} label */
function subtracted(p, label) {
  const gradient = p.map((value, j) => (j === label ? round(value - 1) : value));
  return { gradient: gradient[label], sum: roundedSum(gradient) };
}

/**
 * p = exp(z − m)/(1 + s'), loss = log1p(s') + (m − z), gradient = −Σ_{j≠y} exp(z_j − m)/(1 + s') at the label. As in
 * the library, exponentials are float32, what follows is double, and each result is rounded once.
 * @param {number[]} z @param {number} label @returns {Results}
 */
function softgrad(z, label) {
  const max = Math.max(...z);
  // z − m is not rounded: the library's exponential reduces z and m each, and subtracts the remainders.
  const e = z.map((value) => round(Math.exp(value - max) * HEADROOM) / HEADROOM);
  const excess = sum(without(e, z.indexOf(max)));
  const gradient = e.map((value, j) => round((j === label ? -sum(without(e, label)) : value) / (1 + excess)));
  return {
    p: round(e[label] / (1 + excess)),
    loss: round(Math.log1p(excess) + (max - z[label])),
    gradient: gradient[label],
    sum: roundedSum(gradient),
  };
}

/**
 * The error in units of the distance between neighbouring float32 at the exact value; NaN if there is none.
 * @param {number} value
 * @param {number} exact
 */
export function ulps(value, exact) {
  if (value === exact) return 0;
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(exact))));
  return Math.abs(value - exact) / 2 ** (exponent - 23);
}

/**
 * To how many significant digits a float32 agrees with the one that is nearest to the exact value.
 * @param {number} value
 * @param {number} exact
 */
export function digitsRight(value, exact) {
  const nearest = round(exact);
  if (value === nearest) return DIGITS;
  if (!Number.isFinite(value) || !Number.isFinite(nearest)) return 0;
  for (let digits = DIGITS - 1; digits > 0; digits--) {
    if (value.toPrecision(digits) === nearest.toPrecision(digits)) return digits;
  }
  return 0;
}
