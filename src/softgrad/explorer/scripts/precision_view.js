/** float32 digit by digit: the textbook's formulas and softgrad's, for the current logits and label. */

import { html } from "#elements.js";
import { DIGITS, digitsRight, results, ulps } from "#float32.js";
import { scientific, significant } from "#numbers.js";
import { reasons } from "#precision_reasons.js";
import { presetState } from "#presets.js";
import { className } from "#state.js";

/** @typedef {import("#float32.js").Variant} Variant */
/** @typedef {import("#float32.js").Results} Results */

/** @type {[string, number[], number][]} name, scores, label */
const ROWS = [
  ["Confident: 0, 40, 0", [0, 40, 0], 1],
  ["Large offset: 1002, 1001, 1000", [1002, 1001, 1000], 0],
  ["Tail: 0, −100, 0", [0, -100, 0], 1],
];

/** @type {{title: string, part: keyof Results, formulas: Record<Exclude<Variant, "exact">, string>}[]} */
const QUANTITIES = [
  {
    title: "Probability p of the label",
    part: "p",
    formulas: {
      unshifted: "exp(z) / Σ exp(z)",
      shifted: "exp(z − m) / Σ exp(z − m)",
      softgrad: "exp(z − m) / (1 + s′)",
    },
  },
  {
    title: "Loss −log p",
    part: "loss",
    formulas: {
      unshifted: "−log p",
      shifted: "log Σ exp(z − m) − (z − m)",
      softgrad: "log1p(s′) + (m − z)",
    },
  },
  {
    title: "Gradient p − 1 at the label",
    part: "gradient",
    formulas: {
      unshifted: "p − 1",
      shifted: "p − 1",
      softgrad: "−Σ p of the others",
    },
  },
];
/** @type {[Exclude<Variant, "exact">, string][]} */
const VARIANTS = [
  ["unshifted", "textbook"],
  ["shifted", "with the shift"],
  ["softgrad", "softgrad"],
];

/**
 * @param {import("#store.js").Store} store
 * @returns {import("#store.js").View}
 */
export function precisionView(store) {
  const buttons = ROWS.map(([name, scores, label]) =>
    html("button", { type: "button", onclick: () => store.set(presetState(scores, label)) }, name),
  );
  const choice = html("p", {});
  const numbers = html("div", { class: "scroll" });
  const why = html("div", { class: "why" });
  const sums = html("p", {});
  const element = html(
    "div",
    { class: "precision" },
    html(
      "p",
      {},
      "Neural networks are usually trained in float32, whose numbers have 24 binary digits, about seven decimal ones. ",
      "Formulas that are equal on paper are not equal there. p is the σ of the label, m the largest logit, and s′ ",
      "the sum of exp(z − m) over all classes but that of m.",
    ),
    html("div", { class: "controls" }, html("span", {}, "Examples"), ...buttons),
    choice,
    why,
    numbers,
    sums,
    html(
      "p",
      { class: "note" },
      "Bold, underlined digits are right: rounded to so many digits, the result and the exact value are equal. An ULP ",
      "is the distance from one float32 to the next; rounding the exact value costs up to 0.5 ULP. The formulas of the ",
      "textbook are rounded after each operation, softgrad's as in the library: float32 exponentials, their sum in ",
      "double, one rounding at the end.",
    ),
  );
  return {
    element,
    update({ state, z }) {
      const label = state.target.indexOf(Math.max(...state.target));
      const logits = z.map(Math.fround);
      const found = results(logits, label);
      choice.textContent =
        `The label is ${className(state, label)}, the class with the largest weight in the target. ` +
        "The logits are rounded to float32 first.";
      numbers.replaceChildren(digitTable(found));
      why.replaceChildren(...reasons(logits, label, found).map((reason) => html("p", {}, reason)));
      sums.textContent =
        "The entries of the gradient add up to 0. Added in float32, they give " +
        `${value(found.unshifted.sum)} (textbook), ${value(found.shifted.sum)} (with the shift) and ` +
        `${value(found.softgrad.sum)} (softgrad).`;
    },
  };
}

/** @param {number} number */
const value = (number) => significant(number, 2);

/** @param {Record<Variant, Results>} found */
function digitTable(found) {
  const columns = ["formula", "result", "right digits", "error"];
  return html(
    "table",
    {},
    html("caption", {}, "float32, digit by digit"),
    html("thead", {}, html("tr", {}, ...columns.map((column) => html("th", { scope: "col" }, column)))),
    ...QUANTITIES.map(({ title, part, formulas }) =>
      html(
        "tbody",
        {},
        html("tr", { class: "quantity" }, html("th", { colspan: columns.length, scope: "rowgroup" }, title)),
        exactRow(found.exact[part]),
        ...VARIANTS.map(([variant, name]) =>
          resultRow(name, formulas[variant], found[variant][part], found.exact[part]),
        ),
      ),
    ),
  );
}

/** @param {string} name @param {string} formula */
const heading = (name, formula) => html("th", { scope: "row" }, `${name}: `, html("span", {}, formula));

/** @param {number} exact */
function exactRow(exact) {
  const result = html("td", {}, significant(Math.fround(exact), DIGITS));
  return html("tr", { class: "exact" }, heading("exact", "rounded to float32"), result, html("td"), html("td"));
}

/**
 * @param {string} name
 * @param {string} formula
 * @param {number} result
 * @param {number} exact
 */
function resultRow(name, formula, result, exact) {
  const right = digitsRight(result, exact);
  return html(
    "tr",
    {},
    heading(name, formula),
    html("td", {}, ...markedDigits(significant(result, DIGITS), right)),
    html("td", {}, `${right} of ${DIGITS}`),
    html("td", {}, errorText(ulps(result, exact))),
  );
}

/** @param {number} error in ULP */
function errorText(error) {
  if (!Number.isFinite(error)) return "—";
  return `${error < 1e4 ? error.toFixed(1) : scientific(error, 1)} ULP`;
}

/**
 * A number whose first significant digits are marked as right.
 * @param {string} text
 * @param {number} right how many
 */
export function markedDigits(text, right) {
  const end = right === DIGITS ? text.length : endOfDigits(text, right);
  return [html("b", {}, text.slice(0, end)), text.slice(end)];
}

/**
 * Where the significant digits of a number end.
 * @param {string} text
 * @param {number} count
 */
export function endOfDigits(text, count) {
  const first = text.search(/[1-9]/);
  if (count === 0 || first < 0) return 0;
  let end = first;
  for (let digits = 0; digits < count; end++) {
    if (text[end] !== ".") digits++;
  }
  return end;
}
