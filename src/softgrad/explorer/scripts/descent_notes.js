/** Where a path stands, in a table and in words. */

import { table } from "#elements.js";
import { format, signed } from "#numbers.js";
import { className } from "#state.js";
import { sum } from "#softmax.js";

/** @typedef {import("#descent.js").Point} Point */
/** @typedef {import("#store.js").Model} Model */

/**
 * @param {string[]} names of the classes
 * @param {Point[]} path
 * @param {number[] | null} goal y/Σ y
 */
export function standing(names, path, goal) {
  const start = path[0];
  const now = path[path.length - 1];
  const change = now.z.map((logit, j) => (logit === -Infinity ? 0 : logit - start.z[j]));
  return table(
    "Where the path stands",
    ["class", "σ at start", "σ now", "y/Σ y", "Δz"],
    names.map((name, j) => [
      name,
      format(start.row.p[j]),
      format(now.row.p[j]),
      goal ? format(goal[j]) : "none",
      signed(change[j]),
    ]),
  );
}

/**
 * What the method does to this path, with its numbers.
 * @param {Model} model
 * @param {Point[]} path
 */
export function explanation(model, path) {
  const { state, target } = model;
  if (target.mass === 0) return "All weights of the target are 0, so no class is preferred.";
  if (state.method === "diagonal") return diagonalNote(model, path);
  const way =
    state.method === "newton"
      ? "Newton's method divides the gradient by the curvature; λ keeps its steps finite where the curvature is nearly 0."
      : "A logit falls where σ_k Σ y is above y_k, and rises where it is below.";
  const rest = state.zLoss ? "σ = y/Σ y and lse = 0" : "σ = y/Σ y";
  const never = target.y.includes(0) ? " A probability of 0 is only approached: no finite logits reach it." : "";
  return `${way} The path rests only where ${rest}.${never}`;
}

/** @param {Model} model @param {Point[]} path */
function diagonalNote(model, path) {
  const { state, target } = model;
  const labels = target.y.flatMap((y, j) => (y > 0 ? [j] : []));
  const extra = state.zLoss ? " (The z-loss is differentiated in full, and moves all logits.)" : "";
  const [label] = labels;
  return (labels.length === 1 ? oneLabelNote(model, path, label) : softNote(model, path)) + extra;
}

/** @param {Model} model @param {Point[]} path @param {number} label */
function oneLabelNote({ state, target }, path, label) {
  const { p } = path[path.length - 1].row;
  const loser = furthest(p.map((value, j) => (j === label ? -1 : value)));
  return (
    `The diagonal alone is wrong: it moves only the logit of ${className(state, label)}. The logit of ${className(state, loser)} ` +
    `never falls, although its gradient is ${target.mass === 1 ? "σ" : "σ Σ y"} = ${format(p[loser] * target.mass)}. With a single true class σ still ` +
    "goes to y, only more slowly; with weights on three or more classes it does not."
  );
}

/** @param {Model} model @param {Point[]} path */
function softNote({ state, target }, path) {
  const { row, loss } = path[path.length - 1];
  const goal = target.y.map((y) => y / target.mass);
  const worst = furthest(row.p.map((p, j) => Math.abs(p - goal[j])));
  const least = -sum(goal.map((share, j) => (share > 0 ? target.y[j] * Math.log(share) : 0)));
  const rest =
    target.y.filter((y) => y > 0).length === 2
      ? "With only two weights that is still σ = y/Σ y."
      : "In general that is not σ = y/Σ y.";
  return (
    "The diagonal alone is wrong: no logit ever falls. σ comes to rest where y_k (1 − σ_k) is the same for all classes " +
    `that keep a probability. ${rest} ` +
    `Now σ of ${className(state, worst)} is ${format(row.p[worst])} and its target ${format(goal[worst])}; ` +
    `the loss is ${format(loss)}, and the lowest possible ${format(least)}.`
  );
}

/** @param {number[]} distances */
function furthest(distances) {
  return distances.indexOf(Math.max(...distances));
}
