/** The target of cross-entropy: a radio button and a weight for each class, label smoothing and z-loss. */

import { announcer } from "#announcer.js";
import { html, prose } from "#elements.js";
import { numberControl } from "#number_control.js";
import { format } from "#numbers.js";
import { className, oneHot, RANGES, UNIT } from "#state.js";
import { sum } from "#softmax.js";

/** @typedef {import("#store.js").Model} Model */
/** @typedef {import("#store.js").Store} Store */

/** @param {Store} store @returns {import("#store.js").View} */
export function targetView(store) {
  const list = html("ul", { class: "targets" });
  const total = html("p", { class: "note" });
  const spoken = announcer();
  const smoothing = numberControl("smoothing", RANGES.smoothing, (value) => store.set({ smoothing: value }));
  const zLoss = numberControl("z-loss", RANGES.zLoss, (value) => store.set({ zLoss: value }));
  const element = html(
    "div",
    {},
    html("p", {}, "Choose the label, or give each class a weight y from 0 to 1."),
    list,
    total,
    spoken.element,
    smoothing.element,
    zLoss.element,
    html(
      "p",
      { class: "note" },
      "Label smoothing spreads the share ε of the weights evenly over all classes. The z-loss adds ",
      "ζ (log Σ exp(z))² to the loss.",
    ),
  );
  /** @type {ReturnType<typeof targetRow>[]} */
  let rows = [];
  return {
    element,
    update(model) {
      const { state } = model;
      if (rows.length !== state.target.length) {
        rows = state.target.map((_, j) => targetRow(store, j));
        list.replaceChildren(...rows.map((row) => row.element));
      }
      rows.forEach((row) => row.update(model));
      total.replaceChildren(...prose(remark(model)));
      spoken.say(total.textContent ?? "");
      smoothing.update(state.smoothing, "Label smoothing ε");
      zLoss.update(state.zLoss, "z-loss ζ");
    },
  };
}

/** @param {Store} store @param {number} j */
function targetRow(store, j) {
  const radio = html("input", {
    type: "radio",
    name: "target",
    onchange: () => store.set({ target: oneHot(j, store.state.target.length) }),
  });
  const weight = numberControl(`target-${j}`, UNIT, (value) =>
    store.set({ target: store.state.target.with(j, value) }),
  );
  return {
    element: html("li", {}, radio, weight.element),
    /** @param {Model} model */
    update({ state }) {
      const name = className(state, j);
      radio.checked = state.target.every((value, i) => value === (i === j ? 1 : 0));
      radio.setAttribute("aria-label", `${name} is the true class`);
      weight.update(state.target[j], name, `target weight of ${name}`);
    },
  };
}

/** @param {Model} model */
function remark({ state, target }) {
  const total = sum(state.target);
  const smoothed = state.smoothing === 0 ? "" : ` y = (1 − ε)·weight + ε/${state.target.length}.`;
  if (Math.abs(total - 1) < 1e-9) return `The weights add up to 1.${smoothed}`;
  const mass = format(target.mass);
  return `The weights add up to ${format(total)}, not 1.${smoothed} The gradient is σ_k Σ y − y_k with Σ y = ${mass}.`;
}
