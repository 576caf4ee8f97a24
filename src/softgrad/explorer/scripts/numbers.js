/** Numbers as a reader sees them: a true minus sign, and powers of ten with a raised exponent. */

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/**
 * A number with at most `digits` decimals, or with as many significant digits if that would hide it.
 * @param {number} value
 * @param {number} [digits]
 */
export function format(value, digits = 4) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 10 ** -digits || size >= 1e6) return scientific(value, digits - 1);
  return value.toFixed(digits).replace("-", "−");
}

/**
 * @param {number} value
 * @param {number} decimals of the mantissa
 */
export function scientific(value, decimals) {
  const [mantissa, exponent] = value.toExponential(decimals).split("e");
  const raised = [...exponent.replace("+", "")].map((sign) => (sign === "-" ? "⁻" : RAISED[Number(sign)])).join("");
  return `${mantissa.replace("-", "−")}·10${raised}`;
}

/**
 * A number with a fixed number of significant digits; 0, NaN and ∞ have none.
 * @param {number} value
 * @param {number} digits
 */
export function significant(value, digits) {
  if (value === 0 || !Number.isFinite(value)) return format(value);
  const exponent = Number(value.toExponential(digits - 1).split("e")[1]);
  if (exponent < -4 || exponent >= digits) return scientific(value, digits - 1);
  return value.toPrecision(digits).replace("-", "−");
}

/**
 * A number with an explicit sign.
 * @param {number} value
 * @param {number} [digits]
 */
export function signed(value, digits = 4) {
  return value > 0 ? `+${format(value, digits)}` : format(value, digits);
}

/** A number as a text field holds it, with all its digits. @param {number} value */
export function plain(value) {
  return Number.isFinite(value) ? String(value).replaceAll("-", "−") : format(value);
}

/**
 * The number that a text field holds; a comma and a true minus sign are understood, and −∞ as "-inf".
 * @param {string} text
 * @returns {number | null} null if the text is not a number
 */
export function parse(text) {
  const ascii = text.trim().replaceAll("−", "-").replace(",", ".").replace("∞", "inf").toLowerCase();
  if (ascii === "-inf") return -Infinity;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(ascii) && Number.isFinite(Number(ascii)) ? Number(ascii) : null;
}
