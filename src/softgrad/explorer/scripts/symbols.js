/** Symbols of a class within text: σ and z with the name of the class as their index. */

import { html } from "#elements.js";

/**
 * The name of class i of a state, or its number if it has no name.
 * @param {import("#state.js").State} state
 * @param {number} i
 */
export function className({ names }, i) {
  return names[i] || String(i + 1);
}

/** @param {import("#state.js").State} state @param {number} i */
export function sigma(state, i) {
  return symbol("σ", className(state, i));
}

/** @param {import("#state.js").State} state @param {number} i */
export function logit(state, i) {
  return symbol("z", className(state, i));
}

/** @param {string} letter @param {string} index */
function symbol(letter, index) {
  return html("span", { class: "symbol" }, letter, html("sub", {}, index));
}
