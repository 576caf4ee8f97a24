/** Why float32 gives what it gives for a row: the sentences below the digits. */

import { LARGEST, SMALLEST, SMALLEST_NORMAL, ulps } from "#float32.js";
import { format, scientific, significant } from "#numbers.js";
import { softmax } from "#softmax.js";

/** @typedef {ReturnType<typeof import("#float32.js").results>} Results */

const FEW_ULPS = 4;

/**
 * @param {number[]} z logits that are float32
 * @param {number} label
 * @param {Results} results
 * @returns {string[]} one at least
 */
export function reasons(z, label, results) {
  const row = softmax(z);
  const found = [
    ...rangeReasons(z),
    ...(z[label] === row.max ? sumReasons(row.excess) : tailReasons(z[label] - row.max, results)),
  ];
  const agree = "Nothing is lost here: float32 holds about seven digits, and each variant has them. Choose an example.";
  return found.length > 0 ? found : [agree];
}

/** @param {number[]} z */
function rangeReasons(z) {
  const max = Math.max(...z);
  const exponential = `exp(${significant(max, 4)})`;
  if (Math.fround(Math.exp(max)) === Infinity) {
    return [
      `Without the shift, ${exponential} is above ${scientific(LARGEST, 1)}, the largest float32, and becomes ∞; ` +
        "∞/∞ is not a number (NaN). With m subtracted first, no exponential is above 1.",
    ];
  }
  if (Math.fround(Math.exp(max)) === 0) {
    return [
      `Without the shift, even ${exponential} is below ${scientific(SMALLEST, 1)}, the smallest float32, and becomes ` +
        "0; 0/0 is not a number (NaN). With m subtracted first, the largest exponential is 1.",
    ];
  }
  return [];
}

/** @param {number} excess s', for a label with the largest logit */
function sumReasons(excess) {
  if (excess === 0 || excess > 0.01) return [];
  const sum = `The other classes add s′ = ${scientific(excess, 1)} to the sum of exponentials. `;
  const kept = "softgrad keeps s′ apart: log1p(s′) is log(1 + s′) without this sum, and p − 1 is minus the other p.";
  if (Math.fround(1 + excess) > 1) {
    return [
      `${sum}In float32, 1 + s′ drops the digits of s′ below 6·10⁻⁸, and log(1 + s′) and p − 1 lack them. ${kept}`,
    ];
  }
  const double = 1 + excess === 1 ? " In double precision, with 53 binary digits, 1 + s′ is 1 as well." : "";
  return [
    `${sum}The float32 after 1 is 1 + 1.2·10⁻⁷, so 1 + s′ rounds to 1: log 1 = 0 and p − 1 = 0, as if nothing were ` +
      `left to learn.${double} ${kept}`,
  ];
}

/**
 * @param {number} distance z − m of the label, below 0
 * @param {Results} results
 */
function tailReasons(distance, { exact, shifted }) {
  if (distance === -Infinity) return ["The label is masked: p is exactly 0, and the loss is ∞."];
  if (exact.p < SMALLEST / 2) {
    return [
      `p is below ${scientific(SMALLEST, 1)}, the smallest float32, and becomes 0; −log 0 is ∞. ` +
        "log Σ exp(z − m) − (z − m) and softgrad's loss do not need p.",
    ];
  }
  if (exact.p < SMALLEST_NORMAL) {
    return [
      `So close to 0, float32 are multiples of ${scientific(SMALLEST, 1)}: p is ${format(exact.p / SMALLEST, 1)} of ` +
        "them, and no variant can have more digits. −log p inherits that error; " +
        "log Σ exp(z − m) − (z − m) and softgrad's loss do not need p.",
    ];
  }
  const error = Math.abs(Math.fround(distance) - distance);
  if (error > 0 && ulps(shifted.p, exact.p) > FEW_ULPS) {
    return [
      `With the shift, z − m = ${format(distance, 2)} is rounded before the exponential. An error of ` +
        `${scientific(error, 1)} in an exponent is a relative error of ${scientific(error, 1)} in p. ` +
        "softgrad's exponential takes z and m separately, and rounds later.",
    ];
  }
  return [];
}
