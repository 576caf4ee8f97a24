/**
 * Softmax of one row of logits and its Jacobian, by the formulas of docs/design.md: sums of exponentials omit the
 * largest one, and complements 1 − p_j are sums, so that nothing cancels.
 */

/**
 * @typedef {object} Softmax
 * @property {number[]} p probabilities
 * @property {number[]} others Σ_{i≠j} p_i, which is 1 − p_j
 * @property {number[]} logP log-probabilities in nats
 * @property {number} lse log Σ exp(z_i) in nats
 * @property {number} max the largest logit m
 * @property {number} excess s' = Σ exp(z_i − m) over all elements but one largest
 */

/**
 * Softmax of logits, of which one at least is finite; −∞ is a probability of 0.
 * @param {number[]} z
 * @returns {Softmax}
 */
export function softmax(z) {
  const max = Math.max(...z);
  const largest = z.indexOf(max);
  const e = z.map((value) => Math.exp(value - max));
  const excess = sum(e.filter((_, j) => j !== largest));
  const total = 1 + excess;
  return {
    p: e.map((value) => value / total),
    others: e.map((_, j) => sum(e.filter((_, i) => i !== j)) / total),
    logP: z.map((value) => value - max - Math.log1p(excess)),
    lse: max + Math.log1p(excess),
    max,
    excess,
  };
}

/**
 * J = Diag(p) − p pᵀ: ∂p_j/∂z_k in row j and column k.
 * @param {Softmax} row
 * @returns {number[][]}
 */
export function jacobian({ p, others }) {
  return p.map((pj, j) => p.map((pk, k) => (j === k ? pj * others[j] : -pj * pk)));
}

/**
 * Eigenvalues of J, ascending: 0, and the roots of Σ p_i/(p_i − λ) = 0, one between two neighbouring probabilities.
 * @param {number[]} p
 * @returns {number[]}
 */
export function eigenvalues(p) {
  const poles = [...p].sort((a, b) => a - b);
  const roots = poles.slice(1).map((high, i) => rootBetween(poles[i], high, poles));
  return [0, ...roots];
}

/**
 * The sum rises from −∞ to ∞ between two poles, so bisection finds its root.
 * @param {number} low
 * @param {number} high
 * @param {number[]} poles
 */
function rootBetween(low, high, poles) {
  for (;;) {
    const middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return high === low ? low : middle;
    if (sum(poles.map((pole) => pole / (pole - middle))) < 0) low = middle;
    else high = middle;
  }
}

/** @param {number[]} values */
export function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
