/** The logits: names, sliders, number fields and bars of softmax, presets and the temperature. */

import { announcer } from "#announcer.js";
import { choice, html } from "#elements.js";
import { numberControl, numberField } from "#number_control.js";
import { format } from "#numbers.js";
import { PRESETS, presetState } from "#presets.js";
import {
  className,
  expected,
  MAX_CLASSES,
  MAX_NAME,
  MIN_CLASSES,
  RANGES,
  SCORES,
  withClass,
  withoutClass,
} from "#state.js";

/** @typedef {import("#store.js").Model} Model */
/** @typedef {import("#store.js").Store} Store */

const REACH = 15; // of a slider, to both sides of its centre
const LOG_REACH = 20; // decades that a bar on the logarithmic scale shows

/**
 * @param {Store} store
 * @returns {import("#store.js").View}
 */
export function logitsView(store) {
  const list = html("ul", { class: "classes" });
  const add = html("button", { type: "button", onclick: () => addClass() }, "Add a class");
  const presets = html("select", { id: "preset", onchange: () => choosePreset() });
  presets.append(
    html("option", { value: "" }, "choose…"),
    ...PRESETS.map(([name, meaning], i) => html("option", { value: i }, `${name}: ${meaning}`)),
  );
  const scale = choice(
    "Bars",
    [
      ["linear", "linear"],
      ["log", "logarithmic"],
    ],
    (value) => store.set({ scale: value }),
  );
  const temperature = temperatureControl(store);
  const spoken = announcer();
  const element = html(
    "section",
    { class: "panel logits", "aria-labelledby": "logits-title" },
    html("h2", { id: "logits-title" }, "Logits and probabilities"),
    html("div", { class: "field" }, html("label", { for: "preset" }, "Preset"), presets),
    list,
    html("div", { class: "controls" }, add, scale.element),
    temperature.element,
    spoken.element,
  );
  /** @type {ReturnType<typeof classRow>[]} */
  let rows = [];
  let centre = 0;

  function addClass() {
    store.set(withClass(store.state));
    if (add.disabled) rows[rows.length - 1].remove.focus();
  }

  /** The focus goes to the class that takes the place of the one that is removed. @param {number} j */
  function removeClass(j) {
    store.set(withoutClass(store.state, j));
    const { remove } = rows[Math.min(j, rows.length - 1)];
    (remove.disabled ? add : remove).focus();
  }

  function choosePreset() {
    if (presets.value === "") return;
    const [, , scores, label] = PRESETS[Number(presets.value)];
    const entry = /** @type {[number, number]} */ ([0, 1]);
    store.set({ ...presetState(scores, label), entry });
    presets.value = "";
  }

  /** @param {Model} model */
  function update(model) {
    const { state, row } = model;
    const finite = state.scores.filter(Number.isFinite);
    if (finite.some((score) => Math.abs(score - centre) > REACH)) {
      centre = finite.every((score) => Math.abs(score) <= REACH) ? 0 : Math.round(Math.max(...finite));
    }
    if (rows.length !== state.scores.length) {
      rows = state.scores.map((_, j) => classRow(store, j, () => removeClass(j)));
      list.replaceChildren(...rows.map(({ element }) => element));
    }
    rows.forEach((part) => part.update(model, centre));
    add.disabled = state.scores.length >= MAX_CLASSES;
    scale.set(state.scale);
    temperature.update(model);
    spoken.say(row.p.map((p, j) => `${className(state, j)}: ${format(p)}`).join(", "));
  }

  return { element, update };
}

/**
 * The name, score, bar and buttons of class j.
 * @param {Store} store
 * @param {number} j
 * @param {() => void} removeClass
 */
function classRow(store, j, removeClass) {
  /** @param {number} value */
  const setScore = (value) => store.set({ scores: store.state.scores.with(j, value) });
  const name = html("input", {
    class: "name",
    type: "text",
    maxlength: MAX_NAME,
    oninput: () => store.set({ names: store.state.names.with(j, name.value) }),
  });
  const slider = html("input", { type: "range", step: 0.01, oninput: () => setScore(Number(slider.value)) });
  const number = numberField(refusal, setScore);
  const mask = html("button", { type: "button", class: "small", onclick: () => toggleMask() }, "−∞");
  const remove = html("button", { type: "button", class: "small", onclick: removeClass }, "✕");
  const bar = html("div", { class: "fill", style: `--class: var(--class-${j})` });
  const probability = html("span", { class: "value" });
  const element = html(
    "li",
    {},
    html(
      "div",
      { class: "line" },
      html("i", { class: "swatch", style: `--class: var(--class-${j})` }),
      name,
      number.element,
      mask,
      remove,
    ),
    slider,
    html("div", { class: "line" }, html("div", { class: "bar", "aria-hidden": "true" }, bar), probability),
  );

  /** @param {number} value */
  function refusal(value) {
    const masking = othersAreFinite();
    if (Math.abs(value) <= SCORES.high || (value === -Infinity && masking)) return "";
    return expected(SCORES) + (masking ? ", or -inf" : ", because all other classes are masked");
  }

  function othersAreFinite() {
    return store.state.scores.with(j, -Infinity).some(Number.isFinite);
  }

  function toggleMask() {
    setScore(store.state.scores[j] === -Infinity ? 0 : -Infinity);
  }

  /** @param {Model} model @param {number} centre */
  function update({ state, row }, centre) {
    const score = state.scores[j];
    const masked = score === -Infinity;
    const label = className(state, j);
    if (name.value !== state.names[j]) name.value = state.names[j];
    name.setAttribute("aria-label", `name of class ${j + 1}`);
    slider.min = String(centre - REACH);
    slider.max = String(centre + REACH);
    slider.value = String(masked ? centre - REACH : score);
    slider.disabled = masked;
    slider.setAttribute("aria-label", `logit of ${label}`);
    number.update(score, `logit of ${label}`);
    mask.setAttribute("aria-pressed", String(masked));
    mask.setAttribute("aria-label", `mask ${label} by a logit of −∞`);
    mask.title = `mask ${label}: its probability is 0`;
    mask.disabled = !masked && !othersAreFinite();
    remove.disabled = state.scores.length <= MIN_CLASSES;
    remove.setAttribute("aria-label", `remove ${label}`);
    bar.style.width = `${100 * barLength(row.p[j], row.logP[j], state.scale)}%`;
    probability.textContent = format(row.p[j]);
  }

  return { element, remove, update };
}

/** @param {number} p @param {number} logP @param {"linear" | "log"} scale */
function barLength(p, logP, scale) {
  return scale === "linear" ? p : Math.max(0, 1 + logP / Math.LN10 / LOG_REACH);
}

/** @param {Store} store */
function temperatureControl(store) {
  const control = numberControl("temperature", RANGES.temperature, (value) => store.set({ temperature: value }));
  const note = html("p", { class: "note" });
  return {
    element: html("div", {}, control.element, note),
    /** @param {Model} model */
    update({ state, z }) {
      control.update(state.temperature, "Temperature T");
      note.textContent =
        state.temperature === 1
          ? "T divides all logits: above 1 it evens out the probabilities, below 1 it sharpens them."
          : `The sliders are divided by T: z = (${z.map((logit) => format(logit, 2)).join(", ")}). ` +
            "Derivatives are with respect to z.";
    },
  };
}
