import assert from "node:assert/strict";
import { test } from "node:test";

import { LESSONS } from "../../src/softgrad/explorer/scripts/lessons.js";
import { INITIAL } from "../../src/softgrad/explorer/scripts/state.js";
import { model } from "../../src/softgrad/explorer/scripts/store.js";

const [SOFTMAX, SAME, OTHER, CROSS_ENTROPY, ONE_HOT] = LESSONS;
const B_LABEL = [0, 1, 0];

/** What the lesson says of a state that differs from the initial one. */
function check(lesson, change) {
  return lesson.check(model({ ...INITIAL, ...lesson.start(INITIAL), ...change }));
}

// Each lesson with a right, a wrong and a nearly right answer, and with pages on which it cannot be answered.
for (const [name, lesson, change, done, words] of [
  ["B is at 0.95", SOFTMAX, { scores: [0, 4, 1] }, true, "Yes"],
  ["B is at 0.24", SOFTMAX, {}, false, "σ_{B} is 0.2447"],
  ["B is at 0.9 less a little", SOFTMAX, { scores: [0, Math.log(9) - 1e-6], names: ["A", "B"] }, false, "0.9000"],
  ["B is masked", SOFTMAX, { scores: [0, -Infinity, 1] }, false, "masked"],
  ["A is at 1/2", SAME, { scores: [0, 0], names: ["A", "B"] }, true, "1/4"],
  ["A is at 0.67", SAME, {}, false, "is 0.2227, at σ_{A} = 0.6652"],
  ["A is at 0.48", SAME, { scores: [-0.08, 0], names: ["A", "B"] }, false, "0.4800"],
  ["A is masked", SAME, { scores: [-Infinity, 0, 0] }, false, "A is masked"],
  ["all but A are masked", SAME, { scores: [0, -Infinity, -Infinity] }, false, "B is masked"],
  ["row B, column A", OTHER, { entry: [1, 0] }, true, "−σ_{B} σ_{A}, below 0"],
  ["the diagonal", OTHER, { entry: [0, 0] }, false, "how σ_{A} changes with z_{A}"],
  ["row A, column B", OTHER, { entry: [0, 1] }, false, "J is symmetric"],
  ["row B, column C", OTHER, { entry: [1, 2] }, false, "how σ_{B} changes with z_{C}"],
  ["only the diagonal is shown", OTHER, { entry: [1, 0], diagonalOnly: true }, false, "switch it off"],
  ["the loss is 3", CROSS_ENTROPY, { scores: [0, Math.log(Math.exp(3) - 1)], target: [1, 0] }, true, "e⁻³"],
  ["the loss is 0.41", CROSS_ENTROPY, {}, false, "0.4076"],
  ["the loss is 3.06", CROSS_ENTROPY, { scores: [0, Math.log(Math.exp(3.06) - 1)], target: [1, 0] }, false, "3.0600"],
  ["the loss is 3 at B", CROSS_ENTROPY, { scores: [3, 0.05, 0], target: B_LABEL }, false, "not A alone"],
  ["the target is 1, 1, 0", CROSS_ENTROPY, { target: [1, 1, 0] }, false, "not A alone"],
  ["there is smoothing", CROSS_ENTROPY, { smoothing: 0.1 }, false, "smoothing"],
  ["the label is B", ONE_HOT, { target: B_LABEL }, true, "is σ_{A} itself"],
  ["the label is A", ONE_HOT, {}, false, "−0.3348: descent raises z_{A}"],
  ["the target is soft", ONE_HOT, { target: [0.5, 0.5, 0] }, false, "+0.1652, but the target is not one-hot"],
  ["A is masked and the label is B", ONE_HOT, { target: B_LABEL, scores: [-Infinity, 1, 0] }, false, "keeps z_{A}"],
]) {
  test(`${lesson.title}: ${name}`, () => {
    const answer = check(lesson, change);
    assert.equal(answer.done, done, answer.feedback);
    assert.ok(answer.feedback.includes(words), answer.feedback);
    assert.equal(answer.feedback.startsWith("Yes. "), done);
  });
}

test("no lesson changes the logits, and none begins answered on the first page", () => {
  for (const lesson of LESSONS) {
    const start = lesson.start(INITIAL);
    assert.deepEqual(
      Object.keys(start).filter((key) => ["scores", "temperature", "names"].includes(key)),
      [],
    );
    assert.equal(lesson.check(model({ ...INITIAL, ...start })).done, false);
  }
});

test("the texts have the names of the classes on the page", () => {
  const state = { ...INITIAL, names: ["cat", "", "bird"] };
  for (const lesson of LESSONS) {
    const words = [lesson.text(state), lesson.question(state), lesson.hint(state), lesson.check(model(state)).feedback];
    assert.doesNotMatch(words.join(" "), /\b[ABC]\b|undefined/);
  }
  assert.match(SOFTMAX.question(state), /class 2/);
});
