/** The Jacobian of softmax: a heat map, the derivation of the chosen entry, a nudge, and the whole matrix. */

import { diagonalPitfall } from "#diagonal_pitfall.js";
import { html, prose } from "#elements.js";
import { entryDerivation } from "#entry_derivation.js";
import { formula } from "#formulas.js";
import { largestIn } from "#heat_map.js";
import { jacobianGrid } from "#jacobian_grid.js";
import { jacobianStructure } from "#jacobian_structure.js";
import { nudgeView } from "#nudge_view.js";
import { format, signed } from "#numbers.js";
import { className } from "#state.js";
import { logit, sigma } from "#symbols.js";

/** @typedef {import("#store.js").Model} Model */
/** @typedef {import("#store.js").Store} Store */

/**
 * @param {Store} store
 * @returns {import("#store.js").View}
 */
export function jacobianView(store) {
  const diagonalOnly = html("input", {
    type: "checkbox",
    onchange: () => store.set({ diagonalOnly: diagonalOnly.checked }),
  });
  const grid = jacobianGrid(store);
  const least = html("span");
  const most = html("span");
  const entryTitle = html("p", { class: "entry-value" });
  const entryMeaning = html("p");
  const pitfall = diagonalPitfall(store);
  const nudge = nudgeView(store);
  const derivation = entryDerivation();
  const structure = jacobianStructure();
  const element = html(
    "div",
    { class: "jacobian" },
    html(
      "p",
      {},
      ...prose(
        "The Jacobian J says how fast each probability σ_j (row) changes with each logit z_k (column). " +
          "δ_jk is 1 for j = k, and 0 otherwise. Choose an entry.",
      ),
    ),
    html("div", { class: "formula" }, formula("jacobian-entry")),
    html("label", { class: "switch" }, diagonalOnly, "only the diagonal: a common mistake"),
    pitfall.element,
    html(
      "div",
      { class: "beside" },
      html("div", { class: "scroll" }, grid.element),
      html("div", { class: "entry" }, entryTitle, entryMeaning),
    ),
    legend(least, most),
    html(
      "p",
      { class: "note laws" },
      "Each row sums to 0, because the same number added to all logits changes no probability; ",
      "each column sums to 0, because the probabilities keep the sum 1.",
    ),
    nudge.element,
    derivation.element,
    structure.element,
  );

  /** @param {Model} model */
  function update(model) {
    const { state } = model;
    const [j, k] = state.entry;
    const shown = shownMatrix(model);
    const largest = largestIn(shown);
    diagonalOnly.checked = state.diagonalOnly;
    element.classList.toggle("wrong", state.diagonalOnly);
    grid.update(state, shown);
    least.textContent = format(-largest);
    most.textContent = signed(largest);
    entryTitle.replaceChildren(entryFormula(state, shown[j][k]));
    entryMeaning.replaceChildren(...prose(meaning(model)));
    for (const part of [pitfall, nudge, derivation, structure]) part.update(model);
  }

  return { element, update };
}

/** @param {Model} model */
function shownMatrix({ state, jacobian }) {
  if (!state.diagonalOnly) return jacobian;
  return jacobian.map((line, j) => line.map((value, k) => (j === k ? value : 0)));
}

/** @param {import("#state.js").State} state @param {number} value */
function entryFormula(state, value) {
  const [name_j, name_k] = state.entry.map((i) => className(state, i));
  return formula("jacobian-value", { name_j, name_k, value: signed(value) });
}

/** @param {Model} model */
function meaning({ state, jacobian }) {
  const [j, k] = state.entry;
  const [component, variable] = [sigma(state, j), logit(state, k)];
  const value = jacobian[j][k];
  if (value === 0) return `Raising ${variable} does not change ${component}: a probability of 0 or 1 stays.`;
  if (j === k) return `The case j = k: raising ${variable} raises its own probability.`;
  if (state.diagonalOnly) return `The case j ≠ k is missing: the true entry is ${signed(value)}.`;
  return `The case j ≠ k: raising ${variable} lowers ${component}, because the probabilities share the sum 1.`;
}

/** @param {HTMLElement} least @param {HTMLElement} most */
function legend(least, most) {
  return html(
    "div",
    { class: "legend" },
    html(
      "span",
      {},
      html("i", { class: "sample diagonal plus", "aria-hidden": "true" }, "+"),
      "j = k, rounded: ",
      formula("jacobian-same"),
      ", never negative",
    ),
    html(
      "span",
      {},
      html("i", { class: "sample minus", "aria-hidden": "true" }, "−"),
      "j ≠ k, square: ",
      formula("jacobian-other"),
      ", never positive",
    ),
    html("div", { class: "scale" }, least, html("i", { "aria-hidden": "true" }), most),
  );
}
