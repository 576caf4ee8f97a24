/** Symbols of a class for prose(): σ and z with the name of the class as their index. */

import { className } from "#state.js";

/** @typedef {import("#state.js").State} State */

/** @param {State} state @param {number} j */
export function sigma(state, j) {
  return `σ_{${className(state, j)}}`;
}

/** @param {State} state @param {number} j */
export function logit(state, j) {
  return `z_{${className(state, j)}}`;
}
