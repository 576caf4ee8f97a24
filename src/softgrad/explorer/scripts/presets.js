/** Rows of logits that show something. */

import { INITIAL, LETTERS, oneHot } from "#state.js";

/** @type {[string, string, number[], number][]} name, what it shows, scores, label */
export const PRESETS = [
  ["Start", "three classes, one ahead", INITIAL.scores, 0],
  ["Uniform", "equal logits: equal probabilities", [0, 0, 0], 0],
  ["Confident", "the target is far ahead: the loss is almost 0", [0, 12, 0], 1],
  ["Confidently wrong", "another class is far ahead: the loss is its lead", [0, 12, 0], 0],
  ["Tie", "two classes share the lead", [2, 2, 0], 0],
  ["Masked class", "a logit of −∞: a probability of exactly 0", [2, 1, -Infinity], 0],
  ["Large offset", "1000 added to each logit changes nothing", [1002, 1001, 1000], 0],
];

/** @param {number[]} scores @param {number} label */
export function presetState(scores, label) {
  return {
    names: [...LETTERS].slice(0, scores.length),
    scores: [...scores],
    temperature: 1,
    target: oneHot(label, scores.length),
  };
}
