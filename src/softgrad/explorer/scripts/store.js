/** The one state of the page, and everything computed from it. */

import * as crossEntropy from "#cross_entropy.js";
import { eigenvalues, jacobian, softmax } from "#softmax.js";

/** @typedef {import("#state.js").State} State */

/**
 * A state with the results of the formulas for it.
 * @typedef {object} Model
 * @property {State} state
 * @property {number[]} z logits, scores/T
 * @property {import("#softmax.js").Softmax} row
 * @property {number[][]} jacobian
 * @property {number[]} eigenvalues
 * @property {import("#cross_entropy.js").Targets} target
 * @property {number} loss
 * @property {number[]} gradient
 * @property {number[][]} hessian
 */

/**
 * A part of the page: its element, and what changes in it with the model.
 * @typedef {{element: HTMLElement, update: (model: Model) => void}} View
 */

/** @param {State} state @returns {Model} */
export function model(state) {
  const z = state.scores.map((score) => score / state.temperature);
  const row = softmax(z);
  const target = crossEntropy.targets(state.target, state.smoothing, state.zLoss);
  return {
    state,
    z,
    row,
    jacobian: jacobian(row),
    eigenvalues: eigenvalues(row.p),
    target,
    loss: crossEntropy.loss(z, row, target),
    gradient: crossEntropy.gradient(row, target),
    hessian: crossEntropy.hessian(row, target),
  };
}

export class Store {
  /** @type {((model: Model) => void)[]} */
  #listeners = [];

  /** @param {State} state */
  constructor(state) {
    this.state = state;
  }

  /** @param {(model: Model) => void} listener called now and after every change */
  subscribe(listener) {
    this.#listeners.push(listener);
    listener(model(this.state));
  }

  /** @param {Partial<State>} change */
  set(change) {
    this.state = { ...this.state, ...change };
    const current = model(this.state);
    for (const listener of this.#listeners) listener(current);
  }
}
