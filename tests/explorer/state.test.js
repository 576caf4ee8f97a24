import assert from "node:assert/strict";
import { test } from "node:test";

import {
  fragment,
  INITIAL,
  parseFragment,
  withClass,
  withoutClass,
} from "../../src/softgrad/explorer/scripts/state.js";

test("the initial state has an empty fragment", () => {
  assert.equal(fragment(INITIAL), "");
  assert.deepEqual(parseFragment(""), { state: INITIAL, problems: [] });
});

test("every part of the state survives a round trip", () => {
  const state = {
    names: ["cat, or dog", "%", "bird=1", "ß"],
    scores: [1.5, -Infinity, 1e6, -3e-7],
    temperature: 0.5,
    target: [0.25, 0, 1, 0.125],
    smoothing: 0.1,
    zLoss: 1e-4,
    view: "descent",
    entry: [3, 2],
    step: 1e-6,
    diagonalOnly: true,
    scale: "log",
    method: "newton",
    rate: 2,
    damping: 0.01,
    lesson: 3,
  };
  assert.deepEqual(parseFragment(fragment(state)), { state, problems: [] });
});

for (const text of [
  "z=1",
  "z=1,2,3,4,5,6,7,8,9",
  "z=1,,2",
  "z=1,two",
  "z=1,Infinity",
  "z=-inf,-inf",
  "z=1,2&names=A,B,D",
  "names=%",
  `names=${"a".repeat(13)},B,C`,
  "T=0",
  "T=",
  "y=-1,1,1",
  "y=2,0,0",
  "z=0x10,1",
  "y=1,0",
  "view=__proto__",
  "entry=0,1",
  "entry=1,4",
  "entry=1",
  "entry=1.5,1",
  "diagonal=constructor",
  "h=0",
  "lesson=6",
  "constructor=1",
  "scale=",
  "T=2&T=3",
  "T=NaN",
  "T=1e400",
  "=",
]) {
  test(`${text} is reported, and replaced`, () => {
    const { state, problems } = parseFragment(text);
    assert.equal(problems.length, 1);
    assert.equal(state.names.length, state.scores.length);
    assert.equal(state.target.length, state.scores.length);
    assert.equal(parseFragment(fragment(state)).problems.length, 0);
  });
}

test("problems are short, and half a character does not break the address", () => {
  for (const text of ["x".repeat(10_000), `z=${"1".repeat(10_000)},2`]) {
    assert.ok(parseFragment(text).problems.every((problem) => problem.length < 200));
  }
  assert.equal(fragment({ ...INITIAL, names: ["\ud800", "B", "C"] }), "names=%EF%BF%BD,B,C");
});

test("the chosen entry stays with its classes", () => {
  const entry = /** @type {[number, number]} */ ([1, 2]);
  const state = { ...INITIAL, entry };
  assert.deepEqual(
    [0, 1, 2].map((index) => withoutClass(state, index).entry),
    [
      [0, 1],
      [1, 1],
      [1, 1],
    ],
  );
});

test("classes are added and removed up to the limits", () => {
  let state = INITIAL;
  while (state.names.length < 8) state = withClass(state);
  assert.deepEqual(state.names, [..."ABCDEFGH"]);
  state = { ...state, entry: [7, 0] };
  while (state.names.length > 2) state = withoutClass(state, 0);
  assert.deepEqual(
    [state.names, state.target, state.entry],
    [
      ["G", "H"],
      [1, 0],
      [1, 0],
    ],
  );
});
