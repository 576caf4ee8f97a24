/** Numbers that are typed into a field, and moved by a slider beside it. */

import { html } from "#elements.js";
import { parse, plain } from "#numbers.js";
import { expected } from "#state.js";

/** @typedef {import("#state.js").Range} Range */

/**
 * A text field for a number.
 * @param {(value: number) => string} refusal what is expected instead of the number; empty if it is right
 * @param {(value: number) => void} change
 */
export function numberField(refusal, change) {
  const element = html("input", { class: "number", type: "text", inputmode: "decimal", onchange: () => read() });

  function read() {
    const value = parse(element.value);
    const right = refusal(value ?? NaN);
    if (right) element.setCustomValidity(`expected ${right}; received ${element.value || "nothing"}`);
    else change(/** @type {number} */ (value));
    element.reportValidity();
  }

  return {
    element,
    /**
     * @param {number} value
     * @param {string} name what the number is
     */
    update(value, name) {
      element.setCustomValidity("");
      element.value = plain(value);
      element.setAttribute("aria-label", `${name}, as a number`);
    },
  };
}

/**
 * A label, a slider and a field.
 * @param {string} id
 * @param {Range} range of both; a logarithmic slider moves the exponent
 * @param {(value: number) => void} change
 */
export function numberControl(id, range, change) {
  const { low, high, logarithmic = false } = range;
  const position = logarithmic ? Math.log10 : (/** @type {number} */ value) => value;
  const slider = html("input", {
    id,
    type: "range",
    min: position(low),
    max: position(high),
    step: logarithmic ? 0.05 : 0.01,
    oninput: () => change(logarithmic ? Number((10 ** Number(slider.value)).toPrecision(2)) : Number(slider.value)),
  });
  const field = numberField((value) => (value >= low && value <= high ? "" : expected(range)), change);
  const label = html("label", { for: id });
  return {
    element: html("div", { class: "number-control" }, label, slider, field.element),
    /**
     * @param {number} value
     * @param {string} text of the label
     * @param {string} [name] what the number is, if the label alone does not say it
     */
    update(value, text, name = text) {
      label.textContent = text;
      slider.setAttribute("aria-label", name);
      slider.value = String(position(value));
      slider.setAttribute("aria-valuetext", plain(value));
      field.update(value, name);
    },
  };
}
