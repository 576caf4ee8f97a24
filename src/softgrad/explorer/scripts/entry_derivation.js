/** The derivation of one entry of the Jacobian by the quotient rule, with its numbers. */

import { html } from "#elements.js";
import { formula } from "#formulas.js";
import { format, signed } from "#numbers.js";
import { sum } from "#softmax.js";
import { className, classNames } from "#state.js";

/** @typedef {import("#store.js").Model} Model */

const PLAIN = 5; // the largest logit is from 0 to this where no exponential is scaled: e⁵ is 148.4

export function entryDerivation() {
  const title = html("h3");
  const note = html("p", { class: "note" });
  const steps = html("div");
  const result = html("p", { class: "result" });
  const element = html("details", { open: true }, html("summary", {}, title), note, steps, result);

  /** @param {Model} model */
  function update(model) {
    const [j, k] = model.state.entry;
    const values = entryValues(model);
    title.textContent = `Why it is ${signed(model.jacobian[j][k])}: the quotient rule`;
    note.textContent = scaleNote(offset(model.row.max));
    steps.replaceChildren(formula("steps-general", values), formula(j === k ? "steps-same" : "steps-other", values));
    result.textContent = resultText(model);
  }

  return { element, update };
}

/** @param {Model} model */
function resultText({ state, row, jacobian }) {
  const [j, k] = state.entry;
  const value = `= ${signed(jacobian[j][k])}`;
  // Rounded to four decimals, 1 − σ_k would be 0.
  const hidden = j === k && row.others[k] > 0 && row.others[k] < 0.001;
  return hidden ? `${value}, for 1 − σ is ${format(row.others[k])} before rounding` : value;
}

/** @param {number} scale m, which is subtracted from the logits */
function scaleNote(scale) {
  const numbers = "Below each line with symbols is the same line with the numbers of this entry.";
  if (scale === 0) return numbers;
  return (
    `${numbers} Each exponential is that of z − m, where m = ${format(scale, 2)} is the largest logit: ` +
    "the factor exp(−m) cancels in the fraction, and no number is too large or too small."
  );
}

/** @param {number} max the largest logit */
function offset(max) {
  return max >= 0 && max <= PLAIN ? 0 : max;
}

/**
 * What the slots of a derivation stand for.
 * @param {Model} model
 * @returns {import("#formulas.js").Values}
 */
export function entryValues({ state, z, row }) {
  const [j, k] = state.entry;
  const scale = offset(row.max);
  const exponentials = z.map((logit) => Math.exp(logit - scale));
  const text = exponentials.map((value) => format(value));
  return {
    name_j: className(state, j),
    name_k: className(state, k),
    name_i: classNames(state),
    exp_j: text[j],
    exp_k: text[k],
    exp_i: text,
    total: format(sum(exponentials)),
    delta_ik: z.map((_, i) => (i === k ? "1" : "0")),
    p_j: format(row.p[j]),
    p_k: format(row.p[k]),
  };
}
