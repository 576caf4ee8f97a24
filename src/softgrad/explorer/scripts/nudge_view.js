/** A nudge: z_k grows by h, and the change of σ_j is compared with J_jk h, for h and for smaller steps. */

import { html, prose, table } from "#elements.js";
import { change, linearisationError } from "#nudge.js";
import { numberControl } from "#number_control.js";
import { format, scientific } from "#numbers.js";
import { softmax } from "#softmax.js";
import { RANGES } from "#state.js";
import { logit, sigma } from "#symbols.js";

/** @typedef {import("#store.js").Model} Model */
/** @typedef {import("#store.js").Store} Store */

const ROWS = 8; // steps in the table, each a tenth of the one before

/**
 * @typedef {object} Row
 * @property {number} h
 * @property {number} change of σ_j
 * @property {number} predicted J_jk h
 * @property {number} error change − predicted
 * @property {number} subtracted the error where the change is a difference of two rounded probabilities
 */

/** @param {Store} store */
export function nudgeView(store) {
  const step = numberControl("nudge-step", RANGES.step, (value) => store.set({ step: value }));
  const bars = [nudgeBar(), nudgeBar()];
  const verdict = html("p", { class: "verdict" });
  const numbers = html("div", { class: "scroll" });
  const rounding = html("p", { class: "note" });
  const title = html("h3");
  const element = html(
    "div",
    { class: "nudge" },
    title,
    step.element,
    ...bars.map((bar) => bar.element),
    verdict,
    numbers,
    rounding,
  );

  /** @param {Model} model */
  function update(model) {
    const { state } = model;
    const [j, k] = state.entry;
    const rows = nudgeRows(model);
    const [first] = rows;
    const largest = Math.max(Math.abs(first.change), Math.abs(first.predicted));
    title.replaceChildren(...prose(`A nudge: ${logit(state, k)} grows by h`));
    step.update(state.step, "Step h");
    bars[0].update(`change of ${sigma(state, j)}`, first.change, largest);
    bars[1].update(`J · h, for J = ${format(claimedSlope(model))}`, first.predicted, largest);
    verdict.textContent = verdictText(model);
    numbers.replaceChildren(stepsTable(rows, sigma(state, j)));
    rounding.textContent = roundingText(rows);
  }

  return { element, update };
}

/** The entry that the page shows: 0 off the diagonal where it shows only the diagonal. @param {Model} model */
function claimedSlope({ state, jacobian }) {
  const [j, k] = state.entry;
  return state.diagonalOnly && j !== k ? 0 : jacobian[j][k];
}

/**
 * @param {Model} model
 * @returns {Row[]}
 */
export function nudgeRows(model) {
  const { state, z, row, jacobian } = model;
  const [j, k] = state.entry;
  const slope = jacobian[j][k];
  const claimed = claimedSlope(model);
  return Array.from({ length: ROWS }, (_, n) => {
    const h = state.step / 10 ** n;
    const moved = change(slope, row.p[k], h);
    const subtracted = softmax(z.with(k, z[k] + h)).p[j] - row.p[j];
    return {
      h,
      change: moved,
      predicted: claimed * h,
      error: claimed === slope ? linearisationError(slope, row.p[k], h) : moved - claimed * h,
      subtracted: subtracted - claimed * h,
    };
  });
}

/** @param {Model} model */
function verdictText(model) {
  const [j, k] = model.state.entry;
  const slope = model.jacobian[j][k];
  if (slope === 0) return "Nothing changes: the entry is 0.";
  if (claimedSlope(model) !== slope)
    return "The error falls only tenfold with each row, as h does: J is not the slope.";
  if (Math.abs(model.row.p[k] - 0.5) > 1e-12) {
    return "The error falls about a hundredfold with each row, as h² does: J is the slope.";
  }
  return "The error falls about a thousandfold with each row, as h³ does: its term with h² is 0 where σ is ½.";
}

/** @param {Row[]} rows */
function roundingText(rows) {
  const lost = rows.find(({ error, subtracted }) => Math.abs(subtracted - error) > Math.abs(error));
  const how = "The last column subtracts two probabilities, as a numerical check of a derivative does.";
  if (!lost) return `${how} Its rounding does not matter for these steps; it does for smaller ones.`;
  return `${how} From h = ${stepText(lost.h)} on, their rounding is larger than the error.`;
}

/** @param {Row[]} rows @param {string} component */
function stepsTable(rows, component) {
  return table(
    "Smaller steps",
    ["h", html("span", {}, ...prose(`change of ${component}`)), "J · h", "error", "falls by", "error by subtraction"],
    rows.map(({ h, change, predicted, error, subtracted }, n) => [
      stepText(h),
      exact(change),
      exact(predicted),
      exact(error, 2),
      n === 0 || error === 0 ? "" : `${(rows[n - 1].error / error).toFixed(1)} ×`,
      exact(subtracted, 2),
    ]),
  );
}

/** @param {number} value @param {number} [decimals] of the mantissa */
function exact(value, decimals = 6) {
  return value === 0 ? "0" : scientific(value, decimals);
}

/** @param {number} h */
export function stepText(h) {
  return h >= 0.001
    ? String(Number(h.toPrecision(2)))
    : scientific(h, 1)
        .replace(/^1\.0·/, "")
        .replace(".0·", "·");
}

function nudgeBar() {
  const label = html("span");
  const fill = html("div", { class: "fill" });
  const value = html("span", { class: "value" });
  return {
    element: html("div", { class: "line" }, label, html("div", { class: "bar", "aria-hidden": "true" }, fill), value),
    /** @param {string} text @param {number} size @param {number} largest */
    update(text, size, largest) {
      label.replaceChildren(...prose(text));
      fill.style.width = `${largest === 0 ? 0 : (100 * Math.abs(size)) / largest}%`;
      fill.className = size < 0 ? "fill minus" : "fill plus";
      value.textContent = exact(size);
    },
  };
}
