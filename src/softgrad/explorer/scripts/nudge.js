/** How p_j changes when z_k grows by h, and how far from J_jk h that is; no digit is lost however small h is. */

/**
 * p_j(z + h e_k) − p_j(z) = J_jk (e^h − 1)/(1 + p_k (e^h − 1)), which is not a difference of two probabilities.
 * @param {number} slope J_jk
 * @param {number} pk p_k
 * @param {number} h
 */
export function change(slope, pk, h) {
  return (slope * Math.expm1(h)) / (1 + pk * Math.expm1(h));
}

/**
 * p_j(z + h e_k) − p_j(z) − J_jk h = J_jk Σ_{n≥2} (1 − n p_k) h^n/n! / (1 + p_k (e^h − 1)); for |h| ≤ 2.
 * @param {number} slope J_jk
 * @param {number} pk p_k
 * @param {number} h
 */
export function linearisationError(slope, pk, h) {
  let series = 0;
  let power = h; // h^n/n!
  for (let n = 2; n <= 40; n++) {
    power *= h / n;
    series += (1 - n * pk) * power;
  }
  return (slope * series) / (1 + pk * Math.expm1(h));
}
