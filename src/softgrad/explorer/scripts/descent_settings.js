/** The method of descent, its learning rate or damping, and another method to compare with. */

import { choice, html } from "#elements.js";
import { formula } from "#formulas.js";
import { numberControl } from "#number_control.js";
import { RANGES } from "#state.js";

/** @typedef {import("#state.js").Method} Method */
/** @typedef {import("#store.js").Model} Model */
/** @typedef {import("#store.js").Store} Store */

/** @type {[Method, string][]} */
const METHODS = [
  ["gradient", "gradient"],
  ["diagonal", "only the diagonal"],
  ["newton", "Newton"],
];
/** @type {Record<Method, string[]>} */
const FORMULAS = { gradient: ["step-gradient"], diagonal: ["step-gradient", "diagonal"], newton: ["step-newton"] };

/** @param {Store} store @param {() => void} compare called when another method is to be compared with */
export function descentSettings(store, compare) {
  const method = choice("Method", METHODS, (value) => store.set({ method: value }));
  const rate = numberControl("rate", RANGES.rate, (value) => store.set({ rate: value }));
  const damping = numberControl("damping", RANGES.damping, (value) => store.set({ damping: value }));
  const compared = html(
    "select",
    { id: "compared", onchange: () => chooseCompared() },
    html("option", { value: "" }, "nothing"),
    ...METHODS.map(([value, label]) => html("option", { value }, label)),
  );
  const formulas = html("div", {});
  const element = html(
    "div",
    { class: "descent-settings" },
    method.element,
    formulas,
    rate.element,
    damping.element,
    html("div", { class: "field" }, html("label", { for: "compared" }, "Compare with"), compared),
  );

  function chooseCompared() {
    showControls();
    compare();
  }

  /** A control is shown if one of the methods uses it. */
  function showControls() {
    const used = [store.state.method, compared.value];
    rate.element.hidden = !used.includes("gradient") && !used.includes("diagonal");
    damping.element.hidden = !used.includes("newton");
  }

  return {
    element,
    compared: () => /** @type {Method | ""} */ (compared.value),
    /** @param {Model} model */
    update({ state }) {
      method.set(state.method);
      formulas.replaceChildren(
        ...FORMULAS[state.method].map((name) => html("div", { class: "formula" }, formula(name))),
      );
      rate.update(state.rate, "Learning rate η");
      damping.update(state.damping, "Damping λ");
      showControls();
    },
  };
}
