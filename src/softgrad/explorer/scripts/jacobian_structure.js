/** The Jacobian as a whole: symmetry, Diag(σ) − σσᵀ in pictures, and eigenvalues. */

import { html, prose } from "#elements.js";
import { formula } from "#formulas.js";
import { largestIn, smallHeatMap } from "#heat_map.js";
import { format, signed } from "#numbers.js";
import { classNames } from "#state.js";
import { logit, sigma } from "#symbols.js";

/** @typedef {import("#store.js").Model} Model */

const LARGEST_EIGENVALUE = 0.5; // of any softmax: no row has a larger sum of absolute values than 2 p (1 − p) ≤ 1/2

export function jacobianStructure() {
  const symmetry = html("p");
  const pictures = html("div", { class: "difference" });
  const eigenvalues = html("ol", { class: "eigenvalues" });
  const meaning = html("p");
  const element = html(
    "section",
    { "aria-label": "The whole matrix" },
    html("h3", {}, "Symmetry"),
    symmetry,
    html("h3", {}, "A difference of two matrices"),
    html("div", { class: "formula" }, formula("jacobian-matrix")),
    html("div", { class: "scroll" }, pictures),
    html("h3", {}, "Eigenvalues"),
    eigenvalues,
    meaning,
  );

  /** @param {Model} model */
  function update(model) {
    symmetry.replaceChildren(...prose(symmetryText(model)));
    pictures.replaceChildren(...difference(model));
    eigenvalues.replaceChildren(...model.eigenvalues.map(eigenvalueBar));
    meaning.textContent = meaningText(model.row.p);
  }

  return { element, update };
}

/** @param {Model} model */
function symmetryText({ state, jacobian }) {
  const [j, k] = state.entry;
  if (j === k) return "J equals its transpose: choose an entry off the diagonal to see its twin.";
  return (
    `${sigma(state, j)} changes with ${logit(state, k)} as fast as ${sigma(state, k)} does with ${logit(state, j)}: ` +
    `both entries are ${signed(jacobian[j][k])}, because a product does not depend on the order of its factors.`
  );
}

/** @param {Model} model */
function difference({ state, row: { p }, jacobian }) {
  const names = classNames(state);
  const diagonal = p.map((pj, j) => p.map((_, k) => (j === k ? pj : 0)));
  const product = p.map((pj) => p.map((pk) => pj * pk));
  const largest = largestIn(diagonal);
  const sign = (/** @type {string} */ text) => html("span", { class: "operator" }, text);
  return [
    smallHeatMap("Diag(σ)", names, diagonal, largest),
    sign("−"),
    smallHeatMap("σσᵀ", names, product, largest),
    sign("="),
    smallHeatMap("J", names, jacobian, largest),
  ];
}

/** @param {number} value */
function eigenvalueBar(value) {
  const fill = html("div", { class: "fill", style: `width: ${(100 * value) / LARGEST_EIGENVALUE}%` });
  return html(
    "li",
    { class: "line" },
    html("div", { class: "bar", "aria-hidden": "true" }, fill),
    html("span", { class: "value" }, format(value)),
  );
}

/** @param {number[]} p */
function meaningText(p) {
  const zeros = p.filter((value) => value === 0).length;
  const masked = zeros === 0 ? "" : `${zeros === 1 ? "Another is" : `${zeros} others are`} 0 for a probability of 0. `;
  return (
    "One eigenvalue is 0, for the vector of ones: adding the same number to all logits changes nothing. " +
    `${masked}All others are positive, so J is positive semidefinite. None exceeds ½, the full length of a bar.`
  );
}
