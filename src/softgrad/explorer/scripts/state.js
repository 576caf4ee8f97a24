/** The state of the page, and its form in the fragment of the address, which makes every picture a link. */

import { parse, plain } from "#numbers.js";

/** @typedef {"softmax" | "jacobian" | "cross-entropy" | "descent" | "precision"} ViewName */
/** @typedef {"gradient" | "diagonal" | "newton"} Method */

/**
 * @typedef {object} State
 * @property {string[]} names of the classes
 * @property {number[]} scores of the classes; −∞ masks a class
 * @property {number} temperature T; the logits are z = scores/T
 * @property {number[]} target class probabilities q, whose sum need not be 1
 * @property {number} smoothing ε of label smoothing
 * @property {number} zLoss ζ
 * @property {ViewName} view
 * @property {[number, number]} entry the chosen entry (j, k) of the Jacobian
 * @property {number} step h, by which the nudge changes z_k
 * @property {boolean} diagonalOnly whether the Jacobian is only its diagonal, which is wrong
 * @property {"linear" | "log"} scale of the bars
 * @property {Method} method of descent
 * @property {number} rate of gradient descent
 * @property {number} damping λ of Newton's method
 * @property {number} lesson from 1 to 5; 0 for none
 */

export const MIN_CLASSES = 2;
export const MAX_CLASSES = 8;
export const MAX_NAME = 12; // characters of a name
export const LETTERS = "ABCDEFGH";

/** @typedef {object} Range @property {number} low @property {number} high @property {boolean} [logarithmic] sliders */

/** @type {Range} */
export const SCORES = { low: -1e6, high: 1e6 };
/** @type {Range} */
export const UNIT = { low: 0, high: 1 };

/** @satisfies {{[part in keyof State]?: Range}} */
export const RANGES = {
  temperature: { low: 0.01, high: 100, logarithmic: true },
  smoothing: UNIT,
  zLoss: UNIT,
  step: { low: 1e-8, high: 2, logarithmic: true },
  rate: { low: 0.001, high: 100, logarithmic: true },
  damping: { low: 1e-6, high: 100, logarithmic: true },
};

/** What numbers of a range are, in words. @param {Range} range */
export function expected({ low, high }) {
  return `a number from ${plain(low)} to ${plain(high)}`;
}

/** @type {State} */
export const INITIAL = {
  names: ["A", "B", "C"],
  scores: [2, 1, 0],
  temperature: 1,
  target: [1, 0, 0],
  smoothing: 0,
  zLoss: 0,
  view: "softmax",
  entry: [0, 1],
  step: 0.1,
  diagonalOnly: false,
  scale: "linear",
  method: "gradient",
  rate: 0.5,
  damping: 0.1,
  lesson: 0,
};

/** @type {ViewName[]} */
const VIEWS = ["softmax", "jacobian", "cross-entropy", "descent", "precision"];

/** @param {Range} range @returns {(text: string) => number | undefined} */
const between =
  ({ low, high }) =>
  (text) => {
    const value = parse(text) ?? NaN;
    return value >= low && value <= high ? value : undefined;
  };

/** A number of the state, as a key of the fragment has it. @param {keyof typeof RANGES} part */
const numberKey = (part) => ({ part, read: between(RANGES[part]), expected: expected(RANGES[part]) });

/** @template {string} Value @param {Value[]} values @returns {(text: string) => Value | undefined} */
const oneOf = (values) => (text) => values.find((value) => value === text);

/** @param {(text: string) => number | undefined} read @returns {(text: string) => number[] | undefined} */
const list = (read) => (text) => {
  const values = text.split(",").map(read);
  const size = values.length >= MIN_CLASSES && values.length <= MAX_CLASSES;
  return size && values.every((value) => value !== undefined) ? /** @type {number[]} */ (values) : undefined;
};

/** @param {string} text */
function readNames(text) {
  const names = text.split(",").map(decodeURIComponent);
  return names.every((name) => name.length <= MAX_NAME) ? names : undefined;
}

/** Without halves of characters, which an address cannot hold. @param {string} name */
const wellFormed = (name) => name.replaceAll(/\p{Surrogate}/gu, "\ufffd");

/** @param {string} text */
const score = (text) => (text === "-inf" ? -Infinity : between(SCORES)(text));

/**
 * The keys of the fragment: how each part of the state is written and read; `read` gives undefined for what it refuses.
 * @type {{[key: string]: {part: keyof State, read: (text: string) => any, expected: string, write?: (value: any) => string}}}
 */
const KEYS = {
  z: {
    part: "scores",
    read: (text) => list(score)(text),
    write: (scores) => scores.map((/** @type {number} */ value) => (value === -Infinity ? "-inf" : value)).join(","),
    expected: `${MIN_CLASSES} to ${MAX_CLASSES} numbers from ${plain(SCORES.low)} to ${plain(SCORES.high)}, or -inf`,
  },
  names: {
    part: "names",
    read: readNames,
    write: (names) => names.map((/** @type {string} */ name) => encodeURIComponent(wellFormed(name))).join(","),
    expected: `one name of at most ${MAX_NAME} characters for each class`,
  },
  T: numberKey("temperature"),
  y: { part: "target", read: list(between(UNIT)), expected: `${expected(UNIT)} for each class` },
  smoothing: numberKey("smoothing"),
  zloss: numberKey("zLoss"),
  view: { part: "view", read: oneOf(VIEWS), expected: VIEWS.join(", ") },
  entry: {
    part: "entry",
    read: (text) => list(between({ low: 1, high: MAX_CLASSES }))(text)?.map((value) => value - 1),
    write: (entry) => entry.map((/** @type {number} */ value) => value + 1).join(","),
    expected: "two class numbers",
  },
  h: numberKey("step"),
  diagonal: {
    part: "diagonalOnly",
    read: (text) => oneOf(["0", "1"])(text) && text === "1",
    write: (value) => (value ? "1" : "0"),
    expected: "0 or 1",
  },
  scale: { part: "scale", read: oneOf(["linear", "log"]), expected: "linear or log" },
  method: {
    part: "method",
    read: oneOf(["gradient", "diagonal", "newton"]),
    expected: "gradient, diagonal or newton",
  },
  rate: numberKey("rate"),
  damping: numberKey("damping"),
  lesson: { part: "lesson", read: oneOf(["0", "1", "2", "3", "4", "5"]), expected: "0 to 5" },
};

/**
 * The fragment of a state, without "#": the parts that differ from the initial ones.
 * @param {State} state
 */
export function fragment(state) {
  return Object.entries(KEYS)
    .map(([key, { part, write = String }]) => [key, write(state[part]), write(INITIAL[part])])
    .filter(([, value, initial]) => value !== initial)
    .map(([key, value]) => `${key}=${value}`)
    .join("&");
}

/**
 * The state that a fragment describes. A part that cannot be read keeps its initial value, and is reported.
 * @param {string} text without "#"
 * @returns {{state: State, problems: string[]}}
 */
export function parseFragment(text) {
  /** @type {string[]} */
  const problems = [];
  const seen = new Set();
  /** @type {any} */
  const state = structuredClone(INITIAL);
  for (const field of text.split("&").filter(Boolean)) {
    const [key, value = ""] = field.split(/=(.*)/s);
    const known = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
    const read = known && attempt(() => known.read(value));
    if (known && read !== undefined) state[known.part] = known.part === "lesson" ? Number(read) : read;
    else if (known) problems.push(`${cut(field)}: expected ${known.expected}`);
    else problems.push(`${cut(key)} is not a part of this page; expected ${Object.keys(KEYS).join(", ")}`);
    if (known && seen.has(key)) problems.push(`${key} is given more than once; the last one counts`);
    seen.add(key);
  }
  return { state: consistent(state, problems), problems };
}

/** The beginning of a text that may be very long. @param {string} text */
const cut = (text) => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

/** @template T @param {() => T} read @returns {T | undefined} */
function attempt(read) {
  try {
    return read();
  } catch (error) {
    if (error instanceof URIError) return undefined; // a percent sign that is not an escape
    throw error;
  }
}

/**
 * Parts that belong to other numbers of classes than the scores are replaced.
 * @param {State} state
 * @param {string[]} problems
 * @returns {State}
 */
function consistent(state, problems) {
  const count = state.scores.length;
  if (!state.scores.some(Number.isFinite)) {
    problems.push("z=-inf for every class: one class at least needs a number");
    state.scores = state.scores.map(() => 0);
  }
  if (state.names.length !== count) {
    if (state.names.join() !== INITIAL.names.join()) problems.push(`names: expected ${count} names`);
    state.names = [...LETTERS].slice(0, count);
  }
  if (state.target.length !== count) {
    if (state.target.join() !== INITIAL.target.join()) problems.push(`y: expected ${count} numbers`);
    state.target = oneHot(0, count);
  }
  if (state.entry.length !== 2 || state.entry.some((index) => !Number.isInteger(index) || index >= count)) {
    problems.push(`entry: expected two class numbers from 1 to ${count}`);
    state.entry = [0, 1];
  }
  return state;
}

/**
 * The name of a class, which the reader may have left empty.
 * @param {State} state
 * @param {number} j
 */
export function className(state, j) {
  return state.names[j].trim() || `class ${j + 1}`;
}

/** @param {State} state */
export function classNames(state) {
  return state.names.map((_, j) => className(state, j));
}

/** @param {number} label @param {number} count */
export function oneHot(label, count) {
  return Array.from({ length: count }, (_, j) => (j === label ? 1 : 0));
}

/** @param {State} state @returns {State} */
export function withClass(state) {
  const name = [...LETTERS].find((letter) => !state.names.includes(letter)) ?? "?";
  return {
    ...state,
    names: [...state.names, name],
    scores: [...state.scores, 0],
    target: [...state.target, 0],
  };
}

/** @param {State} state @param {number} index @returns {State} */
export function withoutClass(state, index) {
  /** @template T @param {T[]} values */
  const without = (values) => values.filter((_, j) => j !== index);
  const last = state.names.length - 2;
  // The entry stays with its classes, or in its place if it loses one.
  const stays = !state.entry.includes(index);
  /** @param {number} j */
  const moved = (j) => Math.min(stays && j > index ? j - 1 : j, last);
  const scores = without(state.scores);
  const target = without(state.target);
  return {
    ...state,
    names: without(state.names),
    scores: scores.some(Number.isFinite) ? scores : scores.map(() => 0),
    target: target.some(Boolean) ? target : oneHot(0, target.length),
    entry: [moved(state.entry[0]), moved(state.entry[1])],
  };
}
